"""Repositories, artifacts and tags; repository names come doubly encoded in the path."""

from typing import Any
from urllib.parse import unquote

from lab.release.standin.core import listing
from lab.release.standin.core.database import Row
from lab.release.standin.core.errors import ApiError
from lab.release.standin.core.local import INDEX_TYPES
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from ._common import need_login, project_row, time_text, times

BASE = "/projects/{project}/repositories"
CONFIG_OF = {
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json": "application/vnd.docker.container.image.v1+json",
}


@route("GET", "/repositories")
def all_repositories(call: Call) -> Response:
    """All that the caller may see."""
    rows = [
        row
        for row in call.core.database.all(
            "SELECT r.*, p.metadata, p.name AS project_name FROM repository r"
            " JOIN project p USING (project_id) ORDER BY r.name"
        )
        if "pull" in call.core.security.actions(call.caller, {**row, "name": row["project_name"]})
    ]
    return listing.respond(call.request, rows, lambda row: _repository(call, row))


@route("GET", BASE)
def repositories(call: Call) -> Response:
    """Those of a project."""
    project = project_row(call, call.path["project"])
    rows = call.core.database.all(
        "SELECT * FROM repository WHERE project_id = %s ORDER BY name", project["project_id"]
    )
    return listing.respond(call.request, rows, lambda row: _repository(call, row))


@route("GET", BASE + "/{repository}")
def get(call: Call) -> Response:
    """One repository."""
    return Response.json(_repository(call, _row(call, "pull")))


@route("PUT", BASE + "/{repository}")
def update(call: Call) -> Response:
    """Its description."""
    row = _row(call, "push")
    call.core.database.run(
        "UPDATE repository SET description = %s WHERE id = %s",
        str(call.body().get("description", "")),
        row["id"],
    )
    return Response()


@route("DELETE", BASE + "/{repository}")
def delete(call: Call) -> Response:
    """With all that is in it; the bytes stay until garbage collection."""
    row = _row(call, "delete")
    call.core.database.run("DELETE FROM repository WHERE id = %s", row["id"])
    call.core.audit(call.caller, row, row["name"], "repository", "delete")
    return Response()


@route("GET", BASE + "/{repository}/artifacts")
def artifacts(call: Call) -> Response:
    """All artifacts of a repository."""
    row = _row(call, "pull")
    found = call.core.database.all(
        "SELECT * FROM artifact WHERE repository_id = %s ORDER BY push_time DESC, id DESC",
        row["id"],
    )
    tags = call.request.query.get("with_tag", "true") != "false"
    return listing.respond(call.request, found, lambda one: _artifact(call, row, one, tags))


@route("GET", BASE + "/{repository}/artifacts/{reference}")
def artifact(call: Call) -> Response:
    """One, by tag or digest."""
    row = _row(call, "pull")
    tags = call.request.query.get("with_tag", "true") != "false"
    return Response.json(_artifact(call, row, _found(call, row), tags))


@route("DELETE", BASE + "/{repository}/artifacts/{reference}")
def delete_artifact(call: Call) -> Response:
    """One, with its tags."""
    row = _row(call, "delete")
    found = _found(call, row)
    call.core.database.run("DELETE FROM artifact WHERE id = %s", found["id"])
    call.core.audit(call.caller, row, f"{row['name']}@{found['digest']}", "artifact", "delete")
    return Response()


@route("GET", BASE + "/{repository}/artifacts/{reference}/tags")
def tags(call: Call) -> Response:
    """The tags of one."""
    row = _row(call, "pull")
    found = _tags(call, _found(call, row))
    return listing.respond(call.request, found, _tag)


@route("POST", BASE + "/{repository}/artifacts/{reference}/tags")
def add_tag(call: Call) -> Response:
    """One more tag."""
    row = _row(call, "push")
    found = _found(call, row)
    name = str(call.body().get("name", ""))
    if call.core.index.artifact(row["name"], name):
        raise ApiError(409, f"tag {name} already exists")
    call.core.index.tag(found, name)
    return Response(201, b"", {"Location": f"{call.request.path}/{name}"})


@route("DELETE", BASE + "/{repository}/artifacts/{reference}/tags/{tag}")
def delete_tag(call: Call) -> Response:
    """One tag less."""
    row = _row(call, "delete")
    found = _found(call, row)
    if not call.core.database.run(
        "DELETE FROM tag WHERE artifact_id = %s AND name = %s", found["id"], call.path["tag"]
    ):
        raise ApiError(404, f"tag {call.path['tag']} not found")
    return Response()


def _row(call: Call, action: str) -> Row:
    """The repository with its project's columns; ApiError when it may not be touched so."""
    project = project_row(call, call.path["project"])
    if action != "pull":
        need_login(call)
        if action not in call.core.security.actions(call.caller, project):
            raise ApiError(403, "forbidden")
    name = f"{project['name']}/{unquote(call.path['repository'])}"
    row = call.core.database.one("SELECT * FROM repository WHERE name = %s", name)
    if row is None:
        raise ApiError(404, f"repository {name} not found")
    return row


def _found(call: Call, row: Row) -> Row:
    reference = call.path["reference"]
    found = call.core.index.artifact(row["name"], reference)
    if found is None:
        mark = "@" if reference.startswith("sha256:") else ":"
        raise ApiError(404, f"artifact {row['name']}{mark}{reference} not found")
    return found


def _repository(call: Call, row: Row) -> dict[str, Any]:
    counted = call.core.database.one(
        "SELECT count(*) AS count FROM artifact WHERE repository_id = %s", row["id"]
    )
    return {
        "id": row["id"],
        "project_id": row["project_id"],
        "name": row["name"],
        "description": row["description"],
        "pull_count": row["pull_count"],
        "artifact_count": counted["count"] if counted else 0,
        **times(row),
    }


def _artifact(call: Call, row: Row, found: Row, with_tags: bool) -> dict[str, Any]:
    body = {
        "id": found["id"],
        "type": "IMAGE",
        "project_id": row["project_id"],
        "repository_id": row["id"],
        "digest": found["digest"],
        "size": found["size"],
        "media_type": CONFIG_OF.get(found["media_type"], found["media_type"]),
        "manifest_media_type": found["media_type"],
        "push_time": time_text(found["push_time"]),
        "pull_time": time_text(found["pull_time"]),
        "references": _references(found),
        "tags": [_tag(one) for one in _tags(call, found)] if with_tags else None,
        "labels": None,
        "accessories": None,
    }
    if call.core.release.has("adapter-whitelist"):
        body["repository_name"] = row["name"]
    return {key: value for key, value in body.items() if value is not None}


def _references(found: Row) -> list[dict[str, Any]] | None:
    if found["media_type"] not in INDEX_TYPES:
        return None
    return [
        {
            "parent_id": found["id"],
            "child_digest": child["digest"],
            "platform": child.get("platform", {}),
        }
        for child in found["children"]
    ]


def _tags(call: Call, found: Row) -> list[Row]:
    return call.core.database.all(
        "SELECT * FROM tag WHERE artifact_id = %s ORDER BY name", found["id"]
    )


def _tag(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "repository_id": row["repository_id"],
        "artifact_id": row["artifact_id"],
        "name": row["name"],
        "immutable": False,
        "push_time": time_text(row["push_time"]),
        "pull_time": time_text(row["pull_time"]),
    }
