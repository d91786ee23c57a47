"""What differs between Harbor versions 2.4 to 2.15, as one table a question."""

from typing import NamedTuple


class Version(NamedTuple):
    """A release number: `Version.parse("2.15.2")` is `(2, 15, 2)` and compares as such."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "Version":
        """`X.Y.Z`, with or without a leading `v`. Raises ValueError for anything else."""
        numbers = text.removeprefix("v").split(".")
        if len(numbers) != 3 or not all(n.isdecimal() for n in numbers):
            raise ValueError(f"{text!r} is not a release number like 2.15.2")
        return cls(*(int(n) for n in numbers))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


OLDEST, NEWEST = (2, 4), (2, 15)


def supported(version: Version) -> bool:
    """Whether this project knows the release line."""
    return OLDEST <= version[:2] <= NEWEST


def warnings(version: Version) -> list[str]:
    """What an operator should know before choosing this release.

    Source: goharbor/harbor issues 23025, 23145, 23190 (Docker Hub login), make/install.sh of
    2.5.3 (compose detection).
    """
    found = []
    if version == (2, 15, 0):
        found.append("2.15.0 cannot pull from Docker Hub (403 at login); 2.15.1 mends it")
    elif version < (2, 14, 4):
        found.append(
            "before 2.14.4 Harbor logs in to Docker Hub at a deprecated address; "
            "with Docker Hub credentials prefer 2.14.4, or 2.15.1 and later"
        )
    if version < (2, 9, 0):
        found.append("before 2.9 an upstream's 429 may be answered from outdated cache entries")
    return found


def compose_file_version(version: Version) -> str | None:
    """The `version:` of the generated compose file, which an override has to repeat.

    Source: make/photon/prepare/templates/docker_compose: '2.3' up to 2.11, none from 2.12.
    """
    return "2.3" if version < (2, 12, 0) else None


def database_major(version: Version) -> int:
    """The PostgreSQL major that harbor-db runs (make/photon/db/Dockerfile at each release)."""
    if version >= (2, 15, 2):
        return 18
    if version >= (2, 11, 0):
        return 15
    return 14 if version >= (2, 9, 0) else 13


def database_upgrades_from(version: Version) -> int | None:
    """The one older PostgreSQL major that this release's harbor-db can upgrade, if any.

    Any other major on disk means that harbor-db starts an empty database without a word
    (make/photon/db/docker-entrypoint.sh, 2.7 and later).
    """
    if version >= (2, 15, 2):
        return 15
    if version >= (2, 11, 0):
        return 14
    if version >= (2, 9, 0):
        return 13
    # The major of 2.4 to 2.6 came from 9.6; its folder has no number of its own.
    return None


def signature(version: Version) -> str | None:
    """How upstream signs the tarball: `gpg` up to 2.11, `cosign` from 2.15, else nothing."""
    if version < (2, 12, 0):
        return "gpg"
    return "cosign" if version >= (2, 15, 0) else None


def service_containers(
    *, trivy: bool, metrics: bool, database: bool, redis: bool
) -> dict[str, str]:
    """Compose service -> container name of what Harbor runs as a cache.

    Source: make/photon/prepare/templates/docker_compose/docker-compose.yml.jinja; the names
    are the same from 2.4 to 2.15. Chartmuseum and Notary are never asked for.
    """
    wanted = {"postgresql": database, "redis": redis, "trivy-adapter": trivy, "exporter": metrics}
    names = {
        "log": "harbor-log",
        "registry": "registry",
        "registryctl": "registryctl",
        "postgresql": "harbor-db",
        "core": "harbor-core",
        "portal": "harbor-portal",
        "jobservice": "harbor-jobservice",
        "redis": "redis",
        "proxy": "nginx",
        "trivy-adapter": "trivy-adapter",
        "exporter": "harbor-exporter",
    }
    return {service: name for service, name in names.items() if wanted.get(service, True)}


def upgrade_problem(old: Version, new: Version, database: int | None) -> str | None:
    """Why an installation of `old` cannot become `new`, or None.

    `database` is the PostgreSQL major found on disk. Source: the upgrade documentation of each
    release, and make/photon/db/Dockerfile for the majors that harbor-db can upgrade.
    """
    if new < old:
        return f"{old} is installed: Harbor cannot go back to {new} (no schema downgrade exists)"
    oldest = OLDEST_UPGRADE.get(new[:2])
    if old[:2] != new[:2] and oldest and old[:2] < oldest:
        return (
            f"{old} is installed: {new} upgrades from {oldest[0]}.{oldest[1]} and later only; "
            "go there in steps"
        )
    return database_problem(new, database)


def database_problem(new: Version, database: int | None) -> str | None:
    """Why `new` would not find the database on disk, or None. `database`: its PostgreSQL major."""
    if database is None or database == database_major(new):
        return None
    if database == database_upgrades_from(new):
        return None
    return (
        f"the database on disk is PostgreSQL {database}, Harbor {new} runs {database_major(new)}"
        f" and would silently start with an empty one"
    )


# Target -> the oldest release line that its upgrade documentation allows to start from.
OLDEST_UPGRADE = {
    (2, 5): (2, 3),
    (2, 6): (2, 4),
    (2, 7): (2, 5),
    (2, 8): (2, 6),
    (2, 9): (2, 7),
    (2, 10): (2, 8),
    (2, 11): (2, 9),
    (2, 12): (2, 10),
    (2, 13): (2, 11),
    (2, 14): (2, 11),
    (2, 15): (2, 12),
}
