"""What an operator asks a Harbor host every day, as data and as a table."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography import x509

from harbor import lock, paths
from harbor.certificates import names_of
from harbor.prune import human
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, quote
from harbor.steps import health

# Labels, names and times only: a container's environment holds secrets.
INSPECT = (
    '{{index .Config.Labels "com.docker.compose.service"}}\t{{.Name}}\t{{.State.Status}}\t'
    "{{if .State.Health}}{{.State.Health.Status}}{{end}}\t{{.State.StartedAt}}\t"
    "{{.State.FinishedAt}}\t{{.RestartCount}}\t{{.Config.Image}}"
)
CONTAINERS = (
    "timeout 20 docker ps -aq --no-trunc "
    f"--filter label=com.docker.compose.project={paths.PROJECT} | "
    f"xargs -r docker inspect --format {quote(INSPECT)}"
)


@dataclass(frozen=True)
class Component:
    """One container of the project."""

    service: str
    name: str
    state: str
    health: str
    since: str  # ISO time at which it came into this state
    restarts: int
    image: str


@dataclass(frozen=True)
class Served:
    """The certificate that clients are shown."""

    issuer: str
    names: tuple[str, ...]
    ends: str
    days_left: int


@dataclass(frozen=True)
class Status:
    """Everything `fab status` says of one host; `problems` is empty when it is healthy."""

    components: tuple[Component, ...]
    problems: Mapping[str, str]
    harbor: Mapping[str, str]
    version: str
    unit: str
    certificate: Served | None
    disks: Mapping[str, tuple[int, int]]  # what for -> (total, free) bytes
    log_bytes: int
    locked_by: Mapping[str, str]
    last_audit: Mapping[str, Any]
    drift: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def served_certificate(settings: Settings) -> str:
    """Snippet: the leaf that the host shows under its public name."""
    harbor = settings.harbor
    return (
        f"timeout 10 openssl s_client -connect 127.0.0.1:{harbor.public_https_port} "
        f"-servername {quote(harbor.url_host)} </dev/null 2>/dev/null | openssl x509"
    )


def probe(settings: Settings) -> dict[str, str]:
    harbor = settings.harbor
    data, log = quote(harbor.data_volume), quote(harbor.log.location)
    size = "df -PB1 {} | awk 'NR==2 {{print $2, $4}}'"
    return {
        **health.probe(settings),
        "inspect": CONTAINERS,
        "version": f"sed -n 's/.*goharbor\\/prepare:v\\([0-9.]*\\).*/\\1/p' {paths.INSTALL}/prepare",
        "unit": "systemctl is-active harbor.service",
        "certificate": served_certificate(settings),
        "disk data": size.format(data),
        "disk docker": "d=$(timeout 20 docker info --format '{{.DockerRootDir}}') && "
        + size.format('"$d"'),
        "disk log": size.format(log),
        "log": f"timeout 10 du -sxB1 {log} | cut -f1",
        "lock": lock.PROBE,
        "audit": f"tail -n 1 {paths.AUDIT}",
        "clock": "date -u +%Y-%m-%dT%H:%M:%S+00:00",
    }


def parse(settings: Settings, facts: Mapping[str, Output], drift: Sequence[str] = ()) -> Status:
    def get(key: str) -> Output:
        return facts.get(key, NOT_READ)

    pairs = {
        key.removeprefix("disk "): get(key).text.split() for key in facts if key[:5] == "disk "
    }
    return Status(
        components=components(get("inspect")),
        problems=health.problems(settings, facts),
        harbor=_own_health(get("body")),
        version=get("version").text.strip(),
        unit=get("unit").text or "unknown",
        certificate=certificate(get("certificate"), clock(get("clock"))),
        disks={name: (int(p[0]), int(p[1])) for name, p in pairs.items() if len(p) == 2},
        log_bytes=int(get("log").text or 0),
        locked_by=lock.holder(get("lock")),
        last_audit=_json(get("audit")),
        drift=tuple(drift),
    )


def components(found: Output) -> tuple[Component, ...]:
    """The project's containers by service; those of Harbor's own compose file first."""
    rows = [line.split("\t") for line in found.lines]
    parts = [
        Component(
            service=row[0],
            name=row[1].lstrip("/"),
            state=row[2],
            health=row[3],
            since=(row[4] if row[2] == "running" else row[5])[:19],
            restarts=int(row[6] or 0),
            image=row[7],
        )
        for row in rows
        if len(row) == 8
    ]
    return tuple(sorted(parts, key=lambda part: (part.service == "traefik", part.service)))


def clock(found: Output) -> datetime.datetime | None:
    """The host's own time, to which everything on it is relative."""
    return datetime.datetime.fromisoformat(found.text) if found.ok else None


