"""File locks that die with the last process that holds them."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

MACHINE = Path("/run/lock/disposable-lab.lock")


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
    deadline = time.monotonic() + seconds
    while True:
        descriptor = _try(path, kind)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise LabError(f"another lab command is still working (lock {path})")
        time.sleep(0.05)


def _try(path: Path, kind: int) -> int | None:
    """The locked descriptor, or None when it is taken or the file was removed meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            os.set_inheritable(descriptor, True)
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
