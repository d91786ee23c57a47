"""From a bare VM to a running cache, and the preview of it."""

import invoke
from fabric import task

from harbor.errors import CHANGES_PENDING
from harbor.settings import Settings
from harbor.steps import (
    config,
    docker,
    environment,
    health,
    preflight,
    release,
    service,
    stack,
    tls,
    traefik,
    user,
)
from tasks import _converge, _fleet
from tasks._inventory import load

STEPS = (docker, user, release, tls, config, environment, traefik, service, stack)
AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(help=AS_JSON)
def deploy(c: invoke.Context, json: bool = False) -> None:
    """Bring each Harbor host to what the inventory says, and wait until it is healthy.

    Says what changes and why; changes nothing where nothing differs. Several hosts go one
    after the other, each healthy before the next.
    """
    loaded = load()

    def work(target: _fleet.Target, settings: Settings) -> str:
        for text in warnings(settings):
            target.say(f"warning: {text}", "yellow")
        return _converge.converge(target, settings, loaded, STEPS)

    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)


@task(help=AS_JSON)
def plan(c: invoke.Context, json: bool = False) -> None:
    """Show what `deploy` would change and why, without changing anything; exit code 2 if anything.

    Files are shown as diffs, secrets masked. What a step needs from an earlier one is assumed.
    """

    def work(target: _fleet.Target, settings: Settings) -> str:
        for text in warnings(settings):
            target.say(f"warning: {text}", "yellow")
        facts = _converge.read_facts(target, settings, STEPS)
        _converge.check_preflight(target, settings, facts)
        for step, changes in _converge.pending(settings, STEPS, facts):
            for change in changes:
                _converge.record(target, step, change, "~")
        count = len(target.result.changes)
        if count:
            target.result.code = CHANGES_PENDING
            return f"{count} to change"
        wrong = health.problems(settings, facts["health"])
        return f"no changes, but not healthy: {', '.join(sorted(wrong))}" if wrong else "no changes"

    _fleet.run_harbors(c, work, read_only=True, as_json=json)


@task(name="preflight", help=AS_JSON)
def preflight_task(c: invoke.Context, json: bool = False) -> None:
    """Check the requirements of each Harbor host: what is lacking, found and wanted."""

    def work(target: _fleet.Target, settings: Settings) -> str:
        facts = {"preflight": target.host.read(preflight.probe(settings))}
        _converge.check_preflight(target, settings, facts)
        return "requirements are met"

    _fleet.run_harbors(c, work, read_only=True, as_json=json)


@task
def lock(c: invoke.Context) -> None:
    """Show who holds each Harbor host now; a lock ends with the run that holds it."""

    def work(target: _fleet.Target) -> str:
        found = target.host.lock_holder()
        if not found:
            return "not locked"
        return "locked by {who} on {from} since {when}: {why}".format(**found)

    _fleet.run(c, "harbor", work, read_only=True)


def warnings(settings: Settings) -> list[str]:
    """What an operator should know about valid settings."""
    from harbor import versions

    found = versions.warnings(settings.harbor.release_version)
    if settings.harbor.release.verify == "md5":
        found.append("release.verify: md5 is weak; pin the sha256 that the deploy prints")
    return found
