"""Robot accounts."""

import re
import secrets
import string
import time
from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Duplicate, Row, document
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.core.security import hash_password
from lab.release.standin.web import Response

from ._common import administered_project, need_admin, need_login, number, text_field, times
from .users import check_password

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
LETTERS = string.ascii_letters + string.digits
LEVELS = ("system", "project")
DAY = 86400


@route("GET", "/robots")
def robots(call: Call) -> Response:
    """The system's, or those of a project by q=Level=project,ProjectID=N."""
    need_login(call)
    wanted = {key.lower(): value for key, value in listing.conditions(call.request).items()}
    level = wanted.get("level", "system")
    if level not in LEVELS:
        raise ApiError(400, "bad request error level input")
    if level == "project":
        project = wanted.get("projectid", "")
        if not project.isdigit():
            raise ApiError(400, "must with project ID when to query project robots")
        administered_project(call, project)
    else:
        need_admin(call)
    rows = call.core.database.all("SELECT * FROM robot WHERE level = %s ORDER BY id", level)
    return listing.respond(call.request, rows, lambda row: _render(call, row))


@route("POST", "/robots")
def create(call: Call) -> Response:
    """A new robot; its secret is random and shown once, whatever the body says."""
    need_login(call)
    body = call.body()
    name = text_field(body, "name")
    if not NAME.fullmatch(name):
        raise ApiError(400, "robot name is not in lower case or contains illegal characters")
    _check(body)
    project = _project(call, body)
    prefix = call.core.setting("robot_name_prefix")
    full = f"{prefix}{project['name']}+{name}" if project else f"{prefix}{name}"
    secret = _random_secret()
    try:
        row = call.core.database.insert(
            "INSERT INTO robot (name, level, project_id, description, secret, duration,"
            " expires_at, disable, permissions) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " RETURNING *",
            full,
            body["level"],
            project["project_id"] if project else None,
            text_field(body, "description"),
            hash_password(secret),
            body["duration"],
            _expiry(body["duration"], time.time()),
            bool(body.get("disable")),
            document(body["permissions"]),
        )
    except Duplicate as there:
        raise ApiError(409, f"robot account {name} already exists") from there
    created = {
        "id": row["id"],
        "name": full,
        "secret": secret,
        "expires_at": row["expires_at"],
        "creation_time": times(row)["creation_time"],
    }
    return Response.json(created, 201, {"Location": f"/api/v2.0/robots/{row['id']}"})


@route("GET", "/robots/{id}")
def get(call: Call) -> Response:
    """One robot, without its secret."""
    return Response.json(_render(call, _row(call)))


@route("PUT", "/robots/{id}")
def update(call: Call) -> Response:
    """The full object; level and full name have to be the same."""
    row = _row(call)
    body = call.body()
    body.setdefault("duration", row["duration"])
    _check(body)
    if body["level"] != row["level"] or body.get("name") != row["name"]:
        raise ApiError(400, "cannot update the level or name of robot")
    expires = row["expires_at"]
    if body["duration"] != row["duration"]:
        expires = _expiry(body["duration"], row["creation_time"].timestamp())
    call.core.database.run(
        "UPDATE robot SET description = %s, disable = %s, duration = %s, expires_at = %s,"
        " permissions = %s, update_time = now() WHERE id = %s",
        text_field(body, "description"),
        bool(body.get("disable")),
        body["duration"],
        expires,
        document(body["permissions"]),
        row["id"],
    )
    return Response()


@route("PATCH", "/robots/{id}")
def refresh(call: Call) -> Response:
    """An own secret is set and not returned; an empty one gives a random one, returned."""
    row = _row(call)
    given = text_field(call.body(), "secret")
    if given:
        check_password(call, given)
    secret = given or _random_secret()
    call.core.database.run(
        "UPDATE robot SET secret = %s, update_time = now() WHERE id = %s",
        hash_password(secret),
        row["id"],
    )
    return Response.json({} if given else {"secret": secret})


@route("DELETE", "/robots/{id}")
def delete(call: Call) -> Response:
    """Gone."""
    call.core.database.run("DELETE FROM robot WHERE id = %s", _row(call)["id"])
    return Response()


def _row(call: Call) -> Row:
    need_login(call)
    wanted = number(call.path["id"], "robot_id")
    row = call.core.database.one("SELECT * FROM robot WHERE id = %s", wanted)
    if row is None:
        need_admin(call)
        raise not_found("robot", wanted)
    if row["level"] == "project":
        administered_project(call, str(row["project_id"]))
    else:
        need_admin(call)
    return row


def _check(body: dict[str, Any]) -> None:
    duration = body.get("duration")
    if (
        not isinstance(duration, int)
        or isinstance(duration, bool)
        or not (duration == -1 or 0 < duration < 2**31 - 1)
    ):
        raise ApiError(
            400,
            f"bad request error duration input: {duration}, duration must be "
            "either -1(Never) or a positive integer",
        )
    if body.get("level") not in LEVELS:
        raise ApiError(400, f"bad request error level input: {body.get('level')}")
    permissions = body.get("permissions")
    if not permissions:
        raise ApiError(400, "bad request empty permission")
    if body["level"] == "project" and len(permissions) > 1:
        raise ApiError(400, "bad request permission")
    for permission in permissions:
        if permission.get("kind") not in LEVELS:
            raise ApiError(400, f"bad request permission level: {permission.get('kind')}")
        if not permission.get("access"):
            raise ApiError(400, "bad request empty access")


def _project(call: Call, body: dict[str, Any]) -> Row | None:
    if body["level"] == "system":
        need_admin(call)
        return None
    return administered_project(call, str(body["permissions"][0].get("namespace")))


def _expiry(days: int, start: float) -> int:
    return -1 if days == -1 else int(start) + days * DAY


def _random_secret() -> str:
    """32 letters and digits of which at least one is of each kind."""
    while True:
        secret = "".join(secrets.choice(LETTERS) for _ in range(32))
        if re.search("[a-z]", secret) and re.search("[A-Z]", secret) and re.search("[0-9]", secret):
            return secret


def _render(call: Call, row: Row) -> dict[str, Any]:
    body = {
        "id": row["id"],
        "name": row["name"],
        "level": row["level"],
        "description": row["description"],
        "duration": row["duration"],
        "editable": True,
        "disable": row["disable"],
        "expires_at": row["expires_at"],
        "permissions": row["permissions"],
        **times(row),
    }
    if call.core.release.has("audit-event-types"):
        body |= {"creator_type": "local", "creator_ref": 1}
    return body
