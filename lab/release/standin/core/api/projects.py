"""Projects, their metadata, members and summary."""

import re
from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Duplicate, Row, document
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from . import registries
from ._common import (
    administered_project,
    need_admin,
    need_login,
    need_writable,
    number,
    project_row,
    text_field,
    times,
)
from .retentions import create_default

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
LONGEST_NAME = 255
ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
# key: the feature that has it (None: all versions), what its value looks like
METADATA: dict[str, tuple[str | None, str]] = {
    "public": (None, "true|false"),
    "auto_scan": (None, "true|false"),
    "prevent_vul": (None, "true|false"),
    "severity": (None, "none|negligible|low|medium|high|critical"),
    "reuse_sys_cve_allowlist": (None, "true|false"),
    "enable_content_trust": (None, "true|false"),
    "enable_content_trust_cosign": ("metadata-cosign", "true|false"),
    "auto_sbom_generation": ("metadata-sbom", "true|false"),
    "proxy_speed_kb": ("proxy-speed", "-?[0-9]+"),
    "max_upstream_conn": ("max-upstream", "-?[0-9]+"),
    "proxy_cache_local_on_not_found": ("local-on-not-found", "true|false"),
    "retention_id": (None, "[0-9]+"),
}


@route("HEAD", "/projects")
def exists(call: Call) -> Response:
    """Whether a project of exactly this name is there."""
    need_login(call)
    name = call.request.query.get("project_name", "")
    if not call.core.database.one("SELECT 1 FROM project WHERE name = %s", name):
        raise not_found("project", name)
    return Response()


@route("GET", "/projects")
def projects(call: Call) -> Response:
    """What the caller may see: for anonymous ones the public projects, with status 200."""
    query = call.request.query
    rows = [
        row
        for row in call.core.database.all("SELECT * FROM project ORDER BY project_id")
        if "pull" in call.core.security.actions(call.caller, row)
        and query.get("name", "") in row["name"]
    ]
    if query.get("public") in ("true", "false"):
        rows = [row for row in rows if row["metadata"].get("public", "false") == query["public"]]
    for row in rows:
        row["public"] = row["metadata"].get("public", "false")
    return listing.respond(call.request, rows, lambda row: _render(call, row))


@route("POST", "/projects")
def create(call: Call) -> Response:
    """A project; one with registry_id is a proxy cache and gets a retention policy."""
    need_login(call)
    need_writable(call)
    if call.core.setting("project_creation_restriction") == "adminonly":
        need_admin(call)
    body = call.body()
    name = text_field(body, "project_name")
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ApiError(400, f"the project name {name} is invalid, it must match {NAME.pattern}")
    registry_id = body.get("registry_id")
    if registry_id is not None:
        _check_proxy(call, registry_id)
    metadata = _metadata(call, body.get("metadata") or {}, strict=False)
    if "public" in body and "public" not in metadata:
        metadata["public"] = "true" if body["public"] else "false"
    metadata.setdefault("public", "false")
    row = _insert(call, name, registry_id, metadata)
    _give_quota(call, row, body.get("storage_limit"))
    if registry_id is not None:
        create_default(call.core, row)
    call.core.audit(call.caller, row, name, "project", "create")
    named = call.request.headers.get("X-Resource-Name-In-Location", "").lower() == "true"
    return Response(
        201, b"", {"Location": f"/api/v2.0/projects/{name if named else row['project_id']}"}
    )


@route("GET", "/projects/{project}")
def get(call: Call) -> Response:
    """One project."""
    return Response.json(_render(call, project_row(call, call.path["project"])))


