"""The `configuration:` section: what Harbor's own configuration should be.

What is left out is left alone in Harbor, single fields included.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from harbor.configuration import catalogue, options
from harbor.sections import FromEnvironment, Section, size_in_bytes
from harbor.versions import Version

# Both patterns: src/common/utils and src/server/v2.0/handler of 2.4 to 2.15.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$", max_length=255)]
RegistryName = Annotated[str, StringConstraints(pattern=r"^[^\s,~=()\[\]{}]{1,64}$")]
NAMED_SCHEDULES = {"hourly": "0 0 * * * *", "daily": "0 0 0 * * *", "weekly": "0 0 0 * * 0"}
CRON_FIELD = re.compile(
    r"[\d*/,\-?]+|[\d,\-]*(?:sun|mon|tue|wed|thu|fri|sat)[\w,\-]*", re.IGNORECASE
)
HUB_HOSTS = ("registry-1.docker.io", "docker.io", "index.docker.io", "hub.docker.com")
ROLES = {"admin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limited-guest": 5}
Role = Literal["admin", "developer", "guest", "maintainer", "limited-guest"]

# Metadata of a project: key -> first release (src/pkg/project/models/pro_meta.go).
METADATA: dict[str, Version] = {
    "public": Version(2, 4, 0),
    "auto_scan": Version(2, 4, 0),
    "prevent_vul": Version(2, 4, 0),
    "severity": Version(2, 4, 0),
    "proxy_speed_kb": Version(2, 12, 0),
    "max_upstream_conn": Version(2, 14, 1),
    "proxy_cache_local_on_not_found": Version(2, 15, 1),
}
PROXY_METADATA = ("proxy_speed_kb", "max_upstream_conn", "proxy_cache_local_on_not_found")


def _cron(value: str) -> str:
    """Harbor's own rule: six fields in UTC, the first one 0 (src/common/utils/utils.go)."""
    text = NAMED_SCHEDULES.get(value, value)
    fields = text.split()
    if value != "never" and (len(fields) != 6 or not all(map(CRON_FIELD.fullmatch, fields))):
        raise ValueError(
            f"{value!r} is no schedule: six fields (second minute hour day month weekday), "
            "`hourly`, `daily`, `weekly` or `never`"
        )
    if value != "never" and fields[0] != "0":
        raise ValueError(f"{value!r}: the first field, the second, must be 0")
    return text


class Scheduled(Section):
    schedule: str = Field(description="cron of six fields, UTC; hourly, daily, weekly or never")

    _schedule = field_validator("schedule")(_cron)


class Credentials(Section):
    username: str = Field(min_length=1, description="or the key id of AWS ECR, `_json_key`, ...")
    password: FromEnvironment


class Registry(Section):
    """An upstream: by its name in the catalogue, or by `type` and `url`."""

    upstream: str | None = Field(None, description="a name of the catalogue: docs/configure.md")
    type: str | None = Field(None, description="Harbor's word, where the catalogue has it not")
    url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    region: str | None = Field(None, pattern=r"^[a-z0-9-]+$", description="of AWS ECR")
    credentials: Credentials | None = None
    insecure: bool = Field(False, description="do not verify the upstream's certificate")
    ca_certificate: str | None = Field(None, description="PEM of its private CA; Harbor 2.15")
    description: str | None = None

    @model_validator(mode="after")
    def _known(self) -> "Registry":
        if self.upstream is None and (self.type is None or self.url is None):
            raise ValueError("needs `upstream`, or `type` and `url`")
        if self.upstream is not None and self.upstream not in catalogue.UPSTREAMS:
            known = ", ".join(catalogue.UPSTREAMS)
            raise ValueError(
                f"upstream {self.upstream!r} is not in the catalogue ({known}): "
                "give `type: docker-registry` and `url`"
            )
        return self

    def as_known_by(self, version: Version) -> tuple[str, str]:
        """Type and address for this release."""
        entry = catalogue.find(self.upstream, version) if self.upstream else None
        url = self.url or (entry.url if entry else "")
        if "{region}" in url and self.region:
            url = url.format(region=self.region)
        return self.type or (entry.type if entry else ""), url.rstrip("/")

    def mistakes(self, version: Version) -> Iterator[str]:
        entry = catalogue.UPSTREAMS.get(self.upstream or "")
        _, url = self.as_known_by(version)
        if not url:
            yield f"upstream {self.upstream} needs `url`"
        elif "{region}" in url:
            yield f"upstream {self.upstream} needs `region`"
        if entry and entry.credentials_needed and not self.credentials:
            yield f"upstream {self.upstream} needs `credentials`"
        if self.ca_certificate is not None and version < (2, 15, 0):
            yield f"ca_certificate needs Harbor 2.15.0 ({version} is declared)"


