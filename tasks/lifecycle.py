"""Every day: start, stop, restart, status, logs, exec."""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(help=AS_JSON)
def start(c: invoke.Context, json: bool = False) -> None:
    """Start Harbor and wait until it is healthy; nothing to do where it is.

    Puts the certificate store back from its copy first, where something of it is gone.
    """
    from tasks import _fleet, _lifecycle

    _fleet.run_harbors(c, _lifecycle.start, as_json=json)


@task(help=AS_JSON)
def stop(c: invoke.Context, json: bool = False) -> None:
    """Stop Harbor: its containers go, all data and every volume stays. Starts again at a boot."""
    from tasks import _fleet, _lifecycle

    _fleet.run_harbors(c, _lifecycle.stop, as_json=json)


@task(help={**AS_JSON, "service": "only this one, in place (default: all of Harbor)"})
def restart(c: invoke.Context, service: str = "", json: bool = False) -> None:
    """Stop and start Harbor, or restart one service; one host after the other, each healthy first."""
    from tasks import _fleet, _lifecycle

    work = _lifecycle.restarting(service)
    _fleet.run_harbors(c, work, one_by_one=True, as_json=json)


@task(help={**AS_JSON, "watch": "show it anew every few seconds, until Ctrl-C"})
def status(c: invoke.Context, watch: bool = False, json: bool = False) -> None:
    """Components, health, version, certificate, disk, lock, last change and drift of each host.

    Exit code 8 when one is not healthy.
    """
    from tasks import _fleet, _lifecycle

    work = _lifecycle.watching() if watch else _lifecycle.show_status
    _fleet.run_harbors(c, work, read_only=True, as_json=json)


@task(
    help={
        "service": "one, or several with commas (default: all)",
        "since": "10m, 2h, 3d, or a time like 2026-11-25T08:00 (UTC)",
        "tail": "lines of each service",
        "follow": "go on until Ctrl-C",
        "grep": "only lines that match this extended regular expression",
    }
)
def logs(  # noqa: PLR0917 -- invoke passes options by name
    c: invoke.Context,
    service: str = "",
    since: str = "",
    tail: int = 50,
    follow: bool = False,
    grep: str = "",
) -> None:
    """The log lines of Harbor's services in the order of their times, from all hosts at once."""
    from tasks import _fleet, _lifecycle

    work = _lifecycle.log_reader(service, since, tail, grep, follow=follow)
    _fleet.run_harbors(c, work, read_only=True)


@task(
    name="exec",
    positional=["service", "words"],
    help={"service": "whose container", "words": "the command in one word: 'nginx -T'"},
)
def execute(c: invoke.Context, service: str, words: str) -> None:
    """Run a command in a service's container: fab exec core 'cat /etc/core/app.conf'."""
    from tasks import _fleet, _lifecycle

    _fleet.run_harbors(c, _lifecycle.executing(service, words))
