"""What was changed on a Harbor host, by whom and when; and the way back for its configuration."""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(help={**AS_JSON, "count": "how many commits"})
def history(c: invoke.Context, count: int = 20, json: bool = False) -> None:
    """The commits of each host's installation, and how its last push went."""
    from tasks import _fleet, _history

    _fleet.run_harbors(c, _history.showing(count), read_only=True, as_json=json)


@task(help={**AS_JSON, "since": "a commit (default: the last one, so what was done by hand)"})
def diff(c: invoke.Context, since: str = "HEAD", json: bool = False) -> None:
    """What differs on each host since a commit; without one: what was changed by hand."""
    from tasks import _fleet, _history

    _fleet.run_harbors(c, _history.comparing(since), read_only=True, as_json=json)


@task(
    positional=["revision"],
    help={**AS_JSON, "revision": "as `fab history` shows it", "yes": "do not ask"},
)
def rollback(c: invoke.Context, revision: str, yes: bool = False, json: bool = False) -> None:
    """Bring back the configuration files of a commit, restart with them, and commit that.

    Says first what a rollback cannot undo. Refused (exit code 9) across Harbor releases.
    """
    from tasks import _fleet, _history

    work = _history.rolling_back(revision, yes=yes)
    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)