class Selector(Section):
    """`matches` or `excludes` a pattern: `**`, `library/**`, `{nginx,redis}`."""

    matches: str | None = None
    excludes: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Selector":
        if (self.matches is None) == (self.excludes is None):
            raise ValueError("needs either `matches` or `excludes`")
        return self


class RetentionRule(Section):
    """What is kept; an artifact that no rule keeps is removed."""

    template: Literal[
        "nDaysSinceLastPull", "nDaysSinceLastPush", "latestPulledN", "latestPushedK", "always"
    ]
    value: int | None = Field(None, ge=1, description="days, or how many")
    repositories: Selector = Selector(matches="**")
    tags: Selector = Selector(matches="**")
    untagged: bool = Field(True, description="the rule speaks of untagged artifacts as well")
    disabled: bool = False

    @model_validator(mode="after")
    def _counted(self) -> "RetentionRule":
        if (self.template == "always") == (self.value is not None):
            raise ValueError("`value` is needed, except with template always")
        return self


class Retention(Scheduled):
    rules: list[RetentionRule] = Field(min_length=1, max_length=15)


class Member(Section):
    """One user or group, and its role in the project."""

    user: str | None = None
    group: str | None = Field(None, description="name as the OIDC claim gives it")
    ldap_group: str | None = Field(None, description="distinguished name")
    role: Role

    @model_validator(mode="after")
    def _one(self) -> "Member":
        if len([n for n in (self.user, self.group, self.ldap_group) if n]) != 1:
            raise ValueError("needs one of `user`, `group` and `ldap_group`")
        return self


class Project(Section):
    """A project; with `registry` it is a proxy for that upstream."""

    registry: str | None = Field(None, description="name of the registry: for ever")
    public: bool | None = None
    quota: int | str | None = Field(None, description="-1 is unlimited; or 500G")
    retention: Retention | None = None
    members: list[Member] | None = None
    proxy_speed_kb: int | None = Field(None, ge=-1, description="kilobits/s a stream; 2.12")
    max_upstream_conn: int | None = Field(None, ge=-1, description="2.14.1; more: 429 to clients")
    proxy_cache_local_on_not_found: bool | None = Field(
        None, description="2.15.1: serve what the upstream has deleted"
    )
    auto_scan: bool | None = None
    prevent_vul: bool | None = None
    severity: Literal["none", "low", "medium", "high", "critical"] | None = None

    @field_validator("quota")
    @classmethod
    def _some_bytes(cls, value: int | str | None) -> int | str | None:
        if value not in (None, -1) and size_in_bytes(value) == 0:
            raise ValueError("a quota of nothing is refused by Harbor: -1 is unlimited")
        return value

    @property
    def quota_bytes(self) -> int | None:
        if self.quota is None:
            return None
        return -1 if self.quota == -1 else size_in_bytes(self.quota)

    def metadata(self) -> dict[str, str]:
        """What is declared of it, as the API wants it: text."""
        values = {key: getattr(self, key) for key in METADATA}
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in values.items()
            if value is not None
        }

    def mistakes(self, version: Version) -> Iterator[str]:
        for key, since in METADATA.items():
            if getattr(self, key) is not None and version < since:
                yield f"{key} needs Harbor {since} ({version} is declared)"
            if getattr(self, key) is not None and key in PROXY_METADATA and not self.registry:
                yield f"{key} is for proxy projects: `registry` is missing"


class Permission(Section):
    project: str = Field(description="name, or `*` for all")
    access: dict[str, list[str]] = Field(
        {"repository": ["pull"]}, description="resource -> actions", min_length=1
    )


