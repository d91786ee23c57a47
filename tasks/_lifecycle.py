"""The work of start, stop, restart, status, logs and exec on one host."""

import datetime
import shlex
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from harbor import lifecycle, logs, status
from harbor.changes import Change, Run, WriteFile
from harbor.errors import NotConverged, OpsError, RemoteError, SettingsError, Unhealthy
from harbor.settings import Settings
from harbor.steps import images, stack, store_backup, store_restore, traefik
from tasks import _converge
from tasks._fleet import Target, holder
from tasks._inventory import Loaded, load
from tasks._steps import STEPS

Work = Callable[[Target, Settings], str]
START_STEPS: tuple[_converge.Step, ...] = (store_restore, images, traefik, stack, store_backup)
WATCH_SECONDS = 2.0


def start(target: Target, settings: Settings) -> str:
    """Bring up what is not there; no lock is taken where nothing is."""
    lifecycle.must_be_installed(target.host.read(lifecycle.probe(settings)))
    facts = _converge.read_facts(target, settings, START_STEPS)
    if not _converge.pending(settings, START_STEPS, facts):
        _converge.wait_healthy(target, settings, facts["health"])
        return "runs already, healthy"
    with target.host.lock(holder("start"), target.progress):
        _bring_up(target, settings, load())
        _converge.audit(target, "start")
    return "started, healthy"


def _bring_up(target: Target, settings: Settings, loaded: Loaded) -> None:
    facts = _converge.read_facts(target, settings, START_STEPS)
    facts = _converge.apply_steps(target, settings, loaded, START_STEPS, facts)
    _converge.wait_healthy(target, settings, facts["health"])


def stop(target: Target, settings: Settings) -> str:
    """Take down what runs, through the unit where it is active."""
    facts = target.host.read(lifecycle.probe(settings))
    lifecycle.must_be_installed(facts)
    if not lifecycle.stop(facts):
        return "stopped already"
    with target.host.lock(holder("stop"), target.progress):
        _take_down(target, settings)
        _converge.audit(target, "stop")
    return "stopped; every volume and all data stay"


def _take_down(target: Target, settings: Settings) -> None:
    """The unit first; compose only for what it left."""
    for _ in ("the unit", "what runs beside it"):
        changes = lifecycle.stop(target.host.read(lifecycle.probe(settings)))
        if not changes:
            return
        apply(target, "stop", changes)
    left = lifecycle.stop(target.host.read(lifecycle.probe(settings)))
    if left:
        raise NotConverged(f"stopped, and still there: {left[0].why}")


def restarting(service: str) -> Work:
    """Restart all of Harbor, or one service of it."""

    def work(target: Target, settings: Settings) -> str:
        named = logs.services(settings, service) if service else ()
        lifecycle.must_be_installed(target.host.read(lifecycle.probe(settings)))
        with target.host.lock(holder(f"restart {service}".strip()), target.progress):
            if named:
                changes = [lifecycle.restart(name) for name in named]
                apply(target, "restart", changes)
                facts = _converge.read_facts(target, settings, ())
                _converge.wait_healthy(target, settings, facts["health"])
            else:
                _take_down(target, settings)
                _bring_up(target, settings, load())
            _converge.audit(target, f"restart {service}".strip())
        return "restarted, healthy"

    return work


def _look(target: Target, settings: Settings) -> status.Status:
    facts = _converge.read_facts(target, settings, STEPS)
    try:
        drift = [
            f"{step.NAME}: {change.why}"
            for step, changes in _converge.pending(settings, STEPS, facts)
            for change in changes
        ]
    except OpsError as error:
        drift = [f"cannot be told: {error.message}"]
    return status.parse(settings, target.host.read(status.probe(settings)), drift)


def show_status(target: Target, settings: Settings) -> str:
    """The status as lines and as data; the exit code says whether it is healthy."""
    found = _look(target, settings)
    target.result.details["status"] = found.as_dict()
    for line in status.lines(settings, found):
        target.say(line)
    return _verdict(target, found)


def _verdict(target: Target, found: status.Status) -> str:
    if found.problems:
        target.result.code = Unhealthy.code
        return f"not healthy: {', '.join(sorted(found.problems))}"
    return "healthy, but differs from the inventory" if found.drift else "healthy"


def watching() -> Work:
    """The status again and again, redrawn in place, until Ctrl-C."""
    stopped = interruption()

    def work(target: Target, settings: Settings) -> str:
        while True:
            found = _look(target, settings)
            target.progress("\n" + "\n".join(status.lines(settings, found)))
            if stopped.wait(WATCH_SECONDS):
                return _verdict(target, found)

    return work


def log_reader(service: str, since: str, tail: int, grep: str, *, follow: bool) -> Work:
    """Print log lines; with `follow`, as they come."""
    begin = logs.since(since) if since else ""
    stopped = interruption() if follow else None

    def work(target: Target, settings: Settings) -> str:
        wanted = logs.Wanted(logs.services(settings, service), begin, tail, grep)
        if stopped:
            return _follow(target, settings, wanted, stopped)
        answer = target.host.read({"logs": logs.read_script(settings, wanted)})["logs"]
        _must_be_a_pattern(answer.status, grep)
        rows = logs.merged(answer.lines, datetime.datetime.now(datetime.UTC))
        for name, text in rows:
            target.say(logs.shown(name, text, wanted.services))
        return f"{len(rows)} lines"

    return work


def _follow(
    target: Target, settings: Settings, wanted: logs.Wanted, stopped: threading.Event
) -> str:
    count = 0

    def on_line(text: str) -> None:
        nonlocal count
        name, _, line = text.partition("\t")
        target.say(logs.shown(name, line, wanted.services))
        count += 1

    status = target.host.stream(logs.follow_script(settings, wanted), on_line, stopped)
    _must_be_a_pattern(status, wanted.grep)
    return f"{count} lines"


def _must_be_a_pattern(status: int, grep: str) -> None:
    if grep and status == logs.NO_PATTERN:
        raise SettingsError(f"--grep {grep}: not an extended regular expression (grep -E)")


def executing(service: str, words: str) -> Work:
    """Run a command in a container and show what it prints; its failure is an error."""
    stopped = interruption()

    def work(target: Target, settings: Settings) -> str:
        names = logs.services(settings, service)
        if len(names) != 1:
            raise SettingsError("a command runs in one service")
        try:
            script = lifecycle.execute(names[0], shlex.split(words))
        except ValueError as error:
            raise SettingsError(f"{words}: {error}") from None
        code = target.host.stream(script, target.say, stopped)
        if code:
            raise RemoteError(f"{service}: the command ended with status {code}")
        return "done"

    return work


def interruption() -> threading.Event:
    """An event that Ctrl-C sets instead of raising, for work in threads that has no end of its own.

    To be called by the main thread, before the work begins.
    """
    stopped = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, interrupt)
    return stopped


def apply(target: Target, name: str, changes: Sequence[Change]) -> None:
    """Apply `changes` (scripts and files only) in one round trip and say each as it is done."""
    scripts = [change for change in changes if isinstance(change, Run | WriteFile)]

    def done(number: int) -> None:
        change = scripts[number]
        target.report.change(target.host.name, name, change, sign="+")
        target.result.changes.append({"step": name, "why": change.why})

    target.progress(f"{name}: {scripts[0].why}" if scripts else name)
    target.host.apply(scripts, done, target.progress)
