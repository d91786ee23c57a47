"""The settings of one Harbor host: typed, frozen, and every mistake named with its key.

`hosts.yaml` gives the values, `.env` the secrets. This module sees them as plain
dictionaries; `tasks/_inventory.py` reads the files. pydantic is used here and nowhere else.
"""

import difflib
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from harbor import versions
from harbor.acme import providers
from harbor.acme.settings import Acme
from harbor.certificates import Certificates
from harbor.configuration.settings import Configuration
from harbor.errors import SettingsError
from harbor.sections import FromEnvironment, Section, Size
from harbor.shell import Secret
from harbor.versions import Version

DEFAULT_PASSWORDS = ("Harbor12345", "root123")
# Compose interpolates `$`, strips quotes and takes ` #` for a comment in env files, and
# prepare writes both passwords there unquoted: nothing else survives (Harbor 2.4 to 2.15).
PASSWORD_CHARACTERS = re.compile(r"[A-Za-z0-9._-]+")
HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}")
UPSTREAM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?")

LOG_PORT, HTTPS_PORT = 1514, 443
# Whoever owns the data volume is changed: these belong to everybody, or to the system.
SHARED = r"(/(home(/[^/]+)?|media|mnt|opt|srv|tmp|var(/lib|/log|/tmp)?))?"
SYSTEM = (
    r"/(bin|boot|dev|etc|lib|lib64|opt/harbor|proc|root|run|sbin|sys|usr|var/lib/(docker|containerd))"
    r"(/.*)?"
)
NOT_FOR_DATA = re.compile(f"{SHARED}|{SYSTEM}")
Port = Annotated[int, Field(ge=1, le=65535)]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\s\x00-\x1f'\"#$`:]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Requirements(Section):
    """What the machine must have; lower them for a small host (Harbor's own documented minimum)."""

    cpus: int = Field(2, ge=1, description="processors")
    memory: Size = Field("4G", description="total memory; 10% less is still accepted")
    disk: Size = Field("40G", description="total size of the file system of data_volume")
    free_disk: Size = Field("5G", description="free space there while images are to be loaded")
    clock_skew: int = Field(60, ge=1, description="seconds between this machine and the host")


class Docker(Section):
    """Where the engine comes from and what its daemon.json must contain."""

    source: Literal["distribution", "docker", "present"] = Field(
        "distribution", description="the system's packages, Docker's repository, or already there"
    )
    live_restore: bool = Field(True, description="containers outlive a restart of the engine")
    log_max_size: str = Field("10m", pattern=r"^\d+[kmg]$", description="of one log file")
    log_max_files: int = Field(3, ge=1, description="log files of a container")


class Release(Section):
    """Where the offline installer comes from and how it is verified."""

    fetch: Literal["host", "operator"] = Field(
        "host", description="who downloads: the host, or this machine for hosts without internet"
    )
    url: str = Field(
        "https://github.com/goharbor/harbor/releases/download/"
        "v{version}/harbor-offline-installer-v{version}.tgz",
        description="{version} is replaced",
        pattern=r"^https?://",
    )
    file: str | None = Field(None, description="a tarball on this machine instead of `url`")
    sha256: Sha256 | None = Field(None, description="digest of the tarball: the best verification")
    verify: Literal["sha256", "gpg", "cosign", "md5"] = Field(
        "sha256", description="gpg up to 2.11, cosign from 2.15, md5 is the weakest"
    )
    gpg_key: str | None = Field(None, description="file with Harbor's public signing key")

    @model_validator(mode="after")
    def _verifiable(self) -> "Release":
        if self.verify != "sha256" and self.fetch == "host":
            raise ValueError(
                f"verify: {self.verify} needs fetch: operator (the check runs on this machine); "
                "or pin sha256"
            )
        if self.verify == "sha256" and not self.sha256 and not self.file:
            raise ValueError(
                "sha256 is missing: pin the digest of the tarball, or set fetch: operator and "
                "verify: gpg, cosign or md5, which print it"
            )
        if self.verify == "gpg" and not self.gpg_key:
            raise ValueError("verify: gpg needs gpg_key, the file with Harbor's public key")
        return self


