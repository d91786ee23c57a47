"""The machine meets what Harbor and this tool need, or every unmet requirement is named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harbor import paths, versions
from harbor.sections import size_in_bytes
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, quote

# The oldest engine that Harbor documents (installation prerequisites).
DOCUMENTED_ENGINE = (20, 10, 10)
HARBORS_FOLDERS = {"database", "registry", "secret", "certificates"}


@dataclass(frozen=True)
class Finding:
    """One requirement that is not met; a `fatal` one stops the deploy before it changes anything."""

    what: str
    found: str
    wanted: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}, wanted {self.wanted}"


def probe(settings: Settings) -> dict[str, str]:
    data = quote(settings.harbor.data_volume)
    name = quote(settings.harbor.hostname)
    parent = f'd={data}; while [ ! -d "$d" ]; do d=$(dirname "$d"); done'
    return {
        "arch": "uname -m",
        "os": '. /etc/os-release; echo "$ID" "${VERSION_CODENAME:-}"',
        "init": "cat /proc/1/comm",
        "cpus": "nproc",
        "memory": "awk '/^MemTotal:/ {print $2 * 1024}' /proc/meminfo",
        "disk": f"{parent}; df -PB1 \"$d\" | awk 'NR==2 {{print $2, $4}}'",
        "data": f"cd {data} && stat -c %u . && ls -A",
        "engine": "dockerd --version",
        "clock": "date +%s",
        "listening": "ss -ltnpH",
        "resolves": f"getent ahosts {name} | awk '{{print $1}}' | sort -u",
        "addresses": "ip -o addr show | awk '{sub(/\\/.*/, \"\", $4); print $4}'",
        "uid": f"getent passwd {paths.UID}",
        "user": f"getent passwd {paths.USER}",
        "containers": (
            "timeout 20 docker ps -a --format "
            "'{{.Names}}\t{{.Label \"com.docker.compose.project\"}}\t{{.Ports}}'"
        ),
        "database": f"cd {data}/database && cat pg*/PG_VERSION PG_VERSION 2>/dev/null | sort -n | tail -n1",
        "own database": f"grep -c '^  postgresql:' {paths.COMPOSE}",
        "installed": f"sed -n 's/.*goharbor\\/prepare:v\\([0-9.]*\\).*/\\1/p' {paths.INSTALL}/prepare",
        "tools": "for t in base64 flock runuser bash stat sync install; do "
        'command -v "$t" >/dev/null || echo "$t"; done',
    }


def findings(settings: Settings, facts: Mapping[str, Output], seconds_now: float) -> list[Finding]:
    """Every unmet requirement. `seconds_now`: this machine's clock when the facts were read."""
    found = _Reader(settings, facts)
    return [
        *found.machine(),
        *found.clock(seconds_now),
        *found.ports(),
        *found.container_names(),
        *found.uid(),
        *found.name_resolution(),
        *found.upgrade(),
        *found.database_elsewhere(),
        *found.data_of_others(),
    ]


