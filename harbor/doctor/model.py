"""What a check is, and what it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harbor.settings import Settings
from harbor.shell import NOT_READ, Output

INFO, WARNING, ERROR = "info", "warning", "error"
SEVERITIES = (INFO, WARNING, ERROR)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: why, and what to do, as a command or as the line to change."""

    check: str
    severity: str
    cause: str
    cure: str


Found = list[tuple[str, str, str]]  # severity, cause, cure


class Facts:
    """What the host answered, by the key of each snippet; what was not asked is not read."""

    def __init__(self, answers: Mapping[str, Output]) -> None:
        self.answers = answers

    def get(self, key: str) -> Output:
        return self.answers.get(key, NOT_READ)

    def text(self, key: str) -> str:
        return self.get(key).text.strip()

    def lines(self, key: str) -> list[str]:
        return self.get(key).lines


@dataclass(frozen=True)
class Check:
    """A name, the question it answers, what it reads, and what it concludes: (severity, cause, cure).

    `examine` is pure; snippets of two checks under the same key must be the same.
    """

    name: str
    question: str
    probe: Callable[[Settings], dict[str, str]]
    examine: Callable[[Settings, Facts], Found]

    def findings(self, settings: Settings, facts: Facts) -> list[Finding]:
        return [Finding(self.name, *found) for found in self.examine(settings, facts)]
