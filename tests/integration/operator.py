"""An operator in a folder of its own: inventory, secrets, and `fab` as a person runs it."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab import Host, Lab

ROOT = Path(__file__).parents[2]
FAB = Path(sys.executable).with_name("fab")
SECONDS = 900  # no run of fab takes longer
RELEASES = ROOT / ".lab" / "releases"
# Values that are found nowhere else: a test looks for them everywhere.
CANARIES = {
    "HARBOR_ADMIN_PASSWORD": "Canary-Admin-4711",
    "HARBOR_DATABASE_PASSWORD": "Canary-Database-4711",
}


@dataclass
class Done:
    """What `fab` left: exit code, and both streams together."""

    code: int
    text: str
    seconds: float

    @property
    def changes(self) -> list[str]:
        """The lines of changes, applied (`+`) or pending (`~`), without host and step."""
        words = (line.split(" ", 2) for line in self.text.splitlines())
        return [word[2] for word in words if len(word) == 3 and word[1] in ("+", "~")]


@dataclass
class Started:
    """A `fab` that may still run, and the file that its output goes to."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    def says(self, pattern: str, times: int = 1) -> bool:
        """Wait until it has printed lines that match so often; False when it ended before."""
        deadline = time.monotonic() + SECONDS
        while len(re.findall(f"(?m)^.*{pattern}", self.text)) < times:
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)
        return True


@dataclass
class Operator:
    """`values` is the inventory; every call of `fab` writes it down first."""

    folder: Path
    lab: Lab
    values: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=lambda: dict(CANARIES))

    def set(self, **harbor: Any) -> None:
        """Change settings of all Harbor hosts; None takes one out."""
        self.values["harbor"].update(harbor)
        self.values["harbor"] = {k: v for k, v in self.values["harbor"].items() if v is not None}

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "hosts.yaml").open("w") as stream:
            YAML(typ="safe").dump(self.values, stream)
        env = self.folder / ".env"
        env.write_text("".join(f"{name}={value}\n" for name, value in self.secrets.items()))
        env.chmod(0o600)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "HARBOR_INVENTORY": str(self.folder / "hosts.yaml"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **more,
        }

    def start(self, *words: str, **env: str) -> "Started":
        """`fab` in the background, all its output in one file."""
        self.write()
        log = self.folder / f"fab-{time.monotonic_ns()}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [str(FAB), *words],
                cwd=ROOT,
                env=self.environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        return Started(process, log)

    def fab(self, *words: str, expect: int | None = 0, **env: str) -> Done:
        """Run `fab` to its end; fails the test when it ends otherwise than expected."""
        began = time.monotonic()
        started = self.start(*words, **env)
        code = started.process.wait(timeout=SECONDS)
        text = started.text
        done = Done(code, text, time.monotonic() - began)
        assert expect is None or done.code == expect, f"fab {words}: {done.code}\n{text}"
        assert not [canary for canary in self.secrets.values() if canary in text], "a secret shows"
        return done


def ask(
    host: Host,
    method: str,
    path: str,
    body: Any = None,
    password: str = CANARIES["HARBOR_ADMIN_PASSWORD"],
) -> tuple[int, Any]:
    """Harbor's API as another client on the host asks it: the status, and the document if any."""
    data = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
    words = ["curl", "-sS", "-K-", "-X", method, "-w", "\\n%{http_code}", *data]
    words.append(f"http://127.0.0.1:8080/api/v2.0{path}")
    # The password travels by standard input, as everywhere.
    text = host.run(shlex.join(words), stdin=f'user = "admin:{password}"\n').stdout
    content, _, status = text.rpartition("\n")
    is_document = content.lstrip().startswith(("{", "["))
    return int(status), json.loads(content) if is_document else None


def small_harbor(**more: Any) -> dict[str, Any]:
    """Settings for a lab host, with the stand-in release."""
    version = more.get("version", "2.15.2")
    return {
        "version": version,
        "hostname": "harbor-cache.example.com",
        "timezone": "America/Argentina/Buenos_Aires",
        "requirements": {"cpus": 1, "memory": "1G", "disk": "5G", "free_disk": "2G"},
        "release": {"file": str(RELEASES / f"harbor-offline-installer-v{version}.tgz")},
        "traefik": {"image_archive": str(RELEASES / "traefik-v3.7.15.tar")},
        **more,
    }


def operator(
    folder: Path, lab: Lab, *harbors: str, clients: tuple[str, ...] = (), **harbor: Any
) -> Operator:
    """An operator whose inventory names these hosts of the lab."""
    hosts: dict[str, Any] = {name: {"role": "harbor"} for name in harbors}
    hosts |= {name: {"role": "client", "cache": harbors[0]} for name in clients}
    values = {
        "ssh": {"config": str(lab.ssh_config), "known_hosts": str(lab.known_hosts)},
        "hosts": hosts,
        "harbor": small_harbor(**harbor),
    }
    return Operator(folder, lab, values)
