"""Every declared robot account is there, may what is declared, and has the declared secret.

Harbor ignores a secret at creation and makes one up; a second call sets ours
(src/server/v2.0/handler/robot.go, 2.4 to 2.15). Where a run is cut off between the two, the
fingerprint is missing and the next run sets it.
"""

from typing import Any

from harbor.configuration.calls import Call, Plan, differences
from harbor.configuration.settings import Robot
from harbor.configuration.state import Context, Item
from harbor.shell import Secret


def plan(context: Context) -> Plan:
    result = Plan()
    for name, wanted in context.wanted.robots.items():
        result += _one(context, name, wanted)
    return result


def _one(context: Context, name: str, wanted: Robot) -> Plan:
    full = full_name(context, name, wanted.project)
    secret = context.secret(wanted.secret)
    if problem := secret_problem(secret):
        return Plan(problems=[f"robot {full}: its secret ({wanted.secret.env}) {problem}"])
    missing = [p.project for p in wanted.permissions if not _exists(context, p.project)]
    undeclared = [p for p in missing if p not in context.wanted.projects]
    if undeclared:
        where = ", ".join(undeclared)
        return Plan(problems=[f"robot {full}: no project {where}, neither declared nor in Harbor"])
    found = _find(context, full, wanted.project)
    if found is None:
        return _create(full, name, wanted, ready=not missing)
    return _change(context, full, wanted, found, ready=not missing)


def full_name(context: Context, name: str, project: str | None) -> str:
    """As Harbor shows it; the prefix is a system setting."""
    prefix = context.wanted.settings.get("robot_name_prefix")
    prefix = prefix or context.state.setting("robot_name_prefix") or "robot$"
    return f"{prefix}{project}+{name}" if project else f"{prefix}{name}"


def _exists(context: Context, project: str) -> bool:
    return (
        project == "*"
        or "projects" not in context.state.answers
        or (project in context.state.projects)
    )


def _find(context: Context, full: str, project: str | None) -> Item | None:
    key = "robots"
    if project:
        found = context.state.projects.get(project)
        key = f"robots {found['project_id']}" if found else ""
    return next((r for r in context.state.items(key) if r["name"] == full), None)


def _wanted(wanted: Robot) -> dict[str, Any]:
    return {
        "level": "project" if wanted.project else "system",
        "duration": wanted.duration,
        "disable": wanted.disabled,
        "description": wanted.description,
        "permissions": [
            {
                "kind": "project",
                "namespace": permission.project,
                "access": [
                    {"resource": resource, "action": action}
                    for resource, actions in permission.access.items()
                    for action in actions
                ],
            }
            for permission in wanted.permissions
        ],
    }


def _create(full: str, name: str, wanted: Robot, *, ready: bool) -> Plan:
    why = f"is missing: create it ({may(_wanted(wanted))})"
    what, body = f"robot {full}", {"name": name, **_wanted(wanted)}
    calls = [Call(what, why, "POST", "/robots", body, ready)]
    calls.append(Call(what, "set its secret", "PATCH", "/robots/...", ready=False))
    return Plan(calls)


def _change(context: Context, full: str, wanted: Robot, found: Item, *, ready: bool) -> Plan:
    what, path = f"robot {full}", f"/robots/{found['id']}"
    declared, secret = _wanted(wanted), context.secret(wanted.secret)
    changed = differences(_comparable(declared), _comparable(found))
    calls = []
    if changed:
        body = {**declared, "name": full, "id": found["id"]}
        calls.append(Call(what, "; ".join(changed.values()), "PUT", path, body, ready))
    if why := context.must_send(f"robots/{full}", secret):
        remember = {f"robots/{full}": secret}
        calls.append(
            Call(what, f"secret: {why}", "PATCH", path, {"secret": secret}, remember=remember)
        )
    return Plan(calls)


def _comparable(robot: Item) -> dict[str, Any]:
    return {
        "duration": robot.get("duration"),
        "disable": robot.get("disable", False),
        "description": robot.get("description", ""),
        "permissions": may(robot),
    }


def may(robot: Item) -> str:
    """Its permissions in words, in one order."""
    return "; ".join(sorted(map(_permission, robot.get("permissions") or [])))


def _permission(item: Item) -> str:
    access = sorted(f"{a['action']} {a['resource']}" for a in item["access"])
    return f"{item['namespace']}: {', '.join(access)}"


def secret_problem(secret: Secret) -> str | None:
    """Why Harbor refuses this secret (8 to 128 characters, upper, lower, digit)."""
    value = secret.reveal()
    if not 8 <= len(value) <= 128:
        return f"has {len(value)} characters; Harbor wants 8 to 128"
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(any(kind(c) for c in value) for kind in kinds):
        return "needs an upper case letter, a lower case letter and a digit"
    return None
