"""File locks that die with the last process that holds them."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.console import say
from lab.errors import LabError

MACHINE = Path("/run/lock/disposable-lab.lock")
# Children inherit the locks; those that number their own descriptors from below are not disturbed.
LOWEST = 100
PATIENCE = 2.0  # seconds before people are told what is waited for


def of_lab(tag: str) -> Path:
    """Held shared by whatever changes a lab's hosts, and alone by its `down`."""
    return Path(f"/run/lock/lab-{tag}.lock")


@contextmanager
def hold(path: Path, seconds: float, *, shared: bool = False) -> Iterator[int]:
    """Hold the lock `path` (created if need be) and yield its descriptor.

    The descriptor is inheritable, so a child that survives a killed parent keeps the lock.
    LabError when it is not free within `seconds`.
    """
    descriptor = _acquire(path, seconds, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(path: Path, seconds: float, kind: int) -> int:
    start = time.monotonic()
    told = False
    while (descriptor := _try(path, kind)) is None:
        waited = time.monotonic() - start
        if waited > seconds:
            raise LabError(f"another lab command is still working (lock {path})")
        if waited > PATIENCE and not told:
            say(f"waiting for another lab command (lock {path})")
            told = True
        time.sleep(0.05)
    return descriptor


def _try(path: Path, kind: int) -> int | None:
    """The locked descriptor, or None when it is taken or the file was removed meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD, LOWEST)  # which children inherit
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        os.close(descriptor)
    return None
