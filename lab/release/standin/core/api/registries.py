"""Registries: the upstream endpoints."""

from typing import Any

from lab.release.standin.core import listing
from lab.release.standin.core.database import Duplicate, InUse, Row
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.core.upstream import Upstream
from lab.release.standin.web import Response

from ._common import need_admin, number, text_field, times

HIDDEN = "*****"
COLUMNS = (
    "name",
    "url",
    "type",
    "insecure",
    "description",
    "credential_type",
    "access_key",
    "access_secret",
    "ca_certificate",
)


@route("GET", "/registries")
def registries(call: Call) -> Response:
    """All; `name=` is fuzzy, `q=name=` exact."""
    need_admin(call)
    part = call.request.query.get("name", "")
    rows = [
        row
        for row in call.core.database.all("SELECT * FROM registry ORDER BY id")
        if part in row["name"]
    ]
    return listing.respond(call.request, rows, lambda row: render(call, row))


@route("POST", "/registries")
def create(call: Call) -> Response:
    """A new endpoint; the upstream is asked before anything is stored."""
    need_admin(call)
    body = call.body()
    credential = body.get("credential") or {}
    row = {
        "name": text_field(body, "name"),
        "url": _url(text_field(body, "url")),
        "type": text_field(body, "type"),
        "insecure": bool(body.get("insecure")),
        "description": text_field(body, "description"),
        "credential_type": credential.get("type", ""),
        "access_key": credential.get("access_key", ""),
        "access_secret": credential.get("access_secret", ""),
        "ca_certificate": _authority(call, body),
    }
    _check(call, row)
    if call.core.database.one("SELECT 1 FROM registry WHERE name = %s", row["name"]):
        raise ApiError(409, f"registry {row['name']} already exists")
    _need_healthy(call, row)
    try:
        made = call.core.database.insert(
            f"INSERT INTO registry ({', '.join(COLUMNS)}) VALUES"
            f" ({', '.join(['%s'] * len(COLUMNS))}) RETURNING *",
            *(row[column] for column in COLUMNS),
        )
    except Duplicate as there:
        raise ApiError(409, f"registry {row['name']} already exists") from there
    return Response(201, b"", {"Location": f"/api/v2.0/registries/{made['id']}"})


@route("POST", "/registries/ping")
def ping(call: Call) -> Response:
    """Ask an upstream, by its id with what the body changes, or wholly from the body."""
    need_admin(call)
    body = call.body()
    row: Row = {
        "url": "",
        "type": "",
        "insecure": False,
        "access_key": "",
        "access_secret": "",
        "ca_certificate": "",
    }
    if body.get("id"):
        row = _row(call, int(body["id"]))
    row |= {key: value for key, value in body.items() if key in COLUMNS and value is not None}
    if not row["url"]:
        raise ApiError(400, "URL can not be empty")
    row["url"] = _url(row["url"])
    _need_healthy(call, row)
    return Response()


@route("GET", "/registries/{id}")
def get(call: Call) -> Response:
    """One endpoint."""
    need_admin(call)
    return Response.json(render(call, _row(call, number(call.path["id"], "id"))))


@route("GET", "/registries/{id}/info")
def info(call: Call) -> Response:
    """What replication could do with it: nothing here."""
    need_admin(call)
    row = _row(call, number(call.path["id"], "id"))
    return Response.json(
        {
            "type": row["type"],
            "supported_resource_filters": [
                {"type": "name", "style": "input"},
                {"type": "tag", "style": "input"},
            ],
            "supported_triggers": ["manual", "scheduled"],
        }
    )


@route("PUT", "/registries/{id}")
def update(call: Call) -> Response:
    """Change what the body names; the upstream is asked, and becomes healthy again by it."""
    need_admin(call)
    row = _row(call, number(call.path["id"], "id"))
    body = call.body()
    changes = {key: body[key] for key in COLUMNS if key != "type" and body.get(key) is not None}
    row |= changes
    row["url"] = _url(row["url"])
    _check(call, row)
    _need_healthy(call, row)
    assignments = ", ".join(f"{column} = %s" for column in COLUMNS)
    try:
        call.core.database.run(
            f"UPDATE registry SET {assignments}, status = 'healthy', update_time = now()"
            " WHERE id = %s",
            *(row[column] for column in COLUMNS),
            row["id"],
        )
    except Duplicate as there:
        raise ApiError(409, f"registry {row['name']} already exists") from there
    return Response()


@route("DELETE", "/registries/{id}")
def delete(call: Call) -> Response:
    """412 while a proxy project uses it."""
    need_admin(call)
    row = _row(call, number(call.path["id"], "id"))
    try:
        call.core.database.run("DELETE FROM registry WHERE id = %s", row["id"])
    except InUse as used:
        raise ApiError(
            412, f"can't delete registry: {row['id']} as it is used by proxy cache project"
        ) from used
    return Response()


@route("GET", "/replication/adapters")
def adapters(call: Call) -> Response:
    """The registry types of this version."""
    need_admin(call)
    return Response.json(sorted(call.core.release.adapters))


@route("GET", "/replication/adapterinfos")
def adapterinfos(call: Call) -> Response:
    """The types with their fixed addresses."""
    need_admin(call)
    return Response.json({name: _pattern(name) for name in call.core.release.adapters})


def render(call: Call, row: Row) -> dict[str, Any]:
    """As the API shows it: the secret hidden."""
    body: dict[str, Any] = {
        "id": row["id"],
        "name": row["name"],
        "url": row["url"],
        "type": row["type"],
        "insecure": row["insecure"],
        "description": row["description"],
        "status": row["status"],
        "credential": {},
        **times(row),
    }
    if row["access_key"]:
        body["credential"] = {
            "type": row["credential_type"] or "basic",
            "access_key": row["access_key"],
            "access_secret": HIDDEN,
        }
    if call.core.release.has("registry-ca"):
        body["ca_certificate"] = row["ca_certificate"]
    return body


def _row(call: Call, number_: int) -> Row:
    row = call.core.database.one("SELECT * FROM registry WHERE id = %s", number_)
    if row is None:
        raise not_found("registry", number_)
    return row


def _check(call: Call, row: Row) -> None:
    if not 1 <= len(row["name"]) <= 64:
        raise ApiError(400, "name cannot be empty or longer than 64")
    if row["type"] not in call.core.release.adapters:
        raise ApiError(400, f"adapter factory for {row['type']} not found")


def _url(url: str) -> str:
    if not url:
        raise ApiError(400, "empty url")
    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    return url.rstrip("/")


def _authority(call: Call, body: dict[str, Any]) -> str:
    if not call.core.release.has("registry-ca"):
        return ""
    return text_field(body, "ca_certificate")


def _need_healthy(call: Call, row: Row) -> None:
    if not Upstream(row, call.core.switches).healthy():
        raise ApiError(400, "the registry is unhealthy")


def _pattern(name: str) -> dict[str, Any]:
    fixed = {
        "docker-hub": ("hub.docker.com", "https://hub.docker.com"),
        "github-ghcr": ("ghcr.io", "https://ghcr.io"),
        "google-gcr": ("gcr.io", "https://gcr.io"),
        "quay": ("quay.io", "https://quay.io"),
    }
    if name not in fixed:
        return {}
    key, value = fixed[name]
    return {
        "endpoint_pattern": {
            "endpoint_type": "EndpointPatternTypeFix",
            "endpoints": [{"key": key, "value": value}],
        }
    }
