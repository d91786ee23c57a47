"""Harbor's own configuration: registries, projects, login, retention, schedules."""

import invoke
from fabric import task

AS_JSON = "print one JSON document on standard output, everything else on standard error"


@task(
    help={
        "prune-undeclared": "show what Harbor has and the inventory has not, ask, and delete it",
        "rotate": "send every secret again, also those that Harbor was given before",
        "yes": "do not ask",
        "json": AS_JSON,
    }
)
def configure(
    c: invoke.Context,
    prune_undeclared: bool = False,
    rotate: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Bring Harbor's own configuration to what the inventory says; only what differs is sent.

    What is not declared is left alone. Refused (exit code 9) before the first change where Harbor
    forbids one, such as another registry for a project that exists.
    """
    from harbor.settings import Settings
    from tasks import _configure, _fleet

    def work(target: _fleet.Target, settings: Settings) -> str:
        return _configure.configure(
            target, settings, rotate=rotate, prune=prune_undeclared, yes=yes
        )

    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)


@task(help={"file": "write it there (never over a file) instead of printing it", "json": AS_JSON})
def export(c: invoke.Context, file: str = "", json: bool = False) -> None:
    """Print Harbor's present configuration as a `configuration:` section for the inventory.

    Applied where it came from it changes nothing. Secrets cannot be read back; what has some is
    named, and left as it is.
    """
    from pathlib import Path

    from harbor.errors import SettingsError
    from harbor.settings import Settings
    from tasks import _export, _fleet

    path = Path(file).expanduser() if file else None
    if path and path.exists():
        raise SettingsError(f"{path}: exists, and is not overwritten")
    fragments: dict[str, str] = {}

    def work(target: _fleet.Target, settings: Settings) -> str:
        fragments[target.host.name] = _export.exporting(target, settings)
        return "exported"

    _fleet.run_harbors(c, work, read_only=True, as_json=json)
    text = "".join(f"# {name}\n{fragment}" for name, fragment in fragments.items())
    if path:
        path.write_text(text)
    elif not json:
        print(text, end="")  # noqa: T201


@task(name="dex-client")
def dex_client(c: invoke.Context) -> None:
    """Print the client that dex needs for this Harbor, as values for dex's chart (helmfile).

    Its secret is made once and kept in .env, where `configure` finds it.
    """
    import sys

    from tasks import _export, _fleet
    from tasks._inventory import load

    loaded = load()
    names = list(loaded.hosts(_fleet.wanted(c), "harbor"))
    text, made = _export.dex_clients(loaded, names)
    for variable in made:
        print(f"made {variable}, kept in .env", file=sys.stderr)  # noqa: T201
    print(text, end="")  # noqa: T201