@route("PUT", "/projects/{project}")
def update(call: Call) -> Response:
    """Only metadata and the CVE list take effect; the rest is ignored in silence."""
    row = administered_project(call, call.path["project"])
    body = call.body()
    given = body.get("metadata") or {}
    if given.get("retention_id") not in (None, row["metadata"].get("retention_id")):
        raise ApiError(
            400,
            "the retention_id in the request's payload when updating a project "
            "should be omitted, alternatively passing the one that has already been "
            "associated to this project",
        )
    metadata = row["metadata"] | _metadata(call, given, strict=False)
    allowlist = body.get("cve_allowlist") or row["cve_allowlist"]
    call.core.database.run(
        "UPDATE project SET metadata = %s, cve_allowlist = %s, update_time = now()"
        " WHERE project_id = %s",
        document(metadata),
        document(allowlist),
        row["project_id"],
    )
    call.core.audit(call.caller, row, row["name"], "project", "update")
    return Response()


@route("DELETE", "/projects/{project}")
def delete(call: Call) -> Response:
    """412 while it holds repositories."""
    need_writable(call)
    row = administered_project(call, call.path["project"])
    message = _why_not_deletable(call, row)
    if message:
        raise ApiError(412, message)
    call.core.database.run("DELETE FROM project WHERE project_id = %s", row["project_id"])
    call.core.audit(call.caller, None, row["name"], "project", "delete")
    return Response()


@route("GET", "/projects/{project}/_deletable")
def deletable(call: Call) -> Response:
    """Whether DELETE would work."""
    row = administered_project(call, call.path["project"])
    message = _why_not_deletable(call, row)
    body: dict[str, Any] = {"deletable": not message}
    return Response.json(body | ({"message": message} if message else {}))


@route("GET", "/projects/{project}/summary")
def summary(call: Call) -> Response:
    """Counts, quota and upstream."""
    row = project_row(call, call.path["project"])
    core = call.core
    body: dict[str, Any] = {"repo_count": _repositories(call, row)}
    members = core.database.all(
        "SELECT role_id, count(*) AS count FROM project_member WHERE project_id = %s"
        " GROUP BY role_id",
        row["project_id"],
    )
    names = {1: "project_admin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limited_guest"}
    counted = {one["role_id"]: one["count"] for one in members}
    body |= {f"{name}_count": counted.get(role, 0) for role, name in names.items()}
    quota = core.database.one("SELECT hard FROM quota WHERE project_id = %s", row["project_id"])
    body["quota"] = {
        "hard": {"storage": quota["hard"] if quota else -1},
        "used": {"storage": core.index.used(row["project_id"])},
    }
    if row["registry_id"]:
        body["registry"] = registries.render(call, core.registry_row(row["registry_id"]))
    return Response.json(body)


@route("GET", "/projects/{project}/metadatas")
def metadatas(call: Call) -> Response:
    """All metadata."""
    return Response.json(project_row(call, call.path["project"])["metadata"])


@route("POST", "/projects/{project}/metadatas")
def add_metadata(call: Call) -> Response:
    """Exactly one new key."""
    row = administered_project(call, call.path["project"])
    changes = _one_metadata(call)
    key = next(iter(changes))
    if key in row["metadata"]:
        raise ApiError(409, f"project metadata {key} already exists")
    _save_metadata(call, row, row["metadata"] | changes)
    return Response()


@route("GET", "/projects/{project}/metadatas/{key}")
def get_metadata(call: Call) -> Response:
    """One key."""
    row = project_row(call, call.path["project"])
    return Response.json({call.path["key"]: _metadata_value(row, call.path["key"])})


@route("PUT", "/projects/{project}/metadatas/{key}")
def put_metadata(call: Call) -> Response:
    """Change one key that is there."""
    row = administered_project(call, call.path["project"])
    _metadata_value(row, call.path["key"])
    changes = _one_metadata(call)
    if call.path["key"] not in changes:
        raise ApiError(400, "the metadata key in the path and in the body differ")
    _save_metadata(call, row, row["metadata"] | changes)
    return Response()


@route("DELETE", "/projects/{project}/metadatas/{key}")
def delete_metadata(call: Call) -> Response:
    """Remove one key."""
    row = administered_project(call, call.path["project"])
    _metadata_value(row, call.path["key"])
    _save_metadata(
        call, row, {key: value for key, value in row["metadata"].items() if key != call.path["key"]}
    )
    return Response()


