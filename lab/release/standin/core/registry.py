"""/v2/: who may do what, and the repositories of ordinary projects."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lab.release.standin.web import Request, Response

from .client import Answer, Unreachable
from .database import Row
from .errors import ApiError
from .local import Manifest
from .security import Caller

if TYPE_CHECKING:
    from .app import Core

PATH = re.compile(
    r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<reference>.+?)/?"
)
ACTIONS = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}
EMPTY_INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [],
}
PASSED_ON = (
    "Content-Type",
    "Content-Range",
    "Range",
    "Accept",
    "Content-Length",
    "If-None-Match",
    "X-Forwarded-Proto",
    "Host",
    "User-Agent",
)
NOT_PASSED_BACK = ("connection", "transfer-encoding", "date", "server")
VERSION_HEADER = {"Docker-Distribution-Api-Version": "registry/2.0"}


@dataclass(frozen=True)
class V2Call:
    """One request below /v2/<project>/."""

    core: "Core"
    request: Request
    caller: Caller
    project: Row
    repository: str
    kind: str
    reference: str

    @property
    def remote(self) -> str:
        """The repository's name without its project."""
        return self.repository.partition("/")[2]

    @property
    def tag(self) -> str | None:
        return None if self.reference.startswith("sha256:") else self.reference


def answer(core: "Core", request: Request, caller: Caller) -> Response:
    """Answer one request below /v2/."""
    path = unquote(request.path)
    if path in ("/v2/", "/v2"):
        return _base(core, request, caller)
    if path == "/v2/_catalog":
        return _catalog(core, request, caller)
    match = PATH.fullmatch(path)
    if match is None:
        raise ApiError(404, f"path {path} was not found")
    call = V2Call(
        core,
        request,
        caller,
        _authorized(core, request, caller, match["repository"]),
        match["repository"],
        match["kind"],
        match["reference"],
    )
    if call.project["registry_id"]:
        return core.proxycache.answer(call)
    return local(call)


def local(call: V2Call) -> Response:
    """Serve from, or store in, the registry behind us."""
    if call.kind == "manifests":
        return _manifest(call)
    if call.kind == "tags":
        return _tags(call)
    if call.kind == "referrers":
        return Response.json(EMPTY_INDEX, headers={"Content-Type": str(EMPTY_INDEX["mediaType"])})
    return _pass(call)


def challenge(core: "Core", request: Request, scope: str = "") -> str:
    """The WWW-Authenticate of a 401: basic for who tried, else bearer.

    The realm is the scheme of external_url and the Host of the request.
    """
    if request.headers.get("Authorization"):
        return 'Basic realm="harbor"'
    scheme, found, _ = core.environment.external_url.partition("://")
    host = request.headers.get("Host", "")
    realm = f"{scheme}://{host}/service/token" if found else f"{host}/service/token"
    text = f'Bearer realm="{realm}",service="harbor-registry"'
    return f'{text},scope="{scope}"' if scope else text


def _base(core: "Core", request: Request, caller: Caller) -> Response:
    if not caller.authenticated:
        raise ApiError(
            401,
            "unauthorized",
            headers={"WWW-Authenticate": challenge(core, request), **VERSION_HEADER},
        )
    return Response.json({}, headers=VERSION_HEADER)


def _catalog(core: "Core", request: Request, caller: Caller) -> Response:
    if not caller.sysadmin:
        raise ApiError(
            401,
            "unauthorized to list catalog",
            headers={"WWW-Authenticate": 'Basic realm="harbor"'},
        )
    rows = core.database.all("SELECT name FROM repository ORDER BY name")
    return Response.json({"repositories": [row["name"] for row in rows]})


