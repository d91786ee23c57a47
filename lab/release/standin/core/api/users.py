"""Users: db_auth only."""

import re
from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Duplicate, Row
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.core.security import hash_password, verify_password
from lab.release.standin.web import Response

from ._common import need_admin, need_login, number, text_field, times

ADMIN_ID = 1
ANONYMOUS_ID = 2
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@route("GET", "/users/current")
def current(call: Call) -> Response:
    """Who am I; 401 with a wrong password."""
    need_login(call)
    if call.caller.robot:
        raise ApiError(412, "get current user not available for security context: robot")
    row = _row(call, call.caller.user_id)
    return Response.json(_render(row))


@route("GET", "/users")
def users(call: Call) -> Response:
    """All users."""
    need_admin(call)
    rows = call.core.database.all(
        "SELECT * FROM harbor_user WHERE user_id <> %s ORDER BY user_id", ANONYMOUS_ID
    )
    return listing.respond(call.request, rows, _render)


@route("POST", "/users")
def create(call: Call) -> Response:
    """A new user; 403 outside db_auth."""
    if call.core.setting("auth_mode") != "db_auth":
        raise ApiError(403, "creating local user is not allowed")
    if not call.core.setting("self_registration"):
        need_admin(call)
    body = call.body()
    name = text_field(body, "username")
    _check_profile(name, body)
    check_password(call, text_field(body, "password"))
    try:
        row = call.core.database.insert(
            "INSERT INTO harbor_user (username, email, realname, comment, password)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING *",
            name,
            body.get("email"),
            body.get("realname"),
            body.get("comment", ""),
            hash_password(body["password"]),
        )
    except Duplicate as there:
        raise ApiError(409, f"user {name} or email already exists") from there
    return Response(201, b"", {"Location": f"/api/v2.0/users/{row['user_id']}"})


@route("GET", "/users/{user_id}")
def get(call: Call) -> Response:
    """One user: oneself, or any for an administrator."""
    return Response.json(_render(_own_or_admin(call)))


@route("PUT", "/users/{user_id}")
def update(call: Call) -> Response:
    """The profile."""
    row = _own_or_admin(call)
    body = call.body()
    _check_profile(row["username"], body)
    call.core.database.run(
        "UPDATE harbor_user SET email = %s, realname = %s, comment = %s, update_time = now()"
        " WHERE user_id = %s",
        body.get("email"),
        body.get("realname"),
        body.get("comment", ""),
        row["user_id"],
    )
    return Response()


@route("DELETE", "/users/{user_id}")
def delete(call: Call) -> Response:
    """Remove a user, never oneself or the administrator."""
    need_admin(call)
    row = _row(call, number(call.path["user_id"], "user_id"))
    if row["user_id"] in (ADMIN_ID, call.caller.user_id):
        raise ApiError(403, "User with ID 1 or the current user cannot be deleted")
    call.core.database.run("DELETE FROM harbor_user WHERE user_id = %s", row["user_id"])
    return Response()


@route("PUT", "/users/{user_id}/sysadmin")
def sysadmin(call: Call) -> Response:
    """Make somebody an administrator, or no longer."""
    need_admin(call)
    row = _row(call, number(call.path["user_id"], "user_id"))
    call.core.database.run(
        "UPDATE harbor_user SET sysadmin_flag = %s WHERE user_id = %s",
        bool(call.body().get("sysadmin_flag")),
        row["user_id"],
    )
    return Response()


@route("PUT", "/users/{user_id}/password")
def password(call: Call) -> Response:
    """Change a password; one's own needs the old one."""
    if call.core.setting("auth_mode") != "db_auth" and call.path["user_id"] != str(ADMIN_ID):
        raise ApiError(403, "update password is not allowed")
    row = _own_or_admin(call)
    body = call.body()
    new = text_field(body, "new_password")
    if row["user_id"] == call.caller.user_id and not verify_password(
        row["password"], text_field(body, "old_password")
    ):
        raise ApiError(403, "Current password is incorrect")
    if verify_password(row["password"], new):
        raise ApiError(400, "the new password can not be same with the old one")
    check_password(call, new)
    call.core.database.run(
        "UPDATE harbor_user SET password = %s WHERE user_id = %s",
        hash_password(new),
        row["user_id"],
    )
    return Response()


def check_password(call: Call, text: str) -> None:
    """Harbor's rule for passwords and robots' own secrets; ApiError 400."""
    longest = 128 if call.core.release.has("password-upper-bound") else 10_000
    if not (
        8 <= len(text) <= longest
        and re.search("[a-z]", text)
        and re.search("[A-Z]", text)
        and re.search("[0-9]", text)
    ):
        raise ApiError(
            400,
            "the password or secret must be 8-128 characters long with at least 1 "
            "uppercase letter, 1 lowercase letter and 1 number",
        )


def _check_profile(name: str, body: dict[str, Any]) -> None:
    if not 1 <= len(name) <= 255 or re.search(r"[,\"~#%$]", name):
        raise ApiError(400, "username is empty or contains illegal characters")
    if not EMAIL.fullmatch(text_field(body, "email")):
        raise ApiError(400, "email with illegal format")
    if not 1 <= len(text_field(body, "realname")) <= 255:
        raise ApiError(400, "realname with illegal length")
    if len(text_field(body, "comment")) > 30:
        raise ApiError(400, "comment length over 30")


def _own_or_admin(call: Call) -> Row:
    need_login(call)
    user_id = number(call.path["user_id"], "user_id")
    if user_id != call.caller.user_id:
        need_admin(call)
    return _row(call, user_id)


def _row(call: Call, user_id: int) -> Row:
    row = call.core.database.one("SELECT * FROM harbor_user WHERE user_id = %s", user_id)
    if row is None:
        raise not_found("user", user_id)
    return row


def _render(row: Row) -> dict[str, Any]:
    return {
        "user_id": row["user_id"],
        "username": row["username"],
        "email": row["email"] or "",
        "realname": row["realname"] or "",
        "comment": row["comment"] or "",
        "sysadmin_flag": row["sysadmin_flag"],
        "admin_role_in_auth": False,
        **times(row),
    }
