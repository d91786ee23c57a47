"""Free the disk of what no artifact uses any more."""

import invoke
from fabric import task

HELP = {
    "dry-run": "only say how many bytes it would free",
    "delete-untagged": "also what is cached by digest alone (default: the inventory's)",
    "workers": "how many at once, 1 to 10; Harbor 2.9 (default: the inventory's)",
    "json": "print one JSON document on standard output, everything else on standard error",
}


@task(help=HELP)
def gc(
    c: invoke.Context,
    dry_run: bool = False,
    delete_untagged: bool = False,
    workers: int = 0,
    json: bool = False,
) -> None:
    """Run Harbor's garbage collection now, show its progress, and say what it freed.

    Blobs that are younger than two hours are always spared.
    """
    from harbor.errors import SettingsError
    from harbor.settings import Settings
    from tasks import _fleet, _gc

    if not 0 <= workers <= 10:
        raise SettingsError(f"--workers {workers}: 1 to 10")
    options = _gc.Options(dry_run, delete_untagged or None, workers or None)

    def work(target: _fleet.Target, settings: Settings) -> str:
        return _gc.collect(target, settings, options)

    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)
