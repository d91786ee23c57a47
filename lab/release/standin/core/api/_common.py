"""Guards and formats that all parts of the API share."""

from datetime import UTC, datetime
from typing import Any

from lab.release.standin.core.database import Row
from lab.release.standin.core.errors import ApiError
from lab.release.standin.core.routing import Call


def need_login(call: Call) -> None:
    """ApiError 401 for anonymous callers."""
    if not call.caller.authenticated:
        raise ApiError(401, "unauthorized")


def need_admin(call: Call) -> None:
    """ApiError 401 for anonymous callers, 403 for all but system administrators."""
    need_login(call)
    if not call.caller.sysadmin:
        raise ApiError(403, "forbidden")


def need_writable(call: Call) -> None:
    """ApiError 403 while the system is read-only."""
    if call.core.setting("read_only"):
        raise ApiError(403, "the system is in read only mode, cancel the request", "DENIED")


def time_text(value: datetime | None) -> str:
    """RFC 3339 in UTC with milliseconds; the zero time of Go for None."""
    if value is None:
        return "0001-01-01T00:00:00.000Z"
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + (
        f"{value.microsecond // 1000:03d}Z"
    )


def times(row: Row) -> dict[str, str]:
    """The two times that most objects have."""
    return {
        "creation_time": time_text(row["creation_time"]),
        "update_time": time_text(row["update_time"]),
    }


def number(text: str, what: str) -> int:
    """A numeric segment of the path, else ApiError 422."""
    if not text.isdigit():
        raise ApiError(422, f'{what} in path must be of type int64: "{text}"')
    return int(text)


def project_row(call: Call, name_or_id: str) -> Row:
    """A project by name or number.

    A missing one is 404 for administrators and 403 for everybody else, and so is one that the
    caller may not see.
    """
    by_name = call.request.headers.get("X-Is-Resource-Name", "").lower() == "true"
    if name_or_id.isdigit() and not by_name:
        row = call.core.database.one("SELECT * FROM project WHERE project_id = %s", int(name_or_id))
    else:
        row = call.core.database.one("SELECT * FROM project WHERE name = %s", name_or_id)
    if row is None:
        if call.caller.sysadmin:
            raise ApiError(404, f"project {name_or_id} not found")
        raise ApiError(403 if call.caller.authenticated else 401, "forbidden")
    if "pull" not in call.core.security.actions(call.caller, row):
        raise ApiError(403 if call.caller.authenticated else 401, "forbidden")
    return row


def administered_project(call: Call, name_or_id: str) -> Row:
    """A project that the caller may change; else ApiError 401 or 403."""
    need_login(call)
    row = project_row(call, name_or_id)
    if not call.caller.sysadmin and call.core.security.role(call.caller, row) != 1:
        raise ApiError(403, "forbidden")
    return row


def text_field(body: dict[str, Any], name: str, default: str = "") -> str:
    """A string of a body, else ApiError 422."""
    value = body.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ApiError(422, f"{name} in body must be of type string: {value!r}")
    return value
