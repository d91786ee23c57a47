"""What Harbor has, as a `configuration:` section that changes nothing when it is applied.

Secrets cannot be read back: what has one is written without it, and named.
"""

from dataclasses import dataclass, field
from typing import Any

from harbor.configuration import catalogue, members, options, retention, robots, schedules
from harbor.configuration.settings import METADATA, RetentionRule
from harbor.configuration.state import Item, State

DEFAULT_PROJECT = "library"
# How the API has it -> how the section has it.
FLAGS = ("public", "auto_scan", "prevent_vul", "proxy_cache_local_on_not_found")
NUMBERS = ("proxy_speed_kb", "max_upstream_conn")


@dataclass
class Export:
    """The section, and what could not be put into it."""

    section: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def export(state: State) -> Export:
    result = Export()
    parts = {
        "registries": _registries(state, result),
        "projects": _projects(state, result),
        "garbage_collection": _collection(state),
        "audit_purge": _purge(state),
        "scan": _scan(state),
        "settings": _settings(state, result),
    }
    result.section = {key: part for key, part in parts.items() if part}
    for robot in _all_robots(state):
        result.notes.append(f"robot {robot['name']}: left out, its secret cannot be read")
    return result


def _registries(state: State, result: Export) -> dict[str, Any]:
    section = {}
    for name, found in sorted(state.registries.items()):
        section[name] = _registry(state, found)
        if (found.get("credential") or {}).get("access_key"):
            result.notes.append(
                f"registry {name}: has credentials, which stay as they are; their secret cannot "
                "be read. To declare them: credentials: {username: "
                f"{found['credential']['access_key']}, password: {{env: NAME}}}}"
            )
    return section


def _registry(state: State, found: Item) -> dict[str, Any]:
    url = found["url"].rstrip("/")
    known = {
        (entry.type, entry.url): name
        for name in catalogue.UPSTREAMS
        if (entry := catalogue.find(name, state.version)).url and not entry.credentials_needed
    }
    upstream = known.get((found["type"], url))
    section: dict[str, Any] = (
        {"upstream": upstream} if upstream else {"type": found["type"], "url": url}
    )
    if found.get("insecure"):
        section["insecure"] = True
    if found.get("description"):
        section["description"] = found["description"]
    if found.get("ca_certificate"):
        section["ca_certificate"] = found["ca_certificate"]
    return section


def _projects(state: State, result: Export) -> dict[str, Any]:
    return {
        name: _project(state, found, result)
        for name, found in sorted(state.projects.items())
        if name != DEFAULT_PROJECT
    }


def _project(state: State, found: Item, result: Export) -> dict[str, Any]:
    section: dict[str, Any] = {}
    registry = state.registry_names.get(found.get("registry_id") or 0)
    if registry:
        section["registry"] = registry
    section |= _metadata(found.get("metadata") or {}, proxy=bool(registry))
    quota = state.quotas.get(found["project_id"])
    if quota:
        storage = quota["hard"].get("storage")
        section["quota"] = -1 if storage == -1 else str(storage)
    policy = state.one(f"retention {found['project_id']}")
    if policy and policy.get("rules"):
        section["retention"] = _retention(policy)
    people = _members(state, found, result)
    return {**section, "members": people} if people else section


def _metadata(found: Item, *, proxy: bool) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for key in METADATA:
        value = found.get(key)
        if value in (None, "") or (key in NUMBERS and not proxy):
            continue
        if key in FLAGS:
            section[key] = value == "true"
        else:
            section[key] = int(value) if key in NUMBERS else value
    return section


def _retention(policy: Item) -> dict[str, Any]:
    rules = [_rule(retention.read_rule(rule)) for rule in policy["rules"]]
    return {"schedule": retention.schedule(policy), "rules": rules}


def _rule(rule: RetentionRule) -> dict[str, Any]:
    return rule.model_dump(exclude_defaults=True, exclude_none=True)


def _members(state: State, project: Item, result: Export) -> list[dict[str, Any]]:
    people = []
    for item in state.items(f"members {project['project_id']}"):
        kind, name = item["entity_type"], item["entity_name"]
        role = members.role_name(item["role_id"])
        if (kind, name) == ("u", "admin"):
            continue
        if role.isdecimal():
            result.notes.append(f"member {name} of {project['name']}: left out, role {role}")
            continue
        people.append({"user" if kind == "u" else "group": name, "role": role})
    return people


def _collection(state: State) -> dict[str, Any]:
    found = state.one("gc") or {}
    cron, parameters = schedules.schedule(found), schedules.found_parameters(found)
    if cron == "never":
        return {}
    section = {"schedule": cron, "delete_untagged": bool(parameters.get("delete_untagged"))}
    if parameters.get("workers") and state.version >= (2, 9, 0):
        section["workers"] = parameters["workers"]
    return section


def _purge(state: State) -> dict[str, Any]:
    found = state.one("purge") or {}
    cron, parameters = schedules.schedule(found), schedules.found_parameters(found)
    if cron == "never":
        return {}
    events = parameters.get("include_event_types") or parameters.get("include_operations") or ""
    kinds = [kind.removesuffix("_artifact") for kind in events.split(",")]
    return {
        "schedule": cron,
        "keep_hours": int(parameters.get("audit_retention_hour", 0)),
        "operations": sorted(k for k in kinds if k in ("create", "delete", "pull")),
    }


def _scan(state: State) -> dict[str, Any]:
    cron = schedules.schedule(state.one("scan") or {})
    return {} if cron == "never" else {"schedule": cron}


def _settings(state: State, result: Export) -> dict[str, Any]:
    """Everything that is not as Harbor begins; its login stands among it, key by key."""
    section = {}
    for key, option in options.OPTIONS.items():
        value = state.setting(key)
        if value is None or option.secret or options.same(option.default, value):
            continue
        if options.problem(key, value, state.version) is None:
            section[key] = value
    secret = {"oidc_auth": "oidc_client_secret", "ldap_auth": "ldap_search_password"}
    if name := secret.get(str(state.setting("auth_mode"))):
        result.notes.append(f"{name}: stays as it is, it cannot be read")
    return section


def _all_robots(state: State) -> list[Item]:
    keys = ["robots", *(f"robots {p['project_id']}" for p in state.projects.values())]
    return [robot for key in keys for robot in state.items(key) if robots.may(robot)]
