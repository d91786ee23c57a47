"""What Harbor has and the inventory has not: shown, and removed only when asked for.

Never a project that holds anything, nor Harbor's own `library`, nor a registry that is in use.
"""

from harbor.configuration import members, robots
from harbor.configuration.calls import Call, Plan
from harbor.configuration.state import Context, Item

KEPT = ("library",)
WHY = "is not declared: delete it"


def plan(context: Context) -> Plan:
    """The deletions, and what stays although nobody declared it, as warnings."""
    return _robots(context) + _members(context) + _projects(context) + _registries(context)


def _projects(context: Context) -> Plan:
    result = Plan()
    for name, found in context.state.projects.items():
        if name in context.wanted.projects or name in KEPT:
            continue
        what, path = f"project {name}", f"/projects/{found['project_id']}"
        if found.get("repo_count"):
            stays = f"{what}: is not declared, and holds {found['repo_count']} repositories: stays"
            result += Plan(warnings=[stays])
        else:
            result += Plan([Call(what, f"{WHY} (it is empty)", "DELETE", path)])
    return result


def _registries(context: Context) -> Plan:
    result = Plan()
    users = _bound(context)
    for name, found in context.state.registries.items():
        if name in context.wanted.registries:
            continue
        staying = users.get(found["id"], [])
        if staying:
            used = f"registry {name}: is not declared, and used by {', '.join(staying)}: stays"
            result += Plan(warnings=[used])
        else:
            path = f"/registries/{found['id']}"
            result += Plan([Call(f"registry {name}", WHY, "DELETE", path)])
    return result


def _bound(context: Context) -> dict[int, list[str]]:
    """Registry -> the projects bound to it that stay."""
    bound: dict[int, list[str]] = {}
    for name, found in context.state.projects.items():
        stays = name in context.wanted.projects or name in KEPT or found.get("repo_count")
        if found.get("registry_id") and stays:
            bound.setdefault(found["registry_id"], []).append(name)
    return bound


def _robots(context: Context) -> Plan:
    declared = {
        robots.full_name(context, name, robot.project)
        for name, robot in context.wanted.robots.items()
    }
    keys = ["robots", *(f"robots {p['project_id']}" for p in context.state.projects.values())]
    found = [robot for key in keys for robot in context.state.items(key)]
    return Plan(
        [
            Call(f"robot {robot['name']}", WHY, "DELETE", f"/robots/{robot['id']}")
            for robot in found
            if robot["name"] not in declared
        ]
    )


def _members(context: Context) -> Plan:
    """Of projects that declare their members; the administrator who made the project stays."""
    calls = []
    for name, project in context.wanted.projects.items():
        found = context.state.projects.get(name)
        if found is None or project.members is None:
            continue
        number = found["project_id"]
        there = [members.find(context, member, number) for member in project.members]
        declared = [item["id"] for item in there if item]
        calls += [
            Call(
                f"member {item['entity_name']} of {name}",
                WHY,
                "DELETE",
                f"/projects/{number}/members/{item['id']}",
            )
            for item in context.state.items(f"members {number}")
            if item["id"] not in declared and not _administrator(item)
        ]
    return Plan(calls)


def _administrator(item: Item) -> bool:
    return bool(item["entity_type"] == "u" and item["entity_name"] == "admin")