@route("GET", "/projects/{project}/members")
def members(call: Call) -> Response:
    """All members; `entityname` is fuzzy."""
    row = administered_project(call, call.path["project"])
    part = call.request.query.get("entityname", "")
    rows = [
        one
        for one in call.core.database.all(
            "SELECT * FROM project_member WHERE project_id = %s ORDER BY id", row["project_id"]
        )
        if part in one["entity_name"]
    ]
    return listing.respond(call.request, rows, _render_member)


@route("POST", "/projects/{project}/members")
def add_member(call: Call) -> Response:
    """A user or a group with a role."""
    row = administered_project(call, call.path["project"])
    body = call.body()
    role = _role(body)
    if body.get("member_user"):
        kind, name, entity = "u", *_user(call, body["member_user"])
    elif body.get("member_group"):
        kind, name, entity = "g", *_group(call, body["member_group"])
    else:
        raise ApiError(400, "must provide either a member user or a member group")
    try:
        made = call.core.database.insert(
            "INSERT INTO project_member (project_id, entity_name, entity_type, entity_id, role_id)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            row["project_id"],
            name,
            kind,
            entity,
            role,
        )
    except Duplicate as there:
        raise ApiError(409, "project member already exist") from there
    location = f"/api/v2.0/projects/{row['project_id']}/members/{made['id']}"
    return Response(201, b"", {"Location": location})


@route("GET", "/projects/{project}/members/{member}")
def get_member(call: Call) -> Response:
    """One member."""
    row = administered_project(call, call.path["project"])
    return Response.json(_render_member(_member(call, row)))


@route("PUT", "/projects/{project}/members/{member}")
def put_member(call: Call) -> Response:
    """Another role."""
    row = administered_project(call, call.path["project"])
    member = _member(call, row)
    call.core.database.run(
        "UPDATE project_member SET role_id = %s WHERE id = %s", _role(call.body()), member["id"]
    )
    return Response()


@route("DELETE", "/projects/{project}/members/{member}")
def delete_member(call: Call) -> Response:
    """Out."""
    row = administered_project(call, call.path["project"])
    call.core.database.run("DELETE FROM project_member WHERE id = %s", _member(call, row)["id"])
    return Response()


def _insert(call: Call, name: str, registry_id: int | None, metadata: dict[str, str]) -> Row:
    owner = call.caller.user_id or 1
    try:
        row = call.core.database.insert(
            "INSERT INTO project (name, owner_id, registry_id, metadata) VALUES (%s, %s, %s, %s)"
            " RETURNING *",
            name,
            owner,
            registry_id,
            document(metadata),
        )
    except Duplicate as there:
        raise ApiError(409, f"The project named {name} already exists") from there
    call.core.database.run(
        "INSERT INTO project_member (project_id, entity_name, entity_type, entity_id, role_id)"
        " VALUES (%s, %s, 'u', %s, 1)",
        row["project_id"],
        call.caller.name,
        owner,
    )
    return row


def _check_proxy(call: Call, registry_id: object) -> None:
    if not call.caller.sysadmin:
        raise ApiError(403, "Only system admin can create proxy cache project")
    row = call.core.database.one("SELECT * FROM registry WHERE id = %s", registry_id)
    if row is None:
        raise not_found("registry", registry_id)
    if row["type"] not in call.core.environment.proxy_types:
        raise ApiError(400, f"unsupported registry type {row['type']}")


def _give_quota(call: Call, row: Row, limit: int | None) -> None:
    if not call.core.setting("quota_per_project_enable"):
        return
    hard = limit or int(call.core.setting("storage_per_project"))
    call.core.database.run(
        "INSERT INTO quota (project_id, hard) VALUES (%s, %s)", row["project_id"], hard
    )


def _metadata(call: Call, given: dict[str, Any], *, strict: bool) -> dict[str, str]:
    """The keys that this version knows; others are dropped, or 400 when `strict`."""
    result = {}
    for key, value in given.items():
        feature, pattern = METADATA.get(key, ("", ""))
        known = key in METADATA and (feature is None or call.core.release.has(feature))
        if not known and strict:
            raise ApiError(400, f"invalid key: {key}")
        if not known or value is None:
            continue
        if not isinstance(value, str):
            raise ApiError(422, f"metadata.{key} in body must be of type string: {value!r}")
        if not re.fullmatch(pattern, value.lower()):
            raise ApiError(400, f"invalid value: {value} for {key}")
        result[key] = value
    return result


