"""A deployed Harbor host that the tests of the operating tasks share, one a suite."""

import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any

from lab import HostSpec, Lab
from tests.integration.operator import FAB, ROOT, ask, operator

HARBOR_NAME = "harbor-cache.example.com"
STORE = "cd /data/certificates && find . -type f | sort | xargs sha256sum"
# By the way that clients come; 404 is Traefik's while it has no route.
ENTRANCE = (
    "curl -sk --max-time 5 -o /dev/null -w '%{http_code}' "
    f"--resolve {HARBOR_NAME}:443:127.0.0.1 https://{HARBOR_NAME}/"
)
HEALTH = "curl -sS --max-time 5 http://127.0.0.1:8080/api/v2.0/health"
STARTED = (
    "docker ps -aq --filter label=com.docker.compose.project=harbor | xargs docker inspect -f "
    "'{{.State.StartedAt}} {{.Name}}' | sort"
)
# What Traefik writes with Let's Encrypt, so that the store has more than our own pair in it.
ACME = '{"letsencrypt": {"Account": {"Email": "ops@example.com"}, "Certificates": []}}'


class Site:
    """A host deployed once, with its operator; tests leave it healthy."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.suite = suite
        self.lab = Lab(f"it-operate-{suite}")
        self.host = self.lab.up_all([HostSpec("cache", suite, "docker", (HARBOR_NAME,))])[0]
        self.me = operator(folder, self.lab, "cache")
        self.me.fab("deploy")
        self.host.write("/data/certificates/acme.json", ACME, mode="0600", owner="harbor")
        self.me.fab("deploy")

    def run(self, script: str, *, check: bool = True) -> str:
        """A script as root on the host, past the network."""
        return str(self.host.run(script, check=check).stdout)

    def store(self) -> str:
        return self.run(STORE)

    def containers(self) -> str:
        return self.run("docker ps -aq --no-trunc | sort")

    def json(self, *words: str, expect: int | None = 0) -> dict[str, Any]:
        """The host's part of what a task says with `--json`."""
        self.me.write()
        done = subprocess.run(
            [FAB, *words, "--json"],
            cwd=ROOT, env=self.me.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, done.stdout + done.stderr
        found = json.loads(done.stdout)["hosts"][0]
        assert isinstance(found, dict)
        return found

    def api(self, method: str, path: str, body: Any = None) -> int:
        """A request to Harbor's API on the host, as admin; its status."""
        return ask(self.host, method, path, body)[0]

    def is_healthy(self) -> bool:
        """Harbor's own word, every container's, and Traefik leads to it."""
        said = self.host.run(HEALTH, check=False).stdout
        shown = self.host.run("docker ps -a --format '{{.Names}} {{.Status}}'", check=False).stdout
        names = [line.split(" ", 1) for line in shown.splitlines()]
        well = [
            name for name, status in names if status.startswith("Up") and "health:" not in status
        ]
        wrong = [name for name, status in names if "unhealthy" in status]
        leads = self.host.run(ENTRANCE, check=False).stdout in ("200", "308")
        well_said = '"healthy"' in said and "unhealthy" not in said
        return well_said and len(well) >= 10 and not wrong and leads

    def wait_healthy(self, seconds: float = 240) -> float:
        """Seconds until it is healthy again without a hand."""
        began = time.monotonic()
        while not self.is_healthy():
            assert time.monotonic() - began < seconds, self.run("docker ps -a", check=False)
            time.sleep(1)
        return time.monotonic() - began


def at_terminal(
    site: Site, words: list[str], answer: str, when_asked: Any = None
) -> tuple[int, str]:
    """Run `fab` at a terminal and answer its question; exit code and what was shown."""
    site.me.write()
    number, terminal = pty.openpty()
    process = subprocess.Popen(
        [FAB, *words], cwd=ROOT, env=site.me.environment(),
        stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True,
    )  # fmt: skip
    os.close(terminal)
    shown = ""
    asked = False
    while True:
        try:
            chunk = os.read(number, 65536).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            break
        shown += chunk
        if not chunk:
            break
        if "[yes/NO]" in shown and not asked:
            asked = True
            if when_asked:
                when_asked()
            os.write(number, f"{answer}\n".encode())
    os.close(number)
    return process.wait(60), shown
