"""Bring a host to what its settings say: read, plan, apply, verify.

All facts come in one round trip. When nothing is to be done that is the end: no lock, no write.
"""

import json
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Protocol

from harbor import paths, versions
from harbor.acme import failures
from harbor.changes import Change, FetchRelease, OrderCertificate, Run, SendFile, WriteFile
from harbor.errors import CHANGES_PENDING, NotConverged, Refused, RemoteError, Unhealthy
from harbor.settings import Settings
from harbor.shell import Output, quote
from harbor.steps import health, preflight
from tasks import _certificate, _release
from tasks._fleet import Target, holder
from tasks._host import scripted
from tasks._inventory import Loaded

SMALLER = "; sizes can be set lower under `requirements`"
HEALTH_POLL_SECONDS = 2.0


class Step(Protocol):
    """A step is a module: the desired state of one thing, and how to get there."""

    NAME: str

    def probe(self, settings: Settings) -> dict[str, str]: ...

    def plan(self, settings: Settings, facts: Mapping[str, Output]) -> list[Change]: ...


Facts = dict[str, dict[str, Output]]
Pending = list[tuple[Step, list[Change]]]


def read_facts(target: Target, settings: Settings, steps: Sequence[Step]) -> Facts:
    """What all steps need to know, with preflight and health, in one round trip."""
    probes = {step.NAME: step.probe(settings) for step in steps}
    probes |= {"preflight": preflight.probe(settings), "health": health.probe(settings)}
    snippets = {
        f"{name}\x1f{key}": text for name, probe in probes.items() for key, text in probe.items()
    }
    facts: Facts = {name: {} for name in probes}
    for key, output in target.host.read(snippets).items():
        name, _, inner = key.partition("\x1f")
        facts[name][inner] = output
    return facts


def pending(settings: Settings, steps: Sequence[Step], facts: Facts) -> Pending:
    """The changes of each step that has any."""
    plans = [(step, step.plan(settings, facts[step.NAME])) for step in steps]
    return [(step, changes) for step, changes in plans if changes]


def check_preflight(target: Target, settings: Settings, facts: Facts) -> None:
    """Say every unmet requirement; raise Refused when one of them is fatal."""
    unmet = preflight.findings(settings, facts["preflight"], time.time())
    target.result.details["preflight"] = [str(finding) for finding in unmet]
    for finding in unmet:
        if not finding.fatal:
            target.say(f"warning: {finding}", "yellow")
    fatal = [str(finding) for finding in unmet if finding.fatal]
    if fatal:
        raise Refused(
            "requirements are not met:\n" + "\n".join(f"  {text}" for text in fatal),
            "nothing was changed" + (SMALLER if "requirements." in "".join(fatal) else ""),
        )


def look(target: Target, settings: Settings, steps: Sequence[Step]) -> Facts:
    """The facts of a host that meets the requirements, for a run that does not hold its lock.

    Raises Locked, not Refused, where what is wrong may be the midst of another run's change.
    """
    facts = read_facts(target, settings, steps)
    try:
        check_preflight(target, settings, facts)
    except Refused:
        target.host.must_not_be_locked()
        raise
    return facts


def record(target: Target, step: Step, change: Change, sign: str) -> None:
    target.report.change(target.host.name, step.NAME, change, sign=sign)
    target.result.changes.append({"step": step.NAME, "why": change.why})


def preview(target: Target, settings: Settings, steps: Sequence[Step]) -> str:
    """Show what is pending, without a write. Returns the host's closing words."""
    _warn(target, settings)
    facts = look(target, settings, steps)
    for step, changes in pending(settings, steps, facts):
        for change in changes:
            record(target, step, change, "~")
    if target.result.changes:
        target.result.code = CHANGES_PENDING
        return f"{len(target.result.changes)} to change"
    wrong = health.problems(settings, facts["health"])
    if not wrong:
        return "no changes"
    for name, reason in sorted(wrong.items()):
        target.say(f"not healthy: {name}: {reason}", "yellow")
    target.result.code = Unhealthy.code
    return f"no changes, but not healthy: {', '.join(sorted(wrong))}"


def _warn(target: Target, settings: Settings) -> None:
    for text in versions.warnings(settings.harbor.release_version):
        target.say(f"warning: {text}", "yellow")
    if settings.harbor.release.verify == "md5":
        target.say("warning: md5 is weak: pin the sha256 that the deploy prints", "yellow")


