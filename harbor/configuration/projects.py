"""Every declared project is there, bound to its registry, with metadata and quota as declared."""

from typing import Any

from harbor.configuration import catalogue, members, retention
from harbor.configuration.calls import Call, Plan, differences
from harbor.configuration.settings import Project
from harbor.configuration.state import Context, Item


def plan(context: Context) -> Plan:
    result = Plan()
    for name, wanted in context.wanted.projects.items():
        found = context.state.projects.get(name)
        if found is None:
            result += _create(context, name, wanted)
        else:
            result += _binding(context, name, wanted, found)
            result += _metadata(name, wanted, found)
            result += _quota(context, name, wanted, found)
        result += retention.plan(context, name, wanted.retention, found)
        result += members.plan(context, name, wanted.members, found)
    return result


def _create(context: Context, name: str, wanted: Project) -> Plan:
    body: dict[str, Any] = {"project_name": name, "metadata": wanted.metadata()}
    if wanted.quota_bytes is not None:
        body["storage_limit"] = wanted.quota_bytes
    ready, why, problems = True, "is missing: create it", []
    if wanted.registry:
        found = context.state.registries.get(wanted.registry)
        ready, why = found is not None, f"{why} as a proxy of registry {wanted.registry}"
        body["registry_id"] = found["id"] if found else None
        problems = _unusable(context, name, wanted.registry, found)
    return Plan([Call(f"project {name}", why, "POST", "/projects", body, ready)], problems)


def _unusable(context: Context, name: str, registry: str, found: Item | None) -> list[str]:
    """Why no new project can be bound to this registry."""
    version = context.state.version
    declared = context.wanted.registries.get(registry)
    if found is None and declared is None:
        return [f"project {name}: registry {registry} is neither declared nor in Harbor"]
    type_ = found["type"] if found else declared.as_known_by(version)[0] if declared else ""
    if not catalogue.proxied(type_, version):
        return [f"project {name}: {catalogue.why_not_proxied(type_, version)}"]
    return []


def _binding(context: Context, name: str, wanted: Project, found: Item) -> Plan:
    if not wanted.registry:
        return Plan()
    registry = context.state.registries.get(wanted.registry)
    bound = found.get("registry_id") or 0
    if registry is not None and registry["id"] == bound:
        return Plan()
    there = context.state.registry_names.get(bound, "another") if bound else "none"
    return Plan(
        problems=[
            f"project {name}: is bound to registry {there}, declared is {wanted.registry}: Harbor "
            "can never change a project's registry. Declare a project of another name"
            + (f", or point registry {there} to the other upstream" if bound else "")
        ]
    )


def _metadata(name: str, wanted: Project, found: Item) -> Plan:
    present = found.get("metadata") or {}
    changed = differences(wanted.metadata(), present)
    if not changed:
        return Plan()
    body = {key: wanted.metadata()[key] for key in changed}
    # The one key that the specification does not allow to be left out.
    body.setdefault("public", present.get("public", "false"))
    path = f"/projects/{found['project_id']}"
    why = "; ".join(changed.values())
    return Plan([Call(f"project {name}", why, "PUT", path, {"metadata": body})])


def _quota(context: Context, name: str, wanted: Project, found: Item) -> Plan:
    if wanted.quota_bytes is None:
        return Plan()
    quota = context.state.quotas.get(found["project_id"])
    if quota is None:
        return Plan(
            warnings=[
                f"project {name}: Harbor keeps no quota for it (quota_per_project_enable is off?)"
            ]
        )
    changed = differences({"quota": wanted.quota_bytes}, {"quota": quota["hard"].get("storage")})
    if not changed:
        return Plan()
    body = {"hard": {"storage": wanted.quota_bytes}}
    return Plan([Call(f"project {name}", changed["quota"], "PUT", f"/quotas/{quota['id']}", body)])
