"""One cgroup tree for each host: what to kill is what is in it, whoever started it.

Paths are relative, like "lab-1a2b3c-name/machine", and exist in cgroup v2 and, where the
machine runs the hybrid layout, in v1's name=systemd hierarchy too (systemd needs both).
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lab import waiting
from lab.errors import LabError

MOUNT = Path("/sys/fs/cgroup")
# The lock's descriptor ($0) is closed once the process can be found by its cgroup.
JOIN = """
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done
shift
[ "$0" = none ] || eval "exec $0>&-"
exec "$@"
"""


def hierarchies() -> list[Path]:
    """Mount points to use, v2 first; LabError on a machine without cgroup v2."""
    found = [at for at in (MOUNT, MOUNT / "unified") if (at / "cgroup.controllers").exists()]
    if not found:
        raise LabError("this machine has no cgroup v2")
    named = MOUNT / "systemd"
    return found + ([named] if (named / "cgroup.procs").exists() else [])


def command(group: str, argv: Sequence[str], lock: int | None = None) -> list[str]:
    """`argv` wrapped so that it joins `group` (created here), then lets go of `lock`."""
    files = []
    for hierarchy in hierarchies():
        folder = hierarchy / group
        folder.mkdir(parents=True, exist_ok=True)
        files.append(str(folder / "cgroup.procs"))
    return ["bash", "-euc", JOIN, "none" if lock is None else str(lock), *files, "--", *argv]


def daemon(group: str, argv: Sequence[str], log: Path, lock: int | None = None) -> None:
    """Start `argv` in `group`, detached from us; returns when it is seen there."""
    with log.open("ab") as out:
        subprocess.run(
            ["setsid", "--fork", *command(group, argv, lock)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            check=True,
            pass_fds=[] if lock is None else [lock],
        )
    waiting.until(lambda: bool(processes(group)), 10, f"{argv[0]} to start, see {log}")


def processes(group: str) -> set[int]:
    """Every process in `group` and below; empty if there is no such group."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for folder in _deepest_first(hierarchy / group):
            with suppress(OSError):  # it went away meanwhile
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
    return found - {0}


def kill(group: str, seconds: float = 30) -> None:
    """SIGKILL everything in `group` and remove it.

    By process, not by writing cgroup.kill, after which Linux 6.18 was seen to refuse the
    group to new processes.  LabError if something survives for `seconds`.
    """
    waiting.until(lambda: not _killed(group), seconds, f"processes of {group} to end")
    waiting.until(lambda: _removed(group), seconds, f"cgroup {group} to be removable")


def named(prefix: str) -> set[str]:
    """Names of the top groups that start with `prefix`."""
    return {path.name for at in hierarchies() for path in at.glob(prefix + "*") if path.is_dir()}


def _killed(group: str) -> set[int]:
    alive = processes(group)
    for pid in alive:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return alive


def _removed(group: str) -> bool:
    for folder in [path for at in hierarchies() for path in _deepest_first(at / group)]:
        with suppress(OSError):  # gone, or not empty yet
            folder.rmdir()
    return not any((at / group).exists() for at in hierarchies())


def _deepest_first(top: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(top, topdown=False):
        yield Path(folder)