class Tls(Section):
    """Which certificate clients see, and who shows it."""

    mode: Literal["ca", "files", "acme"] = Field(
        "ca", description="a small CA of our own, given certificate files, or Let's Encrypt"
    )
    ends_at: Literal["traefik", "harbor"] = Field("traefik", description="who ends TLS")
    certificate: str | None = Field(None, description="files: PEM, intermediates behind the leaf")
    key: str | None = Field(None, description="files: the private key, PEM, not encrypted")
    ca: str | None = Field(
        None, description="files, acme: the CA that clients must trust, if private"
    )
    extra_names: list[str] = Field([], description="more names for the certificate (ca, acme)")
    acme: Acme | None = None

    @field_validator("extra_names")
    @classmethod
    def _names_or_addresses(cls, value: list[str]) -> list[str]:
        for name in value:
            if not HOST_NAME.fullmatch(name.removeprefix("*.")) and ":" not in name:
                raise ValueError(f"{name!r} is not a host name (write IDN names as xn--...)")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Tls":
        missing = [
            k for k in ("certificate", "key") if self.mode == "files" and not getattr(self, k)
        ]
        if missing:
            raise ValueError(f"mode: files needs {' and '.join(missing)}")
        pair = ("certificate", "key")
        unfit = {"ca": (*pair, "ca"), "files": (), "acme": pair}[self.mode]
        given = [key for key in unfit if getattr(self, key)]
        if given:
            raise ValueError(f"{', '.join(given)}: only with mode: files")
        if self.mode == "acme" and not self.acme:
            raise ValueError("mode: acme needs acme (at least acme.email)")
        if self.mode == "acme" and self.ends_at != "traefik":
            raise ValueError("mode: acme needs ends_at: traefik, which orders the certificate")
        return self


class Traefik(Section):
    """The service beside Harbor's that ends TLS and redirects http."""

    version: str = Field("v3.7.15", pattern=r"^v\d+\.\d+(\.\d+)?$", description="image tag")
    provider: Literal["docker", "file"] = Field(
        "docker", description="labels read from the engine's socket, or a file and no socket"
    )
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    restart: Literal["unless-stopped", "always", "on-failure"] = "unless-stopped"
    image_archive: str | None = Field(
        None, description="`docker save` of the image on this machine, for hosts without internet"
    )
    read_timeout: int = Field(
        1800, ge=0, description="seconds; Traefik's own 60 cut long pushes; 0 is none"
    )

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor = self.version.removeprefix("v").split(".")[:2]
        return int(major), int(minor)


class ExternalDatabase(Section):
    host: str
    port: Port = 5432
    db_name: str = "registry"
    username: str
    password: FromEnvironment
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    max_idle_conns: int = Field(2, ge=0)
    max_open_conns: int = Field(0, ge=0)


class ExternalRedis(Section):
    host: str = Field(description="host:port, or sentinel hosts host1:port,host2:port")
    sentinel_master_set: str | None = None
    username: str | None = Field(None, description="Harbor 2.8 and later")
    password: FromEnvironment | None = None
    registry_db_index: int = Field(1, ge=0)
    jobservice_db_index: int = Field(2, ge=0)
    trivy_db_index: int = Field(5, ge=0)
    idle_timeout_seconds: int = Field(30, ge=0)


class Storage(Section):
    """One storage driver of distribution, with its options as distribution names them."""

    driver: Literal["filesystem", "s3", "gcs", "azure", "swift", "oss"] = "filesystem"
    options: dict[str, str | int | bool | FromEnvironment] = Field(
        {}, description="secret values as `{env: NAME}`"
    )
    disable_redirect: bool = Field(False, description="blobs stream through Harbor")
    ca_bundle: AbsolutePath | None = Field(None, description="on the host: more CAs for Harbor")

    @model_validator(mode="after")
    def _has_options(self) -> "Storage":
        if self.driver != "filesystem" and not self.options:
            raise ValueError(f"driver: {self.driver} needs options (as distribution names them)")
        return self


