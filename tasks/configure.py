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
