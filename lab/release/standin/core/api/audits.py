"""The audit log, the list of permissions, and the system's CVE list."""

from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Row, document
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from ._common import need_admin, need_login, project_row, time_text

CVE_KEY = "stand_in_cve_allowlist"
EVENTS = (
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "delete_project",
    "delete_repository",
    "update_project",
)
PROJECT_ACTIONS = (
    "repository:pull",
    "repository:push",
    "repository:delete",
    "repository:list",
    "repository:read",
    "artifact:read",
    "artifact:list",
    "tag:list",
    "tag:create",
)
SYSTEM_ACTIONS = (
    "registry:list",
    "registry:read",
    "project:list",
    "project:create",
    "audit-log:list",
    "quota:read",
    "system-volumes:read",
)


@route("GET", "/audit-logs")
def audit_logs(call: Call) -> Response:
    """All, newest first."""
    need_admin(call)
    return listing.respond(call.request, _rows(call, ""), _plain)


@route("GET", "/auditlog-exts", "audit-log-ext")
def audit_log_exts(call: Call) -> Response:
    """The same in the form that 2.13 brought."""
    need_admin(call)
    return listing.respond(call.request, _rows(call, ""), _extended)


@route("GET", "/auditlog-exts/events", "audit-log-ext")
def events(call: Call) -> Response:
    """What can be logged."""
    need_admin(call)
    return Response.json(list(EVENTS))


@route("GET", "/projects/{project}/logs")
def project_logs(call: Call) -> Response:
    """Those of a project."""
    need_login(call)
    project = project_row(call, call.path["project"])
    rows = _rows(call, "WHERE project_id = %s", project["project_id"])
    return listing.respond(call.request, rows, _plain)


@route("GET", "/permissions", "permissions")
def permissions(call: Call) -> Response:
    """What robots may be given; a part of Harbor's list."""
    need_admin(call)
    return Response.json(
        {
            "system": [_split(one) for one in SYSTEM_ACTIONS],
            "project": [_split(one) for one in PROJECT_ACTIONS],
        }
    )


@route("GET", "/system/CVEAllowlist")
def cve_allowlist(call: Call) -> Response:
    """The system's list."""
    need_admin(call)
    row = call.core.database.one("SELECT v FROM properties WHERE k = %s", CVE_KEY)
    return Response.json(row["v"] if row else {"id": 1, "project_id": 0, "items": []})


@route("PUT", "/system/CVEAllowlist")
def set_cve_allowlist(call: Call) -> Response:
    """Replace it."""
    need_admin(call)
    call.core.database.run(
        "INSERT INTO properties VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        CVE_KEY,
        document({"id": 1, "project_id": 0, "items": [], **call.body()}),
    )
    return Response()


def _rows(call: Call, where: str, *values: Any) -> list[Row]:
    return call.core.database.all(f"SELECT * FROM audit_log {where} ORDER BY id DESC", *values)


def _plain(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "username": row["username"],
        "resource": row["resource"],
        "resource_type": row["resource_type"],
        "operation": row["operation"],
        "op_time": time_text(row["op_time"]),
    }


def _extended(row: Row) -> dict[str, Any]:
    described = f"{row['operation']} {row['resource_type']}: {row['resource']}"
    return _plain(row) | {"operation_description": described, "operation_result": True}


def _split(text: str) -> dict[str, str]:
    resource, _, action = text.partition(":")
    return {"resource": resource, "action": action}
