"""Every declared member of a project has the declared role."""

from typing import Any

from harbor.configuration.calls import Call, Plan
from harbor.configuration.settings import ROLES, Member
from harbor.configuration.state import MODES, Context, Item

LDAP, HTTP, OIDC = 1, 2, 3  # group types: src/common/const.go
GROUP_TYPES = {"ldap_auth": LDAP, "http_auth": HTTP, "oidc_auth": OIDC}


def plan(context: Context, project: str, wanted: list[Member] | None, found: Item | None) -> Plan:
    result = Plan()
    for member in wanted or []:
        what = f"member {name(member)} of {project}"
        if found is None:
            why = f"becomes {member.role}, once the project is there"
            result += Plan([Call(what, why, "POST", "/projects/.../members", ready=False)])
        else:
            result += _one(context, what, member, found["project_id"])
    return result


def _one(context: Context, what: str, member: Member, project: int) -> Plan:
    path, role = f"/projects/{project}/members", ROLES[member.role]
    present = find(context, member, project)
    if present is None:
        body = {"role_id": role, **_entity(context, member)}
        return Plan([Call(what, f"is missing: becomes {member.role}", "POST", path, body)])
    if present["role_id"] == role:
        return Plan()
    old = role_name(present["role_id"])
    body = {"role_id": role}
    return Plan(
        [Call(what, f"role: {old} → {member.role}", "PUT", f"{path}/{present['id']}", body)]
    )


def find(context: Context, member: Member, project: int) -> Item | None:
    """The present membership of a declared member."""
    kind = "u" if member.user else "g"
    names = {member.user or member.group}
    if member.ldap_group:
        groups = context.state.items("groups")
        names = {g["group_name"] for g in groups if _same_dn(g, member.ldap_group)}
    for item in context.state.items(f"members {project}"):
        if item["entity_type"] == kind and item["entity_name"] in names:
            return item
    return None


def _same_dn(group: Item, name: str) -> bool:
    return str(group.get("ldap_group_dn", "")).lower() == name.lower()


def _entity(context: Context, member: Member) -> dict[str, Any]:
    if member.user:
        return {"member_user": {"username": member.user}}
    if member.ldap_group:
        return {"member_group": {"ldap_group_dn": member.ldap_group, "group_type": LDAP}}
    auth = context.wanted.auth
    mode = MODES[auth.mode] if auth else str(context.state.setting("auth_mode"))
    kind = GROUP_TYPES.get(mode, OIDC)
    return {"member_group": {"group_name": member.group, "group_type": kind}}


def name(member: Member) -> str:
    return member.user or member.group or member.ldap_group or ""


def role_name(number: int) -> str:
    """`developer` for 2; the number itself where we know no name."""
    return next((key for key, value in ROLES.items() if value == number), str(number))
