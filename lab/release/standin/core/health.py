"""The state of the components, asked in the background as Harbor does it."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .client import Client, Unreachable
from .database import Unavailable
from .redisclient import RedisError

if TYPE_CHECKING:
    from .app import Core

Check = Callable[[], None]


class Unhealthy(Exception):
    """A component does not answer as it should."""


class Health:
    """The last answers; before the first round everything is unhealthy."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._checks = _checks(core)
        self._errors: dict[str, str | None] = dict.fromkeys(self._checks, "unknown status")

    def start(self) -> None:
        """Check for ever, in a thread for each component so that none delays the others."""
        for name, check in self._checks.items():
            threading.Thread(target=self._watch, args=(name, check), daemon=True).start()

    def report(self) -> dict[str, Any]:
        """The body of GET /health."""
        components = []
        for name, error in self._errors.items():
            status = {"name": name, "status": "unhealthy" if error else "healthy"}
            components.append({**status, "error": error} if error else status)
        healthy = not any(self._errors.values())
        return {"status": "healthy" if healthy else "unhealthy", "components": components}

    def _watch(self, name: str, check: Check) -> None:
        while True:
            time.sleep(self._core.switches.windows().health)
            try:
                check()
                self._errors[name] = None
            except (Unhealthy, Unreachable, Unavailable, RedisError) as failed:
                self._errors[name] = str(failed)


def _checks(core: "Core") -> dict[str, Check]:
    environment = core.environment
    checks: dict[str, Check] = {
        "core": lambda: None,
        "portal": _http(environment.portal_url + "/"),
        "jobservice": _http(environment.jobservice_url + "/api/v1/stats"),
        "registry": _http(environment.registry_url + "/"),
        "registryctl": _http(environment.registryctl_url + "/api/health"),
        "database": lambda: _database(core),
        "redis": core.redis.ping,
    }
    if environment.with_trivy:
        checks["trivy"] = _http("http://trivy-adapter:8080/probe/healthy")
    return checks


def _http(url: str) -> Check:
    client = Client(url, timeout=10)

    def check() -> None:
        answered = client.open("GET", "")
        answered.close()
        if answered.status != 200:
            raise Unhealthy(f"{url}: {answered.status}")

    return check


def _database(core: "Core") -> None:
    core.database.one("SELECT 1")