class Robot(Section):
    """An account for machines; `robot$NAME`, or `robot$PROJECT+NAME` with `project`."""

    secret: FromEnvironment
    project: str | None = Field(None, description="the one project that it belongs to")
    permissions: list[Permission] = Field(min_length=1)
    duration: int = Field(-1, description="days; -1 never expires")
    disabled: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _lives(self) -> "Robot":
        if self.duration != -1 and self.duration < 1:
            raise ValueError("duration: -1 or at least one day")
        if self.project and [p.project for p in self.permissions] != [self.project]:
            raise ValueError(f"a robot of project {self.project} has permissions there alone")
        return self


class Oidc(Section):
    """The provider; field by field the form of Harbor's interface."""

    name: str = "dex"
    endpoint: str = Field(
        pattern=r"^https?://[^\s]+$", description="the issuer, without /.well-known"
    )
    client_id: str = "harbor-cache-oidc-dex"
    client_secret: FromEnvironment
    groups_claim: str = "groups"
    admin_group: str = ""
    group_filter: str | None = Field(None, description="regular expression; 2.7")
    scope: list[str] = Field(["openid", "profile", "email", "groups", "offline_access"])
    verify_certificate: bool = True
    auto_onboard: bool = False
    user_claim: str = ""
    extra_redirect_parameters: dict[str, str] | None = None
    logout: bool | None = Field(None, description="2.13")

    @field_validator("scope")
    @classmethod
    def _with_openid(cls, value: list[str]) -> list[str]:
        if "openid" not in value:
            raise ValueError("must contain openid")
        return value

    @field_validator("endpoint")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if "/.well-known" in value:
            raise ValueError("the issuer only, without /.well-known")
        # As it is: the library that Harbor uses wants the issuer's own words, slash included.
        return value


class Ldap(Section):
    url: str = Field(pattern=r"^ldaps?://[^\s]+$")
    base_dn: str
    search_dn: str = ""
    search_password: FromEnvironment | None = None
    uid: str = "cn"
    filter: str = ""
    scope: Literal["base", "one", "subtree"] = "subtree"
    timeout: int = Field(5, ge=1)
    verify_certificate: bool = True
    group_base_dn: str | None = None
    group_filter: str | None = None
    group_name_attribute: str | None = None
    group_admin_dn: str | None = None
    group_membership_attribute: str | None = None


class Auth(Section):
    """Who may log in besides `admin`, who always can with the password."""

    mode: Literal["database", "ldap", "oidc"]
    oidc: Oidc | None = None
    ldap: Ldap | None = None
    primary: bool | None = Field(None, description="the login page goes straight to OIDC; 2.8")

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        given = {"oidc": self.oidc is not None, "ldap": self.ldap is not None}
        if not given.get(self.mode, True):
            raise ValueError(f"mode: {self.mode} needs `{self.mode}`")
        if any(there for mode, there in given.items() if mode != self.mode):
            raise ValueError(f"mode is {self.mode}: the other section has no effect")
        return self


class GarbageCollection(Scheduled):
    """Frees the disk of what no artifact uses; Harbor itself schedules none."""

    delete_untagged: bool = Field(
        False, description="also what is cached by digest alone, whatever the retention says"
    )
    workers: int | None = Field(None, ge=1, le=10, description="2.9")


class AuditPurge(Scheduled):
    keep_hours: int = Field(720, ge=1, le=240000)
    operations: list[Literal["create", "delete", "pull"]] = Field(["create", "delete", "pull"])


class Scan(Scheduled):
    """Scanning of everything; needs trivy."""


class Configuration(Section):
    """Harbor's own configuration; an empty one leaves everything alone."""

    registries: dict[RegistryName, Registry] = Field({})
    projects: dict[Name, Project] = Field({})
    robots: dict[Name, Robot] = Field({})
    auth: Auth | None = None
    garbage_collection: GarbageCollection | None = None
    audit_purge: AuditPurge | None = None
    scan: Scan | None = None
    settings: dict[str, bool | int | str | FromEnvironment] = Field(
        {}, description="any other system setting, by Harbor's own key"
    )

    def declared(self) -> bool:
        """Whether there is anything to do at all."""
        return bool(self.model_fields_set)

    def mistakes(self, version: Version) -> list[str]:
        """What this release of Harbor has not, or what does not fit together."""
        return [
            *_of_registries(self, version),
            *_of_projects(self, version),
            *_of_login(self, version),
            *_of_schedules(self, version),
            *_of_settings(self, version),
        ]

    def warnings(self, version: Version) -> list[str]:
        """What is valid and still worth a word."""
        return [*_upstream_notes(self, version), *_cache_notes(self)]