def converge(target: Target, settings: Settings, loaded: Loaded, steps: Sequence[Step]) -> str:
    """Apply what is pending, verify each step, wait for health. Returns the host's closing words."""
    _warn(target, settings)
    facts = look(target, settings, steps)
    if pending(settings, steps, facts):
        with target.host.lock(holder("deploy"), target.progress):
            # Another run may have ended between our look and our lock.
            facts = read_facts(target, settings, steps)
            check_preflight(target, settings, facts)
            facts = apply_steps(target, settings, loaded, steps, facts)
            wait_healthy(target, settings, facts["health"])
            audit(target, "deploy")
        return f"{len(target.result.changes)} changed"
    wait_healthy(target, settings, facts["health"])
    return "no changes"


def apply_steps(
    target: Target, settings: Settings, loaded: Loaded, steps: Sequence[Step], facts: Facts
) -> Facts:
    """Apply and verify each step that has something to do, under a lock that the caller holds."""
    for number, step in enumerate(steps):
        changes = step.plan(settings, facts[step.NAME])
        if not changes:
            continue
        target.progress(f"{step.NAME}: {changes[0].why}")
        _apply(target, settings, loaded, step, changes)
        # One look verifies this step and is what the next steps plan from.
        facts = read_facts(target, settings, steps[number:])
        left = step.plan(settings, facts[step.NAME])
        if left:
            reasons = "\n".join(f"  {change.why}" for change in left)
            raise NotConverged(
                f"{step.NAME}: applied, and still pending:\n{reasons}",
                "`fab plan` shows the whole of it",
            )
    return facts


def _apply(
    target: Target, settings: Settings, loaded: Loaded, step: Step, changes: list[Change]
) -> None:
    for together, group in groupby(changes, scripted):
        batch = list(group)
        if together:
            _apply_script(target, step, batch)
            continue
        for change in batch:
            if isinstance(change, FetchRelease):
                _release.bring(target, settings, loaded, change)
            elif isinstance(change, SendFile):
                _release.send_verified(target, loaded.path(change.source), change.path)
            elif isinstance(change, OrderCertificate):
                _certificate.order(target, settings)
            record(target, step, change, "+")


def _apply_script(target: Target, step: Step, batch: list[Change]) -> None:
    scripts = [change for change in batch if isinstance(change, Run | WriteFile)]

    def done(number: int) -> None:
        record(target, step, scripts[number], "+")
        following = scripts[number + 1].why if number + 1 < len(scripts) else "checking"
        target.progress(f"{step.NAME}: {following}")

    target.host.apply(scripts, done, target.progress)


def wait_healthy(target: Target, settings: Settings, facts: Mapping[str, Output]) -> None:
    """Poll until Harbor, its containers and https are well. Raises Unhealthy with their last words."""
    deadline = time.monotonic() + settings.harbor.health_deadline
    wrong = health.problems(settings, facts)
    while wrong and time.monotonic() < deadline:
        left = deadline - time.monotonic()
        target.progress(f"waiting for {', '.join(sorted(wrong))} ({left:.0f} s left)")
        time.sleep(HEALTH_POLL_SECONDS)
        snippets = {**health.probe(settings), "traefik says": health.TRAEFIKS_LAST}
        answers = target.host.read(snippets)
        wrong = health.problems(settings, answers)
        # All is well but the way in: no need to wait where Traefik says why.
        if list(wrong) == ["https"] and (why := failures.find(answers["traefik says"].lines)):
            raise Unhealthy(f"{wrong['https']}: {why.cause}\n  {why.line[:600]}", why.cure)
    if wrong:
        raise Unhealthy(
            _last_words(target, settings, wrong), "`fab doctor` and `fab logs` say more"
        )


def _last_words(target: Target, settings: Settings, wrong: dict[str, str]) -> str:
    lines = [f"not healthy after {settings.harbor.health_deadline} s:"]
    lines += [f"  {name}: {reason}" for name, reason in sorted(wrong.items())]
    logs = target.host.read(health.last_words(settings, health.services(settings, wrong)))
    for name, output in logs.items():
        lines += [f"last lines of {name}:", *(f"  {text}" for text in output.lines)]
    return "\n".join(lines)


def audit(target: Target, why: str) -> None:
    """One line in the host's audit log: who did what, when and from where."""
    line = json.dumps({**holder(why), "changes": [c["why"] for c in target.result.changes]})
    try:
        target.host.read_write(f"umask 027\nprintf '%s\\n' {quote(line)} >> {paths.AUDIT}")
    except RemoteError as error:
        target.say(f"warning: no line in the audit log: {error.message}", "yellow")
