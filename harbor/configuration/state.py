"""What Harbor answers: which requests to make, and how to find things in the answers.

Lists come whole and in pages of 100, so that a run that finds nothing to do makes a number of
requests that hardly grows with Harbor; only retention, members and project robots have to be
asked for one by one, where the inventory declares any.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote as percent

from harbor.configuration.fingerprints import Fingerprints
from harbor.configuration.settings import Configuration
from harbor.sections import FromEnvironment
from harbor.shell import Secret
from harbor.versions import Version

Item = dict[str, Any]
ADMIN_ID = 1


@dataclass(frozen=True)
class Read:
    """One GET. `whole`: a list, all of its pages. `absent`: statuses that mean "there is none"."""

    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    whole: bool = False
    absent: tuple[int, ...] = (404,)


Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Scope:
    """How much to look at: what `wanted` declares, or `everything` there is."""

    wanted: Configuration
    version: Version
    everything: bool = False


def reads(scope: Scope, answers: Answers) -> dict[str, Read]:
    """The requests still to be made; ask again with their answers until there are none."""
    needed = dict(_lists(scope))
    if "projects" in answers:
        needed |= dict(_of_projects(scope, answers))
    if "configurations" in answers and _login_changes(scope, answers):
        needed["users"] = Read("/users", whole=True)
    return {key: read for key, read in needed.items() if key not in answers}


def _lists(scope: Scope) -> Iterator[tuple[str, Read]]:
    wanted, every = scope.wanted, scope.everything
    if every or wanted.registries or any(p.registry for p in wanted.projects.values()):
        yield "registries", Read("/registries", whole=True)
    if every or wanted.projects or _robots_name_projects(wanted):
        yield "projects", Read("/projects", whole=True)
    if every or any(p.quota is not None for p in wanted.projects.values()):
        yield "quotas", Read("/quotas", {"reference": "project"}, whole=True)
    if every or wanted.auth or wanted.settings or wanted.robots or _with_groups(wanted):
        yield "configurations", Read("/configurations")
    if every or wanted.robots:
        yield "robots", Read("/robots", whole=True)
    if every or _with_ldap_groups(wanted):
        yield "groups", Read("/usergroups", whole=True)
    if every or wanted.garbage_collection:
        yield "gc", Read("/system/gc/schedule")
    if wanted.audit_purge or (every and scope.version >= (2, 6, 0)):
        yield "purge", Read("/system/purgeaudit/schedule")
    if every or wanted.scan:
        # Without a scanner Harbor answers 412 (src/server/v2.0/handler/scan_all.go).
        yield "scan", Read("/system/scanAll/schedule", absent=(404, 412))


def _robots_name_projects(wanted: Configuration) -> bool:
    return any(p.project != "*" for r in wanted.robots.values() for p in r.permissions)


def _with_ldap_groups(wanted: Configuration) -> bool:
    return any(m.ldap_group for p in wanted.projects.values() for m in p.members or [])


def _with_groups(wanted: Configuration) -> bool:
    return any(m.group for p in wanted.projects.values() for m in p.members or [])


def _of_projects(scope: Scope, answers: Answers) -> Iterator[tuple[str, Read]]:
    wanted = scope.wanted
    with_robots = {r.project for r in wanted.robots.values()}
    for project in answers["projects"]:
        name, number = project["name"], project["project_id"]
        declared = wanted.projects.get(name)
        policy = project.get("metadata", {}).get("retention_id")
        if policy and (scope.everything or (declared and declared.retention)):
            yield f"retention {number}", Read(f"/retentions/{percent(policy)}")
        if scope.everything or (declared and declared.members is not None):
            yield f"members {number}", Read(f"/projects/{number}/members", whole=True)
        if scope.everything or name in with_robots:
            query = f"Level=project,ProjectID={number}"
            yield f"robots {number}", Read("/robots", {"q": query}, whole=True)


def _login_changes(scope: Scope, answers: Answers) -> bool:
    auth = scope.wanted.auth
    return auth is not None and answers["configurations"]["auth_mode"]["value"] != MODES[auth.mode]


MODES = {"database": "db_auth", "ldap": "ldap_auth", "oidc": "oidc_auth"}


@dataclass(frozen=True)
class State:
    """All answers, and what was sent before. Secrets are never among them."""

    answers: Answers
    fingerprints: Fingerprints
    version: Version

    def items(self, key: str) -> list[Item]:
        return list(self.answers.get(key) or [])

    @cached_property
    def registries(self) -> dict[str, Item]:
        return {item["name"]: item for item in self.items("registries")}

    @cached_property
    def projects(self) -> dict[str, Item]:
        return {item["name"]: item for item in self.items("projects")}

    @cached_property
    def quotas(self) -> dict[int, Item]:
        """By the number of the project."""
        return {item["ref"].get("id"): item for item in self.items("quotas")}

    @cached_property
    def registry_names(self) -> dict[int, str]:
        return {item["id"]: item["name"] for item in self.items("registries")}

    def one(self, key: str) -> Item | None:
        """The answer of a request that is no list; None where Harbor has nothing there."""
        return self.answers.get(key) or None

    def setting(self, key: str) -> Any:
        """The value of a system setting; None where Harbor does not say."""
        return self.entry(key).get("value")

    def entry(self, key: str) -> Item:
        """A system setting with all that Harbor says of it."""
        found: Item = (self.answers.get("configurations") or {}).get(key) or {}
        return found


@dataclass(frozen=True)
class Context:
    """What every planner gets. `rotate`: send secrets that Harbor was given before, too."""

    wanted: Configuration
    state: State
    secret: Callable[[FromEnvironment], Secret]
    rotate: bool = False

    def must_send(self, name: str, secret: Secret) -> str:
        """Why this secret has to be sent, or ""."""
        if self.rotate:
            return "is sent again (--rotate)"
        if not self.state.fingerprints.knows(name, secret):
            return "was not sent from here yet, or is a new one"
        return ""
