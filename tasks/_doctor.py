"""The work of `fab doctor` on one host."""

import dataclasses
import socket
import time
from collections.abc import Callable

from harbor import doctor, lifecycle, paths
from harbor.doctor.cache import budget_words
from harbor.doctor.model import ERROR, Facts, Finding
from harbor.settings import Settings
from harbor.shell import Output
from tasks._fleet import Target

STYLES = {"error": "red", "warning": "yellow", "info": ""}


def examining(only: str) -> Callable[[Target, Settings], str]:
    """Run the checks (all where `only` is empty), print what they find, set the exit code."""
    checks = doctor.chosen(only)

    def work(target: Target, settings: Settings) -> str:
        probes = {"there": f"[ -s {paths.COMPOSE} ]", **doctor.probe(settings, checks)}
        answers = target.host.read(probes, timeout=300)
        lifecycle.must_be_installed({"compose": answers["there"]})
        answers |= _of_this_machine(settings)
        found = doctor.examine(settings, checks, answers)
        for finding in found:
            _say(target, finding)
        if words := budget_words(Facts(answers)):
            target.say(words)
        target.result.details["findings"] = [dataclasses.asdict(finding) for finding in found]
        target.result.code = doctor.exit_code(found)
        errors = sum(finding.severity == ERROR for finding in found)
        if not found:
            return f"{len(checks)} checks, nothing found"
        return f"{len(checks)} checks, {errors} errors, {len(found) - errors} warnings"

    return work


def _say(target: Target, finding: Finding) -> None:
    style = STYLES[finding.severity]
    target.say(f"{finding.severity}: {finding.check}: {finding.cause}", style)
    target.say(f"  cure: {finding.cure}")


def _of_this_machine(settings: Settings) -> dict[str, Output]:
    """What only the operator's machine can say: its clock, and where the name leads from here."""
    try:
        found = socket.getaddrinfo(settings.harbor.url_host, None, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    addresses = sorted({str(entry[4][0]) for entry in found})
    return {
        "operator seconds": Output(0, str(int(time.time()))),
        "operator resolves": Output(0 if addresses else 2, " ".join(addresses)),
    }