@dataclass(frozen=True)
class _Reader:
    settings: Settings
    facts: Mapping[str, Output]

    def get(self, key: str) -> str:
        return self.facts.get(key, NOT_READ).text.strip()

    def number(self, key: str, index: int = 0) -> int:
        words = self.get(key).split()
        return int(float(words[index])) if len(words) > index else 0

    def machine(self) -> list[Finding]:
        wanted = self.settings.harbor.requirements
        total, free = self.number("disk"), self.number("disk", 1)
        findings = []
        if self.get("arch") not in ("x86_64", "amd64"):
            findings.append(Finding("architecture", self.get("arch"), "x86_64 (Harbor's images)"))
        if self.get("init") != "systemd":
            findings.append(Finding("init", self.get("init") or "none", "systemd"))
        if missing := self.get("tools").split():
            findings.append(
                Finding("tools", f"no {', '.join(missing)}", "coreutils, util-linux, bash")
            )
        engine = re.search(r"(\d+)\.(\d+)\.(\d+)", self.get("engine"))
        if engine and tuple(map(int, engine.groups())) < DOCUMENTED_ENGINE:
            oldest = ".".join(map(str, DOCUMENTED_ENGINE))
            findings.append(Finding("docker engine", engine[0], f"{oldest} or later"))
        if self.number("cpus") < wanted.cpus:
            findings.append(
                Finding("processors", self.get("cpus"), f"{wanted.cpus} (requirements.cpus)")
            )
        # Firmware and the kernel keep a part: a "4 GB" machine shows about 3.8.
        if self.number("memory") < size_in_bytes(wanted.memory) * 0.9:
            findings.append(_size("memory", self.number("memory"), wanted.memory, "memory"))
        if total < size_in_bytes(wanted.disk) * 0.9:
            findings.append(_size("disk", total, wanted.disk, "disk"))
        if not self.is_installed and free < size_in_bytes(wanted.free_disk):
            findings.append(_size("free disk", free, wanted.free_disk, "free_disk"))
        return findings

    @property
    def is_installed(self) -> bool:
        return self.get("installed") == self.settings.harbor.version

    def clock(self, seconds_now: float) -> list[Finding]:
        skew = abs(self.number("clock") - seconds_now)
        limit = self.settings.harbor.requirements.clock_skew
        if skew <= limit:
            return []
        return [
            Finding(
                "clock",
                f"{skew:.0f} s away from this machine's",
                f"at most {limit} s (pull tokens expire)",
            )
        ]

    def ports(self) -> list[Finding]:
        harbor = self.settings.harbor
        wanted = {
            1514: "Harbor's log",
            harbor.public_https_port: "https",
            harbor.public_http_port: "http",
        }
        if harbor.with_traefik:
            wanted[harbor.http_port] = "Harbor"
        if harbor.metrics.enabled:
            wanted[harbor.metrics.port] = "metrics"
        published = self._published_by_others()
        findings = []
        for port, purpose in wanted.items():
            owner = published.get(port) or self._listener(port)
            if owner:
                findings.append(
                    Finding(f"port {port}", f"taken by {owner}", f"free, for {purpose}")
                )
        return findings

    def _published_by_others(self) -> dict[int, str]:
        lines = (line.split("\t") for line in self.facts.get("containers", NOT_READ).lines)
        return {
            port: f"container {line[0]}"
            for line in lines
            if len(line) > 2 and line[1] != paths.PROJECT
            for first, last in re.findall(r":(\d+)(?:-(\d+))?->", line[2])
            for port in range(int(first), int(last or first) + 1)
        }

    def _listener(self, port: int) -> str:
        """The program that listens there; what docker publishes is known by its container instead."""
        for line in self.get("listening").splitlines():
            words = line.split()
            if len(words) > 3 and words[3].rsplit(":", 1)[-1] == str(port):
                name = re.search(r'\(\("([^"]+)"', line)
                owner = name[1] if name else "another program"
                # With `userland-proxy: false` the engine itself holds the ports.
                return "" if owner in ("docker-proxy", "dockerd") else owner
        return ""

    def container_names(self) -> list[Finding]:
        wanted = set(self.settings.harbor.containers.values())
        lines = (line.split("\t") for line in self.facts.get("containers", NOT_READ).lines)
        return [
            Finding(f"container name {line[0]}", f"taken by project {line[1] or '(none)'}", "free")
            for line in lines
            if line[0] in wanted and line[1] != paths.PROJECT
        ]

    def uid(self) -> list[Finding]:
        owner = self.get("uid").split(":")[0]
        user = self.get("user").split(":")
        findings = []
        if owner and owner != paths.USER:
            findings.append(
                Finding(
                    f"UID {paths.UID}",
                    f"belongs to {owner}",
                    f"free or {paths.USER} (hard-coded in Harbor)",
                )
            )
        if len(user) > 2 and user[2] != str(paths.UID):
            findings.append(Finding(f"user {paths.USER}", f"has UID {user[2]}", f"UID {paths.UID}"))
        return findings

    def name_resolution(self) -> list[Finding]:
        name = self.settings.harbor.hostname
        resolved = set(self.get("resolves").split())
        if not resolved:
            return [
                Finding(f"name {name}", "not resolved by the host", "an address of it", fatal=False)
            ]
        if resolved & set(self.get("addresses").split()):
            return []
        shown = ", ".join(sorted(resolved))
        return [Finding(f"name {name}", f"is {shown}", "an address of this host", fatal=False)]

    def upgrade(self) -> list[Finding]:
        new = self.settings.harbor.release_version
        on_disk = self.number("database") or None
        if self.settings.harbor.external_database:
            on_disk = None
        installed = self.get("installed")
        if installed:
            problem = versions.upgrade_problem(versions.Version.parse(installed), new, on_disk)
        else:
            problem = versions.database_problem(new, on_disk)
        return [Finding("version", problem, f"a way from there to {new}")] if problem else []

    def data_of_others(self) -> list[Finding]:
        """The folder becomes that of Harbor's user: what somebody else keeps things in stays his."""
        owner, *names = [*self.facts.get("data", NOT_READ).lines, ""]
        there = {name for name in names if name} - {"lost+found"}
        if owner in ("", "0", str(paths.UID)) or not there or there & HARBORS_FOLDERS:
            return []
        shown = ", ".join(sorted(there)[:3])
        volume = self.settings.harbor.data_volume
        return [
            Finding(
                f"data_volume {volume}",
                f"of UID {owner} and in use ({shown})",
                "an empty folder, or Harbor's",
            )
        ]

    def database_elsewhere(self) -> list[Finding]:
        """Another database than the one in use starts empty: every project and user is gone."""
        external = self.settings.harbor.external_database is not None
        folder = f"{self.settings.harbor.data_volume}/database"
        uses_own, is_there = self.get("own database"), bool(self.get("database"))
        if external and uses_own == "1" and is_there:
            found, wanted = "Harbor's own in use", f"its content moved over and {folder} renamed"
        elif not external and uses_own == "0" and not is_there:
            found, wanted = "an external one in use", f"its content in {folder}"
        else:
            return []
        return [Finding("database", found, f"{wanted} (docs/deploy.md)")]


def _size(what: str, found: int, wanted: str, key: str) -> Finding:
    lacking = size_in_bytes(wanted) - found
    return Finding(
        what,
        f"{found / 2**30:.1f} GiB",
        f"{wanted}, {lacking / 2**30:.1f} GiB more (requirements.{key})",
    )