class Proxy(Section):
    """The way out to the upstream registries."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: list[str] = Field([])
    components: list[Literal["core", "jobservice", "trivy"]] = Field(
        ["core", "jobservice", "trivy"]
    )


class Metrics(Section):
    enabled: bool = False
    port: Port = 9090
    path: str = Field("/metrics", pattern=r"^/\S*$")


class Trivy(Section):
    enabled: bool = False
    ignore_unfixed: bool = False
    skip_update: bool = False
    offline_scan: bool = False
    insecure: bool = False
    timeout: str = Field("5m0s", pattern=r"^(\d+[hms])+$")
    github_token: FromEnvironment | None = None


class Log(Section):
    # prepare takes `fatal` too, but distribution then refuses to start ("invalid loglevel").
    level: Literal["debug", "info", "warning", "error"] = "info"
    rotate_count: int = Field(10, ge=0)
    rotate_size: str = Field("50M", pattern=r"^\d+[kMG]?$", description="of each service's file")
    location: AbsolutePath = "/var/log/harbor"


class Cache(Section):
    """Redis cache of manifests and projects inside core (Harbor 2.6 and later)."""

    enabled: bool = False
    expire_hours: int = Field(24, ge=1)


class Mirror(Section):
    """How clients reach one upstream registry through this cache."""

    project: str | None = Field(None, description="the proxy project; default: proxy.<upstream>")
    name: str | None = Field(
        None,
        description="a host name that serves this upstream alone: every docker can use it as a "
        "mirror. It must lead to the host; the project must be public",
    )
    test_image: str = Field(
        "",
        pattern=r"^([a-z0-9]\S*[:@]\S+)?$",
        description="repository:tag that proves it by a pull",
    )

    @field_validator("name")
    @classmethod
    def _host_name(cls, value: str | None) -> str | None:
        if value is not None and not HOST_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a host name (lower case letters, digits, - and .)")
        return value


MIRRORS = {
    "docker.io": Mirror(test_image="library/hello-world:latest"),
    "gcr.io": Mirror(test_image="distroless/static:latest"),
    "k8s.gcr.io": Mirror(test_image="pause:3.1"),
    "quay.io": Mirror(test_image="quay/busybox:latest"),
    "registry.k8s.io": Mirror(test_image="pause:3.9"),
}


class Prune(Section):
    """What `fab prune` may remove."""

    keep: int = Field(2, ge=1, description="releases whose images stay: the present one and older")
    protect_labels: list[str] = Field(
        ["com.docker.compose.project", "com.docker.stack.namespace"],
        description="things with one of these labels (`key` or `key=value`) belong to others",
    )


class History(Section):
    """The git repository of the installation on the host."""

    enabled: bool = True
    remote: str | None = Field(None, description="where every commit is pushed to")
    branch: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    deploy_key: AbsolutePath = Field(
        "/home/harbor/.ssh/history", description="private key on the host; made where it is missing"
    )
    host_key: str | None = Field(
        None, description="the remote's host key, `ssh-ed25519 AAAA...`: others are refused"
    )

    @model_validator(mode="after")
    def _known_remote(self) -> "History":
        if self.remote and re.search(r"://[^/@]*:[^/@]*@", self.remote):
            raise ValueError("remote: no password in an address: use a deploy key")
        over_ssh = self.remote and ("@" in self.remote or self.remote.startswith("ssh://"))
        if over_ssh and not self.host_key:
            raise ValueError("remote over ssh needs host_key (`ssh-keyscan HOST` shows it)")
        return self


class HarborSettings(Section):
    """Everything about one Harbor host, except its secrets."""

    version: str = Field(description="release to run, X.Y.Z")
    hostname: str = Field(description="the name that clients use, without scheme or port")
    external_url: str = Field("", description="default: https://<hostname>")
    http_port: Port = Field(8080, description="Harbor's own port, on 127.0.0.1 of the host")
    public_http_port: Port = Field(80, description="redirects to https")
    public_https_port: Port = Field(443, description="what clients use")
    data_volume: AbsolutePath = Field("/data", description="everything persistent")
    timezone: str = Field("UTC", description="a zone of the tz database")
    max_job_workers: int = Field(10, ge=1)
    health_deadline: int = Field(300, ge=10, description="seconds to become healthy")
    requirements: Requirements = Requirements()
    docker: Docker = Docker()
    release: Release
    tls: Tls = Tls()
    traefik: Traefik = Traefik()
    external_database: ExternalDatabase | None = None
    external_redis: ExternalRedis | None = None
    storage: Storage = Storage()
    proxy: Proxy = Proxy()
    metrics: Metrics = Metrics()
    trivy: Trivy = Trivy()
    log: Log = Log()
    cache: Cache = Cache()
    prune: Prune = Prune()
    history: History = History()
    configure: bool = Field(True, description="`deploy` ends with `configure`")
    configuration: Configuration = Configuration()
    mirrors: dict[str, Mirror] = Field(
        MIRRORS, description="upstream registry -> how clients reach it through this cache"
    )

    @field_validator("mirrors")
    @classmethod
    def _upstreams(cls, value: dict[str, Mirror]) -> dict[str, Mirror]:
        for upstream in value:
            if not UPSTREAM.fullmatch(upstream):
                raise ValueError(f"{upstream!r} is no registry: a host name, perhaps with a port")
        names = [mirror.name for mirror in value.values() if mirror.name]
        if len(set(names)) < len(names):
            raise ValueError("each needs a name of its own")
        return value

    @field_validator("version")
    @classmethod
    def _known_version(cls, value: str) -> str:
        if not versions.supported(Version.parse(value)):
            raise ValueError(f"Harbor {value} is not among 2.4 to 2.15")
        return str(Version.parse(value))

    @field_validator("hostname")
    @classmethod
    def _reachable_name(cls, value: str) -> str:
        if "://" in value or "/" in value or ":" in value:
            raise ValueError(f"{value!r}: a name only, without scheme, port or path")
        if value in ("localhost", "127.0.0.1", "reg.mydomain.com"):
            raise ValueError(f"{value!r} cannot be reached by clients, Harbor refuses it or breaks")
        if not HOST_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a host name (lower case letters, digits, - and .)")
        return value

    @field_validator("external_url")
    @classmethod
    def _full_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(
                f"{value!r} has no scheme: write https://{value} "
                "(without it every docker login and pull fails)"
            )
        if value and not re.fullmatch(r"https?://[^/\s@?#:\[\]]+(:\d{1,5})?", value):
            raise ValueError(
                f"{value!r}: scheme, name and port only; no path (Harbor has no sub-path), and no "
                "IPv6 address (image names cannot hold one)"
            )
        if re.match(r"https?://(localhost|127\.|\[::1\])", value):
            raise ValueError(f"{value!r} cannot be reached by clients")
        return value

    @field_validator("data_volume")
    @classmethod
    def _folder_of_its_own(cls, value: str) -> str:
        if NOT_FOR_DATA.fullmatch(value.rstrip("/")):
            raise ValueError(f"{value!r}: a folder of its own is needed")
        if ".." in value.split("/"):
            raise ValueError(f"{value!r}: no .. in it")
        return value.rstrip("/")

    @field_validator("timezone")
    @classmethod
    def _real_zone(cls, value: str) -> str:
        zones = zoneinfo.available_timezones()
        if value not in zones:
            near = [z for z in sorted(zones) if z.startswith(f"{value}/")][:1]
            near = near or difflib.get_close_matches(value, zones, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{value!r} is not a time zone{hint}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "HarborSettings":
        version = self.release_version
        if self.cache.enabled and version < (2, 6, 0):
            raise ValueError("cache.enabled needs Harbor 2.6 or later")
        if self.external_redis and self.external_redis.username and version < (2, 8, 0):
            raise ValueError("external_redis.username needs Harbor 2.8 or later")
        signature = versions.signature(version)
        if self.release.verify in ("gpg", "cosign") and self.release.verify != signature:
            has = f"is signed with {signature}" if signature else "is not signed"
            raise ValueError(f"release.verify: {self.release.verify}: Harbor {version} {has}")
        names = [mirror.name for mirror in self.mirrors.values() if mirror.name]
        if names and not (self.with_traefik and self.traefik.version.startswith("v3.")):
            raise ValueError("mirrors.*.name needs tls.ends_at: traefik, of version 3")
        if {self.hostname, self.url_host} & set(names):
            raise ValueError("mirrors.*.name must differ from the name of Harbor itself")
        if mistakes := self.configuration.mistakes(version):
            raise ValueError(f"configuration: {'; '.join(mistakes)}")
        ports = [LOG_PORT, self.http_port, self.public_http_port, self.public_https_port]
        ports += [self.metrics.port] if self.metrics.enabled else []
        if len(set(ports)) < len(ports):
            raise ValueError(
                "http_port, public_http_port, public_https_port and metrics.port must differ, and "
                f"{LOG_PORT} is Harbor's log"
            )
        if self.url.startswith("http://"):
            raise ValueError("external_url must be https: TLS ends at Traefik or at Harbor")
        return self

    @model_validator(mode="after")
    def _provider_is_known(self) -> "HarborSettings":
        known = providers.known(self.traefik.release)
        if self.acme and self.acme.provider not in known:
            raise ValueError(
                f"tls.acme.provider: Traefik {self.traefik.version} knows no DNS provider "
                f"`{self.acme.provider}`{suggestion(self.acme.provider, known)}"
            )
        return self

    @property
    def acme(self) -> Acme | None:
        """The settings of ACME where the certificate comes that way."""
        return self.tls.acme if self.tls.mode == "acme" else None

    @property
    def release_version(self) -> Version:
        return Version.parse(self.version)

    @property
    def url(self) -> str:
        """What clients use, scheme included."""
        port = "" if self.public_https_port == HTTPS_PORT else f":{self.public_https_port}"
        return self.external_url or f"https://{self.hostname}{port}"

    @property
    def url_host(self) -> str:
        """The host of `url`, without the port: the name that the certificate must carry."""
        return self.url.split("://")[1].rsplit(":", 1)[0]

    @property
    def with_traefik(self) -> bool:
        return self.tls.ends_at == "traefik"

    @property
    def containers(self) -> dict[str, str]:
        """Compose service -> container name of everything that has to run."""
        names = versions.service_containers(
            trivy=self.trivy.enabled,
            metrics=self.metrics.enabled,
            database=self.external_database is None,
            redis=self.external_redis is None,
        )
        return {**names, "traefik": "traefik"} if self.with_traefik else names


@dataclass(frozen=True)
class Secrets:
    """The secrets of one Harbor host; `others` are those that settings name by `{env: NAME}`."""

    admin_password: Secret
    database_password: Secret
    others: Mapping[str, Secret]

    def all(self) -> list[Secret]:
        return [self.admin_password, self.database_password, *self.others.values()]

    def of(self, reference: FromEnvironment) -> Secret:
        return self.others[reference.env]


@dataclass(frozen=True)
class Settings:
    """One Harbor host: its name in the inventory, its settings, secrets and certificates."""

    name: str
    harbor: HarborSettings
    secrets: Secrets
    certificates: Certificates


def parse_harbor(
    values: Mapping[str, Any], where: "Location"
) -> tuple[HarborSettings | None, list[str]]:
    """The settings in `values`, or every mistake in them as `file: key: what is wrong`."""
    try:
        return HarborSettings.model_validate(values), []
    except ValidationError as error:
        return None, [_explain(where, details) for details in error.errors()]


@dataclass(frozen=True)
class Location:
    """Where a key stands: the inventory's path, and the host whose own block holds some keys."""

    file: str
    host: str
    own: Mapping[str, Any]

    def of(self, path: Iterable[str | int]) -> str:
        keys = [str(key) for key in path]
        block: Any = self.own
        for key in keys:
            block = block.get(key) if isinstance(block, Mapping) else None
        prefix = f"hosts.{self.host}.harbor" if keys and block is not None else "harbor"
        return f"{self.file}: {'.'.join([prefix, *keys])}"


