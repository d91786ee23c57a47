"""Quotas of projects."""

from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Row
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from ._common import need_admin, number, times

JOINED = (
    "SELECT q.*, p.name AS project_name, u.username AS owner_name FROM quota q"
    " JOIN project p USING (project_id)"
    " LEFT JOIN harbor_user u ON u.user_id = p.owner_id"
)


@route("GET", "/quotas")
def quotas(call: Call) -> Response:
    """All, or those of one project by reference and reference_id."""
    need_admin(call)
    wanted = call.request.query.get("reference_id", "")
    rows = [
        row
        for row in call.core.database.all(f"{JOINED} ORDER BY q.id")
        if wanted in ("", str(row["project_id"]))
    ]
    return listing.respond(call.request, rows, lambda row: _render(call, row))


@route("GET", "/quotas/{id}")
def get(call: Call) -> Response:
    """One quota."""
    need_admin(call)
    return Response.json(_render(call, _row(call)))


@route("PUT", "/quotas/{id}")
def update(call: Call) -> Response:
    """Another limit in bytes, -1 for none."""
    need_admin(call)
    row = _row(call)
    storage = (call.body().get("hard") or {}).get("storage")
    if (
        not isinstance(storage, int)
        or isinstance(storage, bool)
        or (storage != -1 and storage <= 0)
    ):
        raise ApiError(400, "the quota value of storage must be -1 or greater than zero")
    call.core.database.run(
        "UPDATE quota SET hard = %s, update_time = now() WHERE id = %s", storage, row["id"]
    )
    return Response()


def _row(call: Call) -> Row:
    wanted = number(call.path["id"], "id")
    row = call.core.database.one(f"{JOINED} WHERE q.id = %s", wanted)
    if row is None:
        raise not_found("quota", wanted)
    return row


def _render(call: Call, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "ref": {
            "id": row["project_id"],
            "name": row["project_name"],
            "owner_name": row["owner_name"] or "",
        },
        "hard": {"storage": row["hard"]},
        "used": {"storage": call.core.index.used(row["project_id"])},
        **times(row),
    }
