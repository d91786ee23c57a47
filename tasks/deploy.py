"""From a bare VM to a running cache, and the preview of it.

Tasks import what they use when they run: `fab --list` loads none of it.
"""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(help={**AS_JSON, "no-configure": "leave Harbor's own configuration alone"})
def deploy(c: invoke.Context, json: bool = False, no_configure: bool = False) -> None:
    """Bring each Harbor host to what the inventory says, and wait until it is healthy.

    Says what changes and why; changes nothing where nothing differs. Several hosts go one
    after the other, each healthy before the next.
    """
    from harbor.settings import Settings
    from tasks import _configure, _converge, _fleet, _history
    from tasks._inventory import load
    from tasks._steps import STEPS

    loaded = load()

    def work(target: _fleet.Target, settings: Settings) -> str:
        words = _converge.converge(target, settings, loaded, STEPS)
        if target.result.changes:
            _history.warn_of_push(target, settings)
        return words if no_configure else _configure.after(target, settings, words)

    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)


@task(help=AS_JSON)
def plan(c: invoke.Context, json: bool = False) -> None:
    """Show what `deploy` would change and why, without changing anything; exit code 2 if anything.

    With nothing to change it ends with 8 where Harbor is not healthy.
    Files are shown as diffs, secrets masked. What a step needs from an earlier one is assumed.
    """
    from harbor.settings import Settings
    from tasks import _configure, _converge, _fleet
    from tasks._steps import STEPS

    def work(target: _fleet.Target, settings: Settings) -> str:
        words = _converge.preview(target, settings, STEPS)
        return _configure.preview(target, settings, words)

    _fleet.run_harbors(c, work, read_only=True, as_json=json)


@task(help=AS_JSON)
def preflight(c: invoke.Context, json: bool = False) -> None:
    """Check the requirements of each Harbor host: what is lacking, found and wanted."""
    from harbor.settings import Settings
    from tasks import _converge, _fleet

    def work(target: _fleet.Target, settings: Settings) -> str:
        _converge.look(target, settings, ())
        return "requirements are met"

    _fleet.run_harbors(c, work, read_only=True, as_json=json)


@task
def lock(c: invoke.Context) -> None:
    """Show who holds each Harbor host now; a lock ends with the run that holds it."""
    from tasks import _fleet

    def work(target: _fleet.Target) -> str:
        found = target.host.lock_holder()
        if not found:
            return "not locked"
        return "locked by {who} on {from} since {when}: {why}".format(**found)

    _fleet.run(c, "harbor", work, read_only=True)
