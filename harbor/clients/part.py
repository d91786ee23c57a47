"""What one runtime on one client gets."""

from collections.abc import Iterable
from dataclasses import dataclass

from harbor.errors import OpsError
from harbor.files import ManagedFile
from harbor.shell import command, forget_failure, started


@dataclass(frozen=True)
class Part:
    """Files, the runtime's own check of them, and how its running process comes to see them.

    `loaded`: it runs with them already. `reload` makes it so, and must be harmless to repeat: it
    is also what follows an undo. `confirm` fails while the process does not have them; `test`
    fails when an image cannot be pulled. `notes` are said, `refused` is why nothing is done.
    """

    runtime: str
    files: tuple[ManagedFile, ...] = ()
    check: str = ""
    loaded: bool = True
    reload: str = ""
    reload_why: str = ""
    confirm: str = ""
    test: str = ""
    notes: tuple[str, ...] = ()
    refused: OpsError | None = None


def ca_files(folder: str, hosts: Iterable[str], ca: bytes) -> tuple[ManagedFile, ...]:
    """`FOLDER/HOST[:PORT]/ca.crt` for each host: what docker, podman and containerd look for."""
    return tuple(
        ManagedFile(f"{folder}/{host}/ca.crt", ca, shows="nothing")
        for host in (hosts if ca else ())
    )


def newer_than_start(path: str, unit: str) -> str:
    """Snippet: succeeds when `path` is missing, or was written before `unit` started."""
    return "\n".join(
        [
            f"[ -e {path} ] || exit 0",
            f"{started(unit)} &&",
            f'[ "$(stat -c %Z {path})" -le "$started" ]',
        ]
    )


def restart(unit: str) -> str:
    """Script: restart a systemd unit, even one that was restarted often of late."""
    return f"{forget_failure(unit)}\n{command('systemctl', 'restart', unit)}"


def poll(condition: str, seconds: int, otherwise: str) -> str:
    """Script: wait until `condition` (one shell command) holds, or say `otherwise` and fail."""
    return "\n".join(
        [
            f"left={seconds * 2}",
            f"until {condition}; do",
            "  left=$((left - 1))",
            f"  [ $left -gt 0 ] || {{ echo {command(otherwise)} >&2; exit 1; }}",
            "  sleep 0.5",
            "done",
        ]
    )