def _explain(where: Location, details: Any) -> str:
    path = [key for key in details["loc"] if not str(key).startswith("function-")]
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        message = f"unknown key{suggestion(str(path[-1]), known_keys(path[:-1]))}"
    elif details["type"] == "missing":
        message = "is missing"
    elif details["type"] == "string_type" and isinstance(details["input"], int | float):
        message = f'must be text, in quotes: "{details["input"]}"'
    elif details["type"] == "string_pattern_mismatch" and "/" in details["ctx"]["pattern"][:3]:
        message = (
            f"an absolute path without special characters is needed (got {details['input']!r})"
        )
    elif details["type"] != "value_error":
        message = f"{message} (got {details['input']!r})"
    return f"{where.of(path)}: {message}"


def known_keys(path: Iterable[str | int]) -> list[str]:
    """The keys that the section at `path` knows, for suggestions."""
    model: Any = HarborSettings
    for key in path:
        if key not in model.model_fields:
            continue  # the key of a mapping, whose values are of the model that it led to
        annotation = model.model_fields[key].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((o for o in options if hasattr(o, "model_fields")), Section)
    return list(model.model_fields)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest of `known`, or the list of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, 1, 0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(names)}"


def referenced_secrets(settings: HarborSettings) -> list[str]:
    """The names of all secrets that the settings ask for by `{env: NAME}`."""
    found: list[str] = []
    _collect(settings, found)
    return sorted(set(found))


