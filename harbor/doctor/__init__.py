"""`fab doctor`: checks that read a host, and say cause and cure. None of them changes anything."""

from collections.abc import Iterable, Mapping

from harbor.doctor import cache, certificate, containers, entrance, installation, machine
from harbor.doctor.model import ERROR, SEVERITIES, WARNING, Check, Facts, Finding
from harbor.errors import CHANGES_PENDING, SettingsError, Unhealthy
from harbor.settings import Settings, suggestion
from harbor.shell import Output

CHECKS: tuple[Check, ...] = (
    *containers.CHECKS,
    *entrance.CHECKS,
    *certificate.CHECKS,
    *installation.CHECKS,
    *machine.CHECKS,
    *cache.CHECKS,
)


def chosen(names: str) -> tuple[Check, ...]:
    """The checks in `names` (commas between them; empty: all). Raises SettingsError."""
    known = {check.name: check for check in CHECKS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise SettingsError(f"no check `{name}`{suggestion(name, known)}")
    return tuple(known[name] for name in wanted) or CHECKS


def probe(settings: Settings, checks: Iterable[Check]) -> dict[str, str]:
    """All snippets of the checks, for one round trip."""
    return {key: text for check in checks for key, text in check.probe(settings).items()}


def examine(
    settings: Settings, checks: Iterable[Check], answers: Mapping[str, Output]
) -> list[Finding]:
    """What the checks find, the worst first."""
    facts = Facts(answers)
    found = [finding for check in checks for finding in check.findings(settings, facts)]
    return sorted(found, key=lambda finding: -SEVERITIES.index(finding.severity))


def exit_code(findings: Iterable[Finding]) -> int:
    """8 for an error, 2 for a warning, else 0."""
    severities = {finding.severity for finding in findings}
    if ERROR in severities:
        return Unhealthy.code
    return CHANGES_PENDING if WARNING in severities else 0