def _authorized(core: "Core", request: Request, caller: Caller, repository: str) -> Row:
    """The project, if the caller may do this to the repository; else ApiError 401."""
    action = ACTIONS.get(request.method, "push")
    scope = f"repository:{repository}:{'pull' if action == 'pull' else 'pull,push'}"
    wanted = challenge(core, request, scope)
    if action == "pull" and not request.headers.get("Authorization"):
        raise ApiError(
            401,
            "authorize header needed to send HEAD to repository",
            headers={"WWW-Authenticate": wanted},
        )
    project = core.database.one(
        "SELECT * FROM project WHERE name = %s", repository.partition("/")[0]
    )
    refused = ApiError(
        401,
        f"unauthorized to access repository: {repository}, action: {action}",
        headers={"WWW-Authenticate": wanted},
    )
    if project is None:
        raise refused
    if caller.access is None:
        allowed = core.security.actions(caller, project)
    else:
        # Harbor looks at the project of a token's scope only, not at the repository.
        allowed = caller.access.get(project["name"], set())
    if action not in allowed:
        raise refused
    return project


def _manifest(call: V2Call) -> Response:
    if call.request.method == "PUT":
        return _put_manifest(call)
    artifact = call.core.index.artifact(call.repository, call.reference)
    if artifact is None:
        raise ApiError(404, f"artifact {call.repository}:{call.reference} not found")
    if call.request.method == "DELETE":
        call.core.database.run("DELETE FROM artifact WHERE id = %s", artifact["id"])
        call.core.audit(
            call.caller,
            call.project,
            f"{call.repository}@{artifact['digest']}",
            "artifact",
            "delete",
        )
        return Response(202)
    if call.request.method == "GET":
        pulled(call, artifact)
    path = f"/v2/{call.repository}/manifests/{artifact['digest']}"
    return relay(_open(call, path))


def pulled(call: V2Call, artifact: Row) -> None:
    """Note a pull: the times, the counter, the audit log."""
    core = call.core
    if not core.setting("pull_time_update_disable"):
        core.index.pulled(artifact, call.tag)
    if not core.setting("pull_audit_log_disable"):
        core.audit(
            call.caller, call.project, f"{call.repository}:{call.reference}", "artifact", "pull"
        )


def _put_manifest(call: V2Call) -> Response:
    manifest = Manifest(call.request.body.read(), call.request.headers.get("Content-Type", ""))
    core = call.core
    size = sum(blob["size"] for blob in manifest.blobs)
    if not core.index.has_room(call.project["project_id"], size):
        raise ApiError(
            403,
            f"adding {size} B of storage resource, which when updated to current "
            "usage will exceed the configured upper limit",
            "DENIED",
        )
    answered = core.registry.open(
        "PUT",
        f"/v2/{call.repository}/manifests/{manifest.digest}",
        {**_headers(call), "Content-Length": str(len(manifest.payload))},
        manifest.payload,
    )
    if answered.status == 201:
        artifact = core.index.record(call.project["project_id"], call.repository, manifest)
        if call.tag:
            core.index.tag(artifact, call.tag)
        core.audit(
            call.caller, call.project, f"{call.repository}:{call.reference}", "artifact", "create"
        )
    return relay(answered)


def _tags(call: V2Call) -> Response:
    names = call.core.index.tags(call.repository)
    if not names:
        raise ApiError(404, f"repository {call.repository} not found")
    return Response.json({"name": call.repository, "tags": names})


def _pass(call: V2Call) -> Response:
    """A blob, or one step of its upload, by the registry itself."""
    path = f"/v2/{call.repository}/{call.kind}/{call.reference}"
    if call.request.path.endswith("/"):
        path += "/"
    if call.request.raw_query:
        path += f"?{call.request.raw_query}"
    return relay(_open(call, path, call.request.body))


def _open(call: V2Call, path: str, body: Iterable[bytes] | None = None) -> Answer:
    method = call.request.method
    sent = body if method in ("POST", "PUT", "PATCH") else None
    try:
        return call.core.registry.open(method, path, _headers(call), sent)
    except Unreachable as lost:
        raise ApiError(502, str(lost)) from lost


def _headers(call: V2Call) -> dict[str, str]:
    """The headers to pass on; Docker sends Accept in several lines."""
    headers = call.request.headers
    return {name: ", ".join(headers.get_all(name, [])) for name in PASSED_ON if name in headers}


def relay(answered: Answer) -> Response:
    """Pass an answer on as it comes."""
    headers = {
        name: value
        for name, value in answered.headers.items()
        if name.lower() not in NOT_PASSED_BACK
    }
    return Response(answered.status, answered, headers)
