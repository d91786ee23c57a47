"""Everything that differs between Harbor versions, in one place.

The facts are those of Harbor 2.4 to 2.15 as its installer, templates and handlers have them at
each tag.  A feature is written as the first version that has it, and the first that no longer
has it.
"""

import re
from dataclasses import dataclass

OLDEST = (2, 4, 0)
NEWEST = (2, 15, 99)
# The last part of `harbor_version` is a commit in the genuine Harbor: eight hexadecimal digits.
BUILD = "57a4d140"

Version = tuple[int, int, int]

# feature: (since, until); None means: from the beginning, or to this day.
FEATURES: dict[str, tuple[Version | None, Version | None]] = {
    # installer
    "compose-version-line": (None, (2, 12, 0)),
    "compose-plugin": ((2, 5, 4), None),
    "valkey": ((2, 15, 2), None),
    "flag-chartmuseum": (None, (2, 8, 0)),
    "flag-notary": (None, (2, 9, 0)),
    "flag-clair": (None, (2, 9, 0)),
    "database-silent-init": ((2, 7, 0), None),
    "scandata-exports": ((2, 6, 0), (2, 8, 0)),
    # harbor.yml
    "upload-purging": ((2, 5, 0), None),
    "cache-section": ((2, 6, 0), None),
    "connection-lifetime": ((2, 7, 0), None),
    "trivy-security-check": ((2, 7, 0), None),
    "logger-sweeper": ((2, 8, 0), None),
    "webhook-timeout": ((2, 8, 0), None),
    "redirect-disable": ((2, 8, 0), None),
    "job-loggers": ((2, 9, 0), None),
    "redis-section": ((2, 9, 0), None),
    "quota-provider": ((2, 9, 0), None),
    "ip-family": ((2, 11, 0), None),
    "job-duration": ((2, 13, 0), None),
    "redis-tls": ((2, 13, 0), None),
    "trivy-repositories": ((2, 15, 0), None),
    # API
    "library-redirect": ((2, 7, 0), None),
    "upstream-429": ((2, 7, 3), None),
    "password-upper-bound": ((2, 8, 0), None),
    "primary-auth-mode": ((2, 8, 0), None),
    "purge-audit": ((2, 6, 0), None),
    "gc-stop": ((2, 6, 0), None),
    "gc-workers": ((2, 9, 0), None),
    "gc-freed-space": ((2, 9, 0), None),
    "gc-delete-tag": ((2, 15, 0), None),
    "permissions": ((2, 10, 0), None),
    "c-timeouts": ((2, 12, 0), None),
    "audit-log-ext": ((2, 13, 0), None),
    "audit-event-types": ((2, 13, 0), None),
    "project-robots-v1": (None, (2, 13, 0)),
    "adapter-whitelist": ((2, 14, 0), None),
    "registry-ca": ((2, 15, 0), None),
    "metadata-cosign": ((2, 5, 0), None),
    "metadata-sbom": ((2, 11, 0), None),
    "proxy-speed": ((2, 12, 0), None),
    "max-upstream": ((2, 14, 1), None),
    "local-on-not-found": ((2, 15, 1), None),
}

# first version: (major that is upgraded from or None, major that runs)
DATABASE_MAJORS: tuple[tuple[Version, str | None, str], ...] = (
    ((2, 15, 2), "15", "18"),
    ((2, 11, 0), "14", "15"),
    ((2, 9, 0), "13", "14"),
    ((2, 7, 0), None, "13"),
    ((2, 4, 0), "96", "13"),
)

ADAPTERS = (
    "docker-hub",
    "docker-registry",
    "harbor",
    "aws-ecr",
    "azure-acr",
    "google-gcr",
    "ali-acr",
    "github-ghcr",
    "quay",
    "jfrog-artifactory",
    "gitlab",
    "dtr",
    "huawei-SWR",
    "tencent-tcr",
    "volcengine-cr",
)
HIDDEN_ADAPTERS = ("quay", "gitlab", "dtr")  # from 2.14, by REPLICATION_ADAPTER_WHITELIST
PROXY_TYPES: tuple[tuple[str, Version | None, Version | None], ...] = (
    ("docker-hub", None, None),
    ("harbor", None, None),
    ("azure-acr", None, None),
    ("aws-ecr", None, None),
    ("google-gcr", None, None),
    ("quay", None, (2, 14, 0)),
    ("docker-registry", None, None),
    ("github-ghcr", (2, 6, 0), None),
    ("jfrog-artifactory", (2, 7, 0), None),
    ("ali-acr", (2, 12, 0), None),
)


@dataclass(frozen=True, order=True)
class Release:
    """One Harbor version, e.g. `Release.parse("2.15.2")`."""

    version: Version

    @classmethod
    def parse(cls, text: str) -> "Release":
        """Read "2.15.2" or "v2.15.2"; ValueError outside 2.4 to 2.15."""
        match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", text)
        version = tuple(int(part) for part in match.groups()) if match else (0, 0, 0)
        if not OLDEST <= version <= NEWEST:
            raise ValueError(f"{text!r} is not a Harbor version from 2.4.0 to 2.15")
        major, minor, patch = version
        return cls((major, minor, patch))

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.version)

    @property
    def tag(self) -> str:
        """The tag of its images, e.g. v2.15.2."""
        return f"v{self}"

    @property
    def minor(self) -> str:
        """What `_version` in harbor.yml holds, e.g. 2.15.0."""
        return f"{self.version[0]}.{self.version[1]}.0"

    @property
    def build(self) -> str:
        """What /api/v2.0/systeminfo calls `harbor_version`."""
        return f"{self.tag}-{BUILD}"

    def has(self, feature: str) -> bool:
        """Whether this version has a feature of FEATURES."""
        return _within(self.version, *FEATURES[feature])

    @property
    def database_majors(self) -> tuple[str | None, str]:
        """The PostgreSQL major it upgrades from (None: none), and the one it runs."""
        found = next(row for row in DATABASE_MAJORS if self.version >= row[0])
        return found[1], found[2]

    @property
    def passes_429(self) -> bool:
        """Whether an upstream's 429 reaches the client (fixed in 2.7.3, 2.8.2 and 2.9)."""
        return self.has("upstream-429") and self.version not in ((2, 8, 0), (2, 8, 1))

    @property
    def proxy_types(self) -> tuple[str, ...]:
        """The registry types that a proxy project may have."""
        return tuple(
            name for name, since, until in PROXY_TYPES if _within(self.version, since, until)
        )

    @property
    def adapters(self) -> tuple[str, ...]:
        """The registry types that GET /replication/adapters lists."""
        hidden = HIDDEN_ADAPTERS if self.has("adapter-whitelist") else ()
        return tuple(name for name in ADAPTERS if name not in hidden)


def _within(version: Version, since: Version | None, until: Version | None) -> bool:
    return (since is None or version >= since) and (until is None or version < until)
