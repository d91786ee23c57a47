"""A call that changes Harbor, with its reason; and a plan of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harbor.shell import Secret


@dataclass(frozen=True)
class Call:
    """One change: `what` it is about, `why`, and the request; `body` may hold `Secret` values.

    `ready` is false while something that it refers to is not there: it is shown in a plan, and
    made after the next look. `remember` are secrets that Harbor holds once it has succeeded.
    `ping` is the registry whose upstream has to answer afterwards.
    """

    what: str
    why: str
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    ready: bool = True
    remember: Mapping[str, Secret] = field(default_factory=dict)
    ping: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True)
class Plan:
    """`problems` forbid the first call; `warnings` are only said."""

    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __add__(self, other: "Plan") -> "Plan":
        return Plan(
            self.calls + other.calls,
            self.problems + other.problems,
            self.warnings + other.warnings,
        )


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """Field -> `old → new` for every field of `wanted` that is otherwise in `found`."""
    return {
        key: f"{key}: {shown(found.get(key))} → {shown(value)}"
        for key, value in wanted.items()
        if found.get(key) != value
    }


def shown(value: object) -> str:
    """A value in a reason."""
    if value is None or value == "":
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
