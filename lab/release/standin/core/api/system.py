"""systeminfo and statistics; app.py answers ping and health itself."""

import os
from datetime import UTC, datetime
from typing import Any

from lab.release.standin.core.errors import ApiError
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from ._common import need_admin, need_login, time_text


@route("GET", "/systeminfo")
def systeminfo(call: Call) -> Response:
    """More of it for who is logged in."""
    core = call.core
    certificate = core.data / "ca_download" / "ca.crt"
    body: dict[str, Any] = {
        "auth_mode": core.setting("auth_mode"),
        "harbor_version": core.release.build,
        "has_ca_root": certificate.is_file(),
        "self_registration": core.setting("self_registration"),
    }
    if core.release.has("primary-auth-mode"):
        body["primary_auth_mode"] = core.setting("primary_auth_mode")
        body["oidc_provider_name"] = core.setting("oidc_name")
    if core.release >= type(core.release).parse("2.9.0"):
        body["banner_message"] = core.setting("banner_message")
    if call.caller.authenticated:
        body |= _private(call)
    return Response.json(body)


@route("GET", "/systeminfo/volumes")
def volumes(call: Call) -> Response:
    """The file system that holds the data volume."""
    need_admin(call)
    found = os.statvfs(call.core.data)
    storage = {"total": found.f_blocks * found.f_frsize, "free": found.f_bavail * found.f_frsize}
    return Response.json({"storage": [storage]})


@route("GET", "/systeminfo/getcert")
def getcert(call: Call) -> Response:
    """The CA certificate that somebody put into <data>/ca_download."""
    path = call.core.data / "ca_download" / "ca.crt"
    if not path.is_file():
        raise ApiError(404, "cert not found")
    return Response(
        200,
        path.read_bytes(),
        {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": "attachment; filename=ca.crt",
        },
    )


@route("GET", "/statistics")
def statistics(call: Call) -> Response:
    """Counts of what the caller may see, and the bytes for administrators."""
    need_login(call)
    counts = {"public": [0, 0], "private": [0, 0]}
    rows = call.core.database.all(
        "SELECT p.*, (SELECT count(*) FROM repository r WHERE r.project_id = p.project_id)"
        " AS repositories FROM project p"
    )
    for row in rows:
        if "pull" in call.core.security.actions(call.caller, row):
            kind = "public" if row["metadata"].get("public") == "true" else "private"
            counts[kind][0] += 1
            counts[kind][1] += row["repositories"]
    body = {
        f"{kind}_{what}_count": counts[kind][place]
        for kind in counts
        for place, what in enumerate(("project", "repo"))
    }
    body["total_project_count"] = counts["public"][0] + counts["private"][0]
    body["total_repo_count"] = counts["public"][1] + counts["private"][1]
    if call.caller.sysadmin:
        body["total_storage_consumption"] = sum(
            call.core.index.used(row["project_id"]) for row in rows
        )
    return Response.json(body)


def _private(call: Call) -> dict[str, Any]:
    core = call.core
    url = core.environment.external_url
    body: dict[str, Any] = {
        "current_time": time_text(datetime.now(UTC)),
        "external_url": url,
        "registry_url": url.partition("://")[2] or url,
        "project_creation_restriction": core.setting("project_creation_restriction"),
        "read_only": core.setting("read_only"),
        "notification_enable": core.setting("notification_enable"),
        "registry_storage_provider_name": core.environment.storage,
    }
    if core.release.has("flag-chartmuseum"):
        body["with_chartmuseum"] = False
    if core.release.has("flag-notary"):
        body["with_notary"] = False
    return body