def _of_registries(wanted: Configuration, version: Version) -> Iterator[str]:
    for name, registry in wanted.registries.items():
        yield from (f"registries.{name}: {text}" for text in registry.mistakes(version))


def _of_projects(wanted: Configuration, version: Version) -> Iterator[str]:
    for name, project in wanted.projects.items():
        yield from (f"projects.{name}: {text}" for text in project.mistakes(version))
        registry = wanted.registries.get(project.registry or "")
        type_ = registry.as_known_by(version)[0] if registry else ""
        # A project that exists may go on with a type that is closed for new ones (quay, 2.14):
        # the planner knows whether it exists. A type that never could is a mistake here.
        if registry and type_ not in catalogue.PROXY_TYPES:
            yield f"projects.{name}: {catalogue.why_not_proxied(type_, version)}"


def _of_login(wanted: Configuration, version: Version) -> Iterator[str]:
    auth = wanted.auth
    if auth is None:
        return
    if auth.primary is not None and version < (2, 8, 0):
        yield f"auth.primary needs Harbor 2.8.0 ({version} is declared)"
    if auth.oidc and auth.oidc.group_filter is not None and version < (2, 7, 0):
        yield f"auth.oidc.group_filter needs Harbor 2.7.0 ({version} is declared)"
    if auth.oidc and auth.oidc.logout is not None and version < (2, 13, 0):
        yield f"auth.oidc.logout needs Harbor 2.13.0 ({version} is declared)"


def _of_schedules(wanted: Configuration, version: Version) -> Iterator[str]:
    collection = wanted.garbage_collection
    if collection and collection.workers is not None and version < (2, 9, 0):
        yield f"garbage_collection.workers needs Harbor 2.9.0 ({version} is declared)"
    if wanted.audit_purge and version < (2, 6, 0):
        yield f"audit_purge needs Harbor 2.6.0 ({version} is declared)"


def _of_settings(wanted: Configuration, version: Version) -> Iterator[str]:
    for key, value in wanted.settings.items():
        login = key in ("auth_mode", "primary_auth_mode") or key.startswith(options.LOGIN_PREFIXES)
        if wanted.auth is not None and login:
            yield f"settings.{key}: `auth` is declared and decides"
        secret = isinstance(value, FromEnvironment)
        problem = options.problem(key, "" if secret else value, version)
        if secret and key in options.OPTIONS and not options.OPTIONS[key].secret:
            problem = "is no secret: give the value itself"
        if not secret and key in options.OPTIONS and options.OPTIONS[key].secret:
            problem = "is a secret: write {env: NAME} and give the value in .env"
        if problem:
            yield f"settings.{key}: {problem}"


def _upstream_notes(wanted: Configuration, version: Version) -> Iterator[str]:
    for name, registry in wanted.registries.items():
        type_, url = registry.as_known_by(version)
        host = url.partition("://")[2]
        entry = catalogue.UPSTREAMS.get(registry.upstream or host)
        if entry and entry.note and not registry.credentials:
            yield f"registries.{name}: {registry.upstream or host} {entry.note}"
        if type_ == "docker-hub" and registry.credentials:
            yield (
                f"registries.{name}: with credentials Harbor logs in to Docker Hub for every "
                "manifest, and Docker Hub limits logins (goharbor/harbor issue 23750)"
            )
        if host in HUB_HOSTS and type_ != "docker-hub":
            yield (
                f"registries.{name}: with type {type_} clients must write `library/nginx`; "
                "`upstream: docker.io` answers `nginx` too"
            )


def _cache_notes(wanted: Configuration) -> Iterator[str]:
    if wanted.auth and wanted.auth.oidc and "offline_access" not in wanted.auth.oidc.scope:
        yield (
            "auth.oidc.scope: without offline_access the CLI secrets of docker users die with "
            "their first token"
        )
    if wanted.settings.get("pull_time_update_disable") is True and any(
        rule.template == "nDaysSinceLastPull"
        for project in wanted.projects.values()
        for rule in (project.retention.rules if project.retention else [])
    ):
        yield (
            "settings.pull_time_update_disable: retention by the last pull would let everything "
            "expire"
        )
