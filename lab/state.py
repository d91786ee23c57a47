"""What is remembered of a host between two commands, in its folder's host.json."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.errors import LabError

FILE = "host.json"


@dataclass(frozen=True)
class HostState:
    """A host as asked for: its disk's layers (top first), its place, its cable."""

    name: str
    suite: str
    layer: str
    layers: tuple[str, ...]
    number: int
    aliases: tuple[str, ...] = ()
    linked: bool = True
    delay_ms: float = 0.0
    loss_percent: float = 0.0


def load(folder: Path) -> HostState:
    """The state in `folder`; LabError if there is no host."""
    try:
        known: dict[str, Any] = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        raise LabError(f"no host {folder.name} in the lab {folder.parent.parent.name}") from None
    known["aliases"] = tuple(known["aliases"])
    known["layers"] = tuple(known["layers"])
    return HostState(**known)


def save(folder: Path, state: HostState) -> None:
    """Write the state so that a reader sees the old one or the new one, never half."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / FILE, json.dumps(asdict(state), indent=1))


def change(folder: Path, **values: object) -> HostState:
    """Save and return the state with some fields replaced."""
    changed = replace(load(folder), **values)  # type: ignore[arg-type]
    save(folder, changed)
    return changed


def every(run: Path) -> list[HostState]:
    """All hosts of a lab by number."""
    folders = (found.parent for found in (run / "hosts").glob(f"*/{FILE}"))
    return sorted((load(folder) for folder in folders), key=lambda one: one.number)


def replace_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file by rename."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)