def certificate(found: Output, now: datetime.datetime | None) -> Served | None:
    """What the PEM text of a leaf says; None where there is none."""
    try:
        leaf = x509.load_pem_x509_certificate(found.text.encode())
    except ValueError:
        return None
    ends = leaf.not_valid_after_utc
    return Served(
        issuer=leaf.issuer.rfc4514_string(),
        names=tuple(names_of(leaf)),
        ends=ends.strftime("%Y-%m-%d"),
        days_left=(ends - now).days if now else 0,
    )


def _own_health(body: Output) -> dict[str, str]:
    answer = _json(body)
    parts = answer.get("components") or []
    own = {str(c["name"]): str(c.get("error") or c.get("status")) for c in parts if "name" in c}
    return {"harbor": str(answer.get("status", "no answer")), **own}


def _json(found: Output) -> dict[str, Any]:
    try:
        parsed = json.loads(found.text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Rows in columns of equal width, the first row being the heading."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in texts) for n in range(len(texts[0]))]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in texts
    ]


def lines(settings: Settings, status: Status) -> list[str]:
    """The status of one host for people."""
    heading = ("component", "state", "health", "since (UTC)", "image")
    missing = sorted(set(settings.harbor.containers) - {c.service for c in status.components})
    rows = [
        (c.service, c.state, c.health or "-", c.since.replace("T", " "), c.image)
        for c in status.components
    ]
    rows += [(name, "MISSING", "-", "-", "-") for name in missing]
    told, problems = status.harbor, sorted(status.problems.items())
    parts = ", ".join(f"{name} {state}" for name, state in told.items() if name != "harbor")
    return [
        *table([heading, *rows]),
        f"harbor       {told['harbor']}" + (f" ({parts})" if parts else ""),
        f"version      {status.version or 'not installed'}, unit {status.unit}",
        f"certificate  {_certificate_words(status.certificate)}",
        f"disk         {_disk_words(status)}",
        f"lock         {lock.words(dict(status.locked_by)) if status.locked_by else 'free'}",
        f"last change  {_audit_words(status.last_audit)}",
        f"inventory    {_drift_words(status.drift)}",
        *(f"problem      {name}: {' '.join(reason.split())}" for name, reason in problems),
    ]


def _certificate_words(served: Served | None) -> str:
    if served is None:
        return "none is shown"
    return (
        f"{', '.join(served.names) or 'no names'}, by {served.issuer}, "
        f"{served.days_left} days left ({served.ends})"
    )


def _disk_words(status: Status) -> str:
    parts = [
        f"{name} {human(free)} free of {human(total)} ({100 - free * 100 // max(total, 1)} % used)"
        for name, (total, free) in status.disks.items()
    ]
    return "; ".join([*parts, f"log files {human(status.log_bytes)}"])


def _audit_words(audit: Mapping[str, Any]) -> str:
    if not audit:
        return "none recorded"
    count = len(audit.get("changes") or [])
    return f"{audit.get('when')} {audit.get('why')} by {audit.get('who')} on {audit.get('from')}, {count} changes"


def _drift_words(drift: Sequence[str]) -> str:
    if not drift:
        return "the host is as it says"
    return f"{len(drift)} differences (`fab plan`): {'; '.join(drift[:3])}" + (
        "; ..." if len(drift) > 3 else ""
    )
