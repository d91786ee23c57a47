"""Faults on demand, for tests of what a client does with them.

<data>/stand-in/faults.json is a list, the first match counts:

    [{"method": "POST", "path": "^/api/v2.0/projects$", "times": 2, "status": 500},
     {"path": "/api/v2.0/registries", "times": 1, "cut": true, "after": true, "delay": 0.5}]

`method` is absent for any; `path` is a regular expression that is searched; `times` is absent
for always; `status` answers with Harbor's error body, `cut` closes the connection without an
answer, `delay` waits first.  `after` lets the request take effect and only spoils the answer.
The counts start again when the file is written again.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.release.standin.web import Request, Response

from .errors import ApiError


class Faults:
    """The file, and how often each of its faults has been used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = 0
        self._faults: list[dict[str, Any]] = []

    def around(self, request: Request, answer: Callable[[], Response]) -> Response:
        """`answer()`, or what the file puts in its place."""
        fault = self._take(request)
        if fault is None:
            return answer()
        time.sleep(fault.get("delay", 0))
        if fault.get("after"):
            answer()
        if fault.get("cut"):
            return Response(cut=True)
        if "status" in fault:
            return ApiError(fault["status"], "a fault of the stand-in").response()
        return answer()

    def _take(self, request: Request) -> dict[str, Any] | None:
        with self._lock:
            self._reload()
            for fault in self._faults:
                if self._matches(fault, request):
                    fault["times"] -= 1
                    return fault
        return None

    def _reload(self) -> None:
        stamp = self._path.stat().st_mtime_ns if self._path.exists() else 0
        if stamp != self._stamp:
            self._stamp = stamp
            loaded = json.loads(self._path.read_text()) if stamp else []
            self._faults = [{"times": float("inf"), **fault} for fault in loaded]

    @staticmethod
    def _matches(fault: dict[str, Any], request: Request) -> bool:
        return (
            fault["times"] > 0
            and fault.get("method", request.method) == request.method
            and re.search(fault["path"], request.path) is not None
        )
