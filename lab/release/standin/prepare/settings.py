"""harbor.yml read and judged as Harbor's prepare does it.

A rule that Harbor checks itself raises Rejected (exit code 255).  A key that Harbor simply
reads and that is not there ends in a KeyError, which is the traceback and exit code 1 that the
genuine prepare shows.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ruamel.yaml import YAML

from lab.release.standin.versions import Release

FORBIDDEN_HOSTNAMES = ("127.0.0.1", "reg.mydomain.com")
TEMPLATE_CERTIFICATE = "/your/certificate/path"
LOG_LEVELS = ("debug", "info", "warning", "error", "fatal")
INTERNAL = (
    "127.0.0.1",
    "localhost",
    ".local",
    ".internal",
    "log",
    "db",
    "redis",
    "nginx",
    "core",
    "portal",
    "postgresql",
    "jobservice",
    "registry",
    "registryctl",
    "trivy-adapter",
    "harbor-jobservice",
    "exporter",
    "harbor-core",
)
STORAGE_KINDS = ("filesystem", "azure", "gcs", "s3", "swift", "oss")

Document = Mapping[str, Any]


class Rejected(Exception):
    """A rule of harbor.yml is broken; prepare ends with 255."""


@dataclass(frozen=True)
class Https:
    """Harbor's own TLS: nginx serves it with this pair."""

    port: object
    certificate: str
    private_key: str


@dataclass(frozen=True)
class Database:
    """Where core keeps its state."""

    host: str
    port: object
    name: str
    user: str
    password: object
    ssl_mode: str
    max_idle: object
    max_open: object
    external: bool


@dataclass(frozen=True)
class Redis:
    """The Redis of each component as a URL."""

    core: str
    jobservice: str
    registry: str
    address: str
    password: object
    registry_database: int
    sentinel: bool
    external: bool


@dataclass(frozen=True)
class Log:
    """Where and how much is logged."""

    level: str
    rotate_count: object
    rotate_size: object
    location: str
    endpoint: Document | None


@dataclass(frozen=True)
class Flags:
    """The options of `./prepare`."""

    trivy: bool = False
    notary: bool = False
    chartmuseum: bool = False


@dataclass(frozen=True)
class Settings:
    """All of harbor.yml that the templates use."""

    release: Release
    flags: Flags
    hostname: str
    external_url: str
    http_port: object
    https: Https | None
    admin_password: object
    data_volume: str
    database: Database
    redis: Redis
    log: Log
    max_job_workers: object
    job_loggers: list[str]
    job_hours: int
    sweeper_days: object
    webhook_retries: object
    webhook_timeout: object
    storage: Document
    ca_bundle: str | None
    proxy: Document
    metric: Document | None
    trivy: Document
    cache: Document
    purging: Document
    quota_provider: str
    ipv6: bool = False
    proxy_components: list[str] = field(default_factory=list)

    @property
    def protocol(self) -> str:
        return "https" if self.https else "http"


def load(path: Path) -> Document:
    """The YAML (1.1, as Harbor reads it) of a file; what is not a mapping is Rejected."""
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)
    document = reader.load(path.read_text())
    if not isinstance(document, dict):
        raise Rejected("harbor.yml is not a mapping")
    return document


def parse(document: Document, release: Release, flags: Flags) -> Settings:
    """Read the keys in Harbor's order.  KeyError: a required key is missing."""
    hostname = document["hostname"]
    http_port = (document.get("http") or {}).get("port", 80)
    https = _https(document)
    notification = document["notification"]
    jobservice = document["jobservice"]
    proxy = document.get("proxy") or {}
    storage = document.get("storage_service") or {}
    return Settings(
        release=release,
        flags=flags,
        hostname=str(hostname),
        http_port=http_port,
        https=https,
        external_url=document.get("external_url") or _public_url(hostname, http_port, https),
        admin_password=document["harbor_admin_password"],
        data_volume=document["data_volume"],
        database=_database(document, release),
        redis=_redis(document),
        log=_log(document),
        max_job_workers=jobservice["max_job_workers"],
        job_loggers=_since(release, "job-loggers", jobservice, "job_loggers", ["FILE"]),
        job_hours=_job_hours(jobservice),
        sweeper_days=_since(release, "logger-sweeper", jobservice, "logger_sweeper_duration", 1),
        webhook_retries=notification["webhook_job_max_retry"],
        webhook_timeout=_since(
            release, "webhook-timeout", notification, "webhook_job_http_client_timeout", 3
        ),
        storage={key: value for key, value in storage.items() if key != "ca_bundle"},
        ca_bundle=storage.get("ca_bundle"),
        proxy=proxy,
        proxy_components=list(proxy.get("components") or []),
        metric=_metric(document),
        trivy=document.get("trivy") or {},
        cache=document.get("cache") or {},
        purging=document.get("upload_purging") or {},
        quota_provider=(document.get("core") or {}).get("quota_update_provider", "db"),
        ipv6=bool(((document.get("ip_family") or {}).get("ipv6") or {}).get("enabled")),
    )


def validate(settings: Settings, document: Document, host_root: Path) -> None:
    """Raise Rejected for the first rule that is broken; `host_root` is where the host's / is."""
    if settings.hostname in FORBIDDEN_HOSTNAMES:
        raise Rejected(f"{settings.hostname} can not be the hostname, set the name of this host")
    if settings.https and settings.https.certificate == TEMPLATE_CERTIFICATE:
        raise Rejected("The protocol is https but attribute ssl_cert is not set")
    if (document.get("internal_tls") or {}).get("enabled"):
        raise Rejected("the stand-in release has no TLS between its components (internal_tls)")
    _check_bundle(settings.ca_bundle, host_root)
    _check_sections(settings, document)
    if settings.log.level not in LOG_LEVELS:
        raise ValueError(f"Invalid log level: {settings.log.level}")


