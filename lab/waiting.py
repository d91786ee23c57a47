"""Polling for a condition, always with a deadline."""

import time
from collections.abc import Callable

from lab.errors import LabError

INTERVAL = 0.02


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `condition()` holds; LabError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(INTERVAL)