def _one_metadata(call: Call) -> dict[str, str]:
    body = call.body()
    if len(body) != 1:
        raise ApiError(400, "only allow one key/value pair")
    return _metadata(call, body, strict=True)


def _metadata_value(row: Row, key: str) -> str:
    if key not in row["metadata"]:
        raise not_found("metadata", key)
    return str(row["metadata"][key])


def _save_metadata(call: Call, row: Row, metadata: dict[str, str]) -> None:
    call.core.database.run(
        "UPDATE project SET metadata = %s, update_time = now() WHERE project_id = %s",
        document(metadata),
        row["project_id"],
    )


def _repositories(call: Call, row: Row) -> int:
    found = call.core.database.one(
        "SELECT count(*) AS count FROM repository WHERE project_id = %s", row["project_id"]
    )
    return int(found["count"]) if found else 0


def _why_not_deletable(call: Call, row: Row) -> str:
    if _repositories(call, row):
        return "the project contains repositories, can not be deleted"
    return ""


def _role(body: dict[str, Any]) -> int:
    role = body.get("role_id")
    if role not in ROLES:
        raise ApiError(400, "role id is invalid")
    return int(role)


def _user(call: Call, given: dict[str, Any]) -> tuple[str, int]:
    row = call.core.database.one(
        "SELECT * FROM harbor_user WHERE username = %s OR user_id = %s",
        given.get("username", ""),
        given.get("user_id", 0),
    )
    if row is None:
        raise not_found("user", given.get("username"))
    return row["username"], row["user_id"]


def _group(call: Call, given: dict[str, Any]) -> tuple[str, int]:
    if given.get("id"):
        row = call.core.database.one("SELECT * FROM user_group WHERE id = %s", given["id"])
        if row is None:
            raise not_found("user group", given["id"])
    else:
        row = call.core.database.insert(
            "INSERT INTO user_group (group_name, group_type, ldap_group_dn) VALUES (%s, %s, %s)"
            " ON CONFLICT (group_name, group_type) DO UPDATE SET group_name = excluded.group_name"
            " RETURNING *",
            given.get("group_name") or given.get("ldap_group_dn", ""),
            given.get("group_type", 3),
            given.get("ldap_group_dn", ""),
        )
    return row["group_name"], row["id"]


def _member(call: Call, project: Row) -> Row:
    member = number(call.path["member"], "mid")
    row = call.core.database.one(
        "SELECT * FROM project_member WHERE project_id = %s AND id = %s",
        project["project_id"],
        member,
    )
    if row is None:
        raise not_found("member", member)
    return row


def _render_member(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "project_id": row["project_id"],
        "entity_name": row["entity_name"],
        "role_name": ROLES[row["role_id"]],
        "role_id": row["role_id"],
        "entity_id": row["entity_id"],
        "entity_type": row["entity_type"],
    }


def _render(call: Call, row: Row) -> dict[str, Any]:
    owner = call.core.database.one(
        "SELECT username FROM harbor_user WHERE user_id = %s", row["owner_id"]
    )
    body = {
        "project_id": row["project_id"],
        "owner_id": row["owner_id"],
        "name": row["name"],
        "owner_name": owner["username"] if owner else "",
        "deleted": False,
        "togglable": True,
        "repo_count": _repositories(call, row),
        "metadata": row["metadata"],
        "cve_allowlist": {
            "id": row["project_id"],
            "project_id": row["project_id"],
            "items": [],
            **row["cve_allowlist"],
        },
        **times(row),
    }
    if row["registry_id"]:
        body["registry_id"] = row["registry_id"]
    role = call.core.security.role(call.caller, row)
    if role:
        body |= {"current_user_role_id": role, "current_user_role_ids": [role]}
    return body