def no_proxy(settings: Settings) -> str:
    """NO_PROXY of the components: the internal names and what harbor.yml adds."""
    extra = str(settings.proxy.get("no_proxy") or "")
    return ",".join(sorted({*INTERNAL, *filter(None, extra.split(","))}))


def _https(document: Document) -> Https | None:
    block = document.get("https")
    if not block:
        return None
    return Https(block.get("port", 443), block["certificate"], block["private_key"])


def _public_url(hostname: object, http_port: object, https: Https | None) -> str:
    scheme, port, usual = ("https", https.port, 443) if https else ("http", http_port, 80)
    return f"{scheme}://{hostname}" if port == usual else f"{scheme}://{hostname}:{port}"


def _database(document: Document, release: Release) -> Database:
    external = (document.get("external_database") or {}).get("harbor")
    if external:
        return Database(
            external["host"],
            external["port"],
            external["db_name"],
            external["username"],
            external["password"],
            external["ssl_mode"],
            external.get("max_idle_conns", 2),
            external.get("max_open_conns", 0),
            external=True,
        )
    block = document["database"] or {}
    return Database(
        "postgresql",
        5432,
        "registry",
        "postgres",
        block["password"],
        "disable",
        block.get("max_idle_conns", 2),
        block.get("max_open_conns", 0),
        external=False,
    )


def _redis(document: Document) -> Redis:
    external = document.get("external_redis")
    indexes = external or document.get("redis") or {}
    block = external or {"host": "redis:6379"}

    def url(database: int) -> str:
        user = quote(str(block.get("username") or ""), safe="")
        password = quote(str(block.get("password") or ""), safe="")
        login = f"{user}:{password}@" if user or password else ""
        master = block.get("sentinel_master_set")
        if master:
            return f"redis+sentinel://{login}{block['host']}/{master}/{database}"
        return f"redis://{login}{block['host']}/{database}"

    return Redis(
        core=url(indexes.get("harbor_db_index", 0)) + "?idle_timeout_seconds=30",
        jobservice=url(indexes.get("jobservice_db_index", 2)) + "?idle_timeout_seconds=30",
        registry=url(indexes.get("registry_db_index", 1)),
        address=str(block["host"]),
        password=block.get("password") or "",
        registry_database=indexes.get("registry_db_index", 1),
        sentinel=bool(block.get("sentinel_master_set")),
        external=bool(external),
    )


def _log(document: Document) -> Log:
    block = document["log"]
    local = block["local"]
    endpoint = block.get("external_endpoint")
    return Log(
        block["level"],
        local["rotate_count"],
        local["rotate_size"],
        local["location"],
        endpoint or None,
    )


def _metric(document: Document) -> Document | None:
    metric = document.get("metric")
    if not metric:
        return None
    found = {"enabled": metric["enabled"], "port": metric["port"], "path": metric["path"]}
    return found if found["enabled"] else None


def _since(release: Release, feature: str, block: Document, key: str, default: Any) -> Any:
    """A key that is required from `feature` on, and unknown before."""
    return block[key] if release.has(feature) else default


def _job_hours(block: Document) -> int:
    hours = block.get("max_job_duration_hours", 24)
    return hours if isinstance(hours, int) and hours >= 24 else 24


def _check_bundle(bundle: str | None, host_root: Path) -> None:
    if not bundle:
        return
    path = host_root / bundle.lstrip("/")
    if not path.is_file():
        raise Rejected(f"storage_service.ca_bundle {bundle} does not exist")
    status = path.stat()
    if status.st_uid != 10000 and not status.st_mode & stat.S_IROTH:
        raise Rejected(f"storage_service.ca_bundle {bundle} is not readable by uid 10000")
    if not os.access(path, os.R_OK):
        raise Rejected(f"storage_service.ca_bundle {bundle} is not readable")


def _check_sections(settings: Settings, document: Document) -> None:
    release = settings.release
    kinds = [kind for kind in STORAGE_KINDS if kind in settings.storage]
    if len(kinds) > 1:
        raise Rejected(f"storage_service: choose one of {', '.join(kinds)}")
    if release.has("upload-purging") and settings.purging.get("enabled"):
        _check_hours(settings.purging, "age")
        _check_hours(settings.purging, "interval")
    cached = release.has("cache-section") and settings.cache.get("enabled")
    if cached and settings.cache.get("expire_hours", 24) <= 0:
        raise Rejected("cache expire hours should be positive number")
    if release.has("quota-provider") and settings.quota_provider not in ("db", "redis"):
        raise Rejected("quota update provider must be db or redis")
    _check_endpoint(settings.log.endpoint)
    _check_trace(document.get("trace") or {})


def _check_hours(purging: Document, key: str) -> None:
    text = str(purging.get(key, "24h"))
    if not (text.endswith("h") and text[:-1].isdigit() and int(text[:-1]) >= 2):
        raise Rejected(f"upload_purging.{key} should be Nh with N >= 2, not {text}")


def _check_endpoint(endpoint: Document | None) -> None:
    if endpoint is None:
        return
    if endpoint.get("protocol") not in ("udp", "tcp"):
        raise Rejected("log.external_endpoint: protocol must be udp or tcp")
    if not endpoint.get("host"):
        raise Rejected("log.external_endpoint: host is missing")
    port = endpoint.get("port")
    if not isinstance(port, int) or not 0 < port <= 65535:
        raise Rejected("log.external_endpoint: port is not valid")


def _check_trace(trace: Document) -> None:
    if not trace.get("enabled"):
        return
    if len([kind for kind in ("jaeger", "otel") if trace.get(kind)]) != 1:
        raise Rejected("trace: exactly one of jaeger and otel is needed")