def _collect(value: object, found: list[str]) -> None:
    if isinstance(value, FromEnvironment):
        found.append(value.env)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _collect(getattr(value, name), found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)


def parse_secrets(
    environment: Mapping[str, str], needed: Iterable[str], file: str, host: str
) -> tuple[Secrets, list[str]]:
    """The secrets of `host` from `environment`, or every mistake as `file: NAME: what is wrong`.

    `NAME__HOST`, with the host's name in capitals and `_` for anything else, wins over `NAME`.
    """
    suffix = "__" + re.sub(r"[^A-Z0-9]", "_", host.upper())

    def find(name: str) -> str:
        return environment.get(name + suffix) or environment.get(name) or ""

    mistakes = []
    for name in ("HARBOR_ADMIN_PASSWORD", "HARBOR_DATABASE_PASSWORD"):
        problem = password_problem(find(name))
        if problem:
            mistakes.append(f"{file}: {name}: {problem}")
    mistakes += [
        f"{file}: {name}: is missing (asked for by the inventory)"
        for name in needed
        if not find(name)
    ]
    secrets = Secrets(
        Secret(find("HARBOR_ADMIN_PASSWORD")),
        Secret(find("HARBOR_DATABASE_PASSWORD")),
        {name: Secret(find(name)) for name in needed},
    )
    return secrets, mistakes


def password_problem(value: str) -> str | None:
    """Why Harbor cannot be given this password, without quoting it; None when it can.

    Source: make/photon/prepare (values reach env files unquoted) and
    src/server/v2.0/handler/user.go (8 to 128 characters, upper, lower, digit), Harbor 2.15.
    """
    if not value:
        return "is missing: put it back; for a new Harbor `fab init` writes a .env with new ones"
    if value in DEFAULT_PASSWORDS:
        return "is Harbor's published default; choose another"
    if not PASSWORD_CHARACTERS.fullmatch(value):
        return "only letters, digits, `.`, `_` and `-` survive compose; choose another"
    if not 8 <= len(value) <= 128:
        return f"has {len(value)} characters; Harbor wants 8 to 128"
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(any(kind(c) for c in value) for kind in kinds):
        return "needs an upper case letter, a lower case letter and a digit"
    return None


def check(mistakes: list[str]) -> None:
    """Raise SettingsError that lists all mistakes, if there are any."""
    if mistakes:
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
        raise SettingsError(f"{count} in the settings:\n" + "\n".join(f"  {m}" for m in mistakes))
