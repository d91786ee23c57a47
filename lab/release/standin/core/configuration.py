"""What the container's environment says, and the switches that only a stand-in has.

The switches live in <data>/stand-in/ and are read again whenever they change:

    settings.json     Windows: how long the genuine waits last here
    upstreams.json    {"quay.io": "http://198.18.0.5:5000"}: other addresses for public hosts
    docker-hub-url    one line; the address that stands for registry-1.docker.io and hub.docker.com
    faults.json       faults to inject, see faults.py
    requests.log      what was asked: time, method, path, status
"""

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

DATA = Path("/data")
SWITCHES = DATA / "stand-in"
HUB_HOSTS = ("registry-1.docker.io", "hub.docker.com", "index.docker.io")


@dataclass(frozen=True)
class Environment:
    """The variables of common/config/core/env that are used."""

    external_url: str
    admin_password: str
    registry_url: str
    registry_user: str
    registry_password: str
    registryctl_url: str
    jobservice_url: str
    portal_url: str
    redis_url: str
    registry_redis_url: str
    jobservice_secret: str
    csrf_key: str
    proxy_types: tuple[str, ...]
    adapters: tuple[str, ...]
    with_trivy: bool
    storage: str

    @classmethod
    def read(cls) -> "Environment":
        """From os.environ; KeyError when prepare did not write it."""
        env = os.environ
        return cls(
            env["EXT_ENDPOINT"],
            env["HARBOR_ADMIN_PASSWORD"],
            env["REGISTRY_URL"],
            env["REGISTRY_CREDENTIAL_USERNAME"],
            env["REGISTRY_CREDENTIAL_PASSWORD"],
            env["REGISTRY_CONTROLLER_URL"],
            env["JOBSERVICE_URL"],
            env["PORTAL_URL"],
            env["_REDIS_URL_CORE"],
            env["_REDIS_URL_REG"],
            env["JOBSERVICE_SECRET"],
            env["CSRF_KEY"],
            tuple(env["PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE"].split(",")),
            tuple(filter(None, env.get("REPLICATION_ADAPTER_WHITELIST", "").split(","))),
            env["WITH_TRIVY"] == "True",
            env["REGISTRY_STORAGE_PROVIDER_NAME"],
        )


def database_parameters() -> dict[str, str]:
    """How to reach PostgreSQL, for psycopg2.connect."""
    env = os.environ
    return {
        "host": env["POSTGRESQL_HOST"],
        "port": env["POSTGRESQL_PORT"],
        "user": env["POSTGRESQL_USERNAME"],
        "password": env["POSTGRESQL_PASSWORD"],
        "dbname": env["POSTGRESQL_DATABASE"],
        "sslmode": env["POSTGRESQL_SSLMODE"],
    }


@dataclass(frozen=True)
class Windows:
    """Waits in seconds, shortened for tests; the genuine figure stands beside each."""

    health: float = 2  # 10: first health check and its period
    registry_check: float = 15  # 300: how often an upstream registry is probed
    manifest: float = 0.5  # 20: between two looks whether all blobs of a manifest are here
    manifest_deadline: float = 200  # 200
    index: float = 2  # 400: how long more platforms of an index are waited for
    tag: float = 0.5  # 10: until a cached manifest gets its tag
    login_lock: float = 1.5  # 1.5
    upstream_timeout: float = 30  # 30: connecting to an upstream
    blob_age_hours: float = 2  # 2: garbage collection spares younger blobs


class Switches:
    """The files in <data>/stand-in, read when they are asked for."""

    def __init__(self, folder: Path = SWITCHES) -> None:
        self.folder = folder

    def windows(self) -> Windows:
        """settings.json over the defaults; unknown keys are ignored."""
        given = self.json("settings.json") or {}
        known = {one.name for one in fields(Windows)}
        return Windows(**{key: float(str(value)) for key, value in given.items() if key in known})

    def upstream(self, url: str) -> str:
        """The address to use for an upstream's url: another one, or the same."""
        host = urlsplit(url).netloc
        hub = self._line("docker-hub-url")
        if hub and host in HUB_HOSTS:
            return hub.rstrip("/")
        other = (self.json("upstreams.json") or {}).get(host)
        return str(other).rstrip("/") if other else url.rstrip("/")

    def json(self, name: str) -> dict[str, object] | None:
        """A JSON file, or None when it is not there."""
        path = self.folder / name
        if not path.exists():
            return None
        value: dict[str, object] = json.loads(path.read_text())
        return value

    def _line(self, name: str) -> str:
        path = self.folder / name
        return path.read_text().strip() if path.exists() else ""
