"""/service/token, and the few paths beside API and registry."""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from lab.release.standin.web import Request, Response

from .errors import ApiError
from .security import Caller

if TYPE_CHECKING:
    from .app import Core

SCOPE = re.compile(r"(?P<type>[a-z]+):(?P<name>.+):(?P<actions>[a-z,*]*)")


def token(core: "Core", request: Request, caller: Caller) -> Response:
    """GET /service/token; a wrong password is 401, no password is an anonymous token."""
    if request.method != "GET":
        raise ApiError(405, "method not allowed")
    if request.headers.get("Authorization") and not caller.authenticated:
        raise ApiError(401, "unauthorized")
    access = [one for one in (_granted(core, caller, scope) for scope in _scopes(request)) if one]
    seconds = int(core.setting("token_expiration")) * 60
    return Response.json(
        {
            "token": core.tokens.issue(caller.name, access, seconds),
            "access_token": "",
            "expires_in": seconds,
            "issued_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


def other(core: "Core", request: Request) -> Response:
    """What is neither API nor registry."""
    if request.path == "/c/oidc/login" and core.setting("auth_mode") == "oidc_auth":
        return Response(302, b"", {"Location": str(core.setting("oidc_endpoint"))})
    return Response(404, json.dumps({"stand-in": "not here"}).encode())


def _scopes(request: Request) -> list[str]:
    """All `scope` parameters; each may hold several, separated by spaces."""
    given = [value for key, value in parse_qsl(request.raw_query) if key == "scope"]
    return [scope for value in given for scope in value.split()]


def _granted(core: "Core", caller: Caller, scope: str) -> dict[str, Any] | None:
    match = SCOPE.fullmatch(scope)
    if match is None or match["type"] != "repository":
        return None
    project = core.database.one(
        "SELECT * FROM project WHERE name = %s", match["name"].partition("/")[0]
    )
    allowed = core.security.actions(caller, project) if project else set()
    wanted = set(match["actions"].split(","))
    actions = allowed if "*" in wanted else allowed & wanted
    return {"type": "repository", "name": match["name"], "actions": sorted(actions)}
