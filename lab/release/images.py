"""The images of a Harbor version: their names, users, entry points and health checks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.release import archive
from lab.release.archive import Entry, Image, Layer
from lab.release.standin.versions import Release

HOME = "/opt/stand-in"
HARBOR = "10000:10000"
DATABASE = "999:999"
SECOND = 1_000_000_000  # durations in image configurations are nanoseconds
NGINX_VOLUMES = ("/run", "/var/cache/nginx", "/var/log/nginx")
NO_PYTHON = ("bin", "etc", "portal")  # folders of standin/ that lie directly below HOME
STANDIN = Path(__file__).parent / "standin"


@dataclass(frozen=True)
class Part:
    """One image of the release; `needs` is a feature that its version must have."""

    image: str
    role: str
    user: str
    health: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    needs: str | None = None
    arguments: tuple[str, ...] = ()


PARTS = (
    Part("prepare", "prepare", "0:0"),
    Part("harbor-log", "log", "0:0", ("log",), ("/run", "/etc/logrotate.d", "/var/log/docker")),
    Part("registry-photon", "registry", HARBOR, ("http", "5000", "/"), ("/storage",)),
    Part("harbor-registryctl", "registryctl", HARBOR, ("http", "8080", "/api/health")),
    Part(
        "harbor-db",
        "postgresql",
        DATABASE,
        ("postgresql",),
        ("/run/postgresql", "/var/lib/postgresql/data"),
    ),
    Part("harbor-core", "core", HARBOR, ("http", "8080", "/api/v2.0/ping")),
    Part("harbor-portal", "portal", HARBOR, ("nginx",), NGINX_VOLUMES),
    Part(
        "harbor-jobservice",
        "jobservice",
        HARBOR,
        ("http", "8080", "/api/v1/stats"),
        ("/var/log/jobs",),
    ),
    Part("redis-photon", "redis", DATABASE, ("redis",), ("/var/lib/redis",)),
    Part("nginx-photon", "proxy", HARBOR, ("nginx",), NGINX_VOLUMES),
    Part(
        "trivy-adapter-photon",
        "placeholder",
        HARBOR,
        ("http", "8080", "/probe/healthy"),
        arguments=("trivy-adapter",),
    ),
    Part("harbor-exporter", "exporter", HARBOR, ("http", "9090", "/")),
    Part(
        "chartmuseum-photon",
        "placeholder",
        HARBOR,
        ("http", "8080", "/health"),
        needs="flag-chartmuseum",
        arguments=("chartmuseum",),
    ),
    Part(
        "notary-server-photon",
        "placeholder",
        HARBOR,
        needs="flag-notary",
        arguments=("notary-server",),
    ),
    Part(
        "notary-signer-photon",
        "placeholder",
        HARBOR,
        needs="flag-notary",
        arguments=("notary-signer",),
    ),
)


def of(release: Release) -> list[Image]:
    """All images of one version."""
    return [_image(part, release) for part in _parts(release)]


def scripts(release: Release) -> Layer:
    """The layer with everything of our own, the version written into it."""
    return archive.layer(_entries(release))


def _entries(release: Release) -> Iterator[Entry]:
    root = HOME.lstrip("/")
    yield Entry("opt", None, 0o755)
    yield Entry(root, None, 0o755)
    yield Entry(f"{root}/VERSION", f"{release}\n".encode())
    for path in NO_PYTHON:
        yield Entry(f"{root}/{path}", None, 0o755)
        yield from archive.tree(STANDIN / path, f"{root}/{path}")
    for folder in ("lab", "lab/release", "lab/release/standin"):
        yield Entry(f"{root}/{folder}", None, 0o755)
    for entry in archive.tree(STANDIN, f"{root}/lab/release/standin"):
        if entry.path.split("/")[5] not in NO_PYTHON:
            yield entry


def _parts(release: Release) -> Iterator[Part]:
    for part in PARTS:
        if part.needs is None or release.has(part.needs):
            yield part


def _image(part: Part, release: Release) -> Image:
    name = part.image
    if name == "redis-photon" and release.has("valkey"):
        name = "valkey-photon"
    return Image(
        reference=f"goharbor/{name}:{release.tag}",
        entrypoint=("/opt/stand-in/bin/entry.sh", part.role, *part.arguments),
        user=part.user,
        environment=_environment(release),
        volumes=part.volumes,
        labels=_labels(part, release),
        healthcheck=_healthcheck(part.health) if part.health else None,
    )


def _environment(release: Release) -> dict[str, str]:
    old, new = release.database_majors
    return {
        "PATH": "/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
        ":/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": HOME,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "STAND_IN_DATABASE_MAJOR": new,
        "STAND_IN_DATABASE_OLD_MAJOR": old or "",
        "STAND_IN_DATABASE_SILENT": "yes" if release.has("database-silent-init") else "",
    }


def _labels(part: Part, release: Release) -> dict[str, str]:
    return {
        "stand-in": "true",
        "org.opencontainers.image.title": f"STAND-IN for goharbor/{part.image}, not genuine",
        "org.opencontainers.image.version": release.tag,
    }


def _healthcheck(arguments: tuple[str, ...]) -> dict[str, object]:
    """Every 3 s, where Harbor's images have 30 s: on Engine 20.10 a start takes at least that.

    StartInterval is for Engine 25 and newer.
    """
    return {
        "Test": ["CMD", f"{HOME}/bin/health.sh", *arguments],
        "Interval": 3 * SECOND,
        "Timeout": 10 * SECOND,
        "Retries": 3,
        "StartPeriod": 20 * SECOND,
        "StartInterval": SECOND,
    }
