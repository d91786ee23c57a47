"""System settings, and the tests of OIDC and LDAP servers."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

from lab.release.standin.core.client import Client, Unreachable
from lab.release.standin.core.database import document
from lab.release.standin.core.errors import ApiError
from lab.release.standin.core.routing import Call, route
from lab.release.standin.core.system_settings import SETTINGS, Setting
from lab.release.standin.web import Response

from ._common import need_admin, text_field
from .users import ANONYMOUS_ID

POSITIVE = ("token_expiration", "robot_token_duration", "session_timeout")
LARGEST = 99_999_999


@route("GET", "/configurations")
def get(call: Call) -> Response:
    """All but the secrets, each with whether it may be changed."""
    need_admin(call)
    body: dict[str, Any] = {
        name: {"value": call.core.setting(name), "editable": True}
        for name, setting in _known(call).items()
        if not setting.secret
    }
    body["auth_mode"]["editable"] = not _has_users(call)
    body["scan_all_policy"] = {"type": "none", "parameter": {"daily_time": 0}}
    return Response.json(body)


@route("PUT", "/configurations")
def put(call: Call) -> Response:
    """Some of them; keys that are not known are ignored, as Harbor's schema drops them."""
    need_admin(call)
    known = _known(call)
    changes = {
        name: _convert(name, known[name], value)
        for name, value in call.body().items()
        if name in known and value is not None
    }
    _check(call, changes)
    for name, value in changes.items():
        call.core.database.run(
            "INSERT INTO properties VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
            name,
            document(value),
        )
    return Response()


@route("POST", "/system/oidc/ping")
def oidc_ping(call: Call) -> Response:
    """Whether the issuer's discovery document is there and names it."""
    need_admin(call)
    body = call.body()
    issuer = text_field(body, "url").rstrip("/")
    refused = ApiError(400, "failed to verify connection to OIDC endpoint")
    if not issuer.startswith(("http://", "https://")):
        raise refused
    client = Client(issuer, timeout=10, verify=bool(body.get("verify_cert", True)))
    try:
        answered = client.open("GET", "/.well-known/openid-configuration")
        found = json.loads(answered.read())
    except (Unreachable, ValueError) as failed:
        raise refused from failed
    if answered.status != 200 or str(found.get("issuer", "")).rstrip("/") != issuer:
        raise refused
    return Response()


@route("POST", "/ldap/ping")
def ldap_ping(call: Call) -> Response:
    """Whether something listens where the LDAP server should be."""
    need_admin(call)
    body = call.request.json() or {}
    url = urlsplit(body.get("ldap_url") or call.core.setting("ldap_url") or "")
    port = url.port or (636 if url.scheme == "ldaps" else 389)
    try:
        socket.create_connection((url.hostname or "", port), timeout=5).close()
    except OSError as failed:
        return Response.json({"success": False, "message": str(failed)})
    return Response.json({"success": True})


def _known(call: Call) -> dict[str, Setting]:
    version = call.core.release.version
    return {
        name: setting
        for name, setting in SETTINGS.items()
        if setting.since is None or version >= setting.since
    }


def _has_users(call: Call) -> bool:
    """Any user but the administrator and the anonymous one."""
    return (
        call.core.database.one("SELECT 1 FROM harbor_user WHERE user_id > %s", ANONYMOUS_ID)
        is not None
    )


def _convert(name: str, setting: Setting, value: Any) -> Any:
    """The value in the setting's type; numbers and booleans may come as strings."""
    default = setting.default
    refused = ApiError(400, f"invalid value for {name}: {value!r}")
    if isinstance(default, bool):
        texts = {"true": True, "false": False}
        if isinstance(value, bool):
            return value
        if str(value).lower() not in texts:
            raise refused
        return texts[str(value).lower()]
    if isinstance(default, int):
        try:
            return int(value)
        except (TypeError, ValueError) as wrong:
            raise refused from wrong
    if not isinstance(value, str):
        raise ApiError(422, f"{name} in body must be of type string: {value!r}")
    if setting.choices and value not in setting.choices:
        raise refused
    return value


def _check(call: Call, changes: dict[str, Any]) -> None:
    if changes.get("auth_mode", call.core.setting("auth_mode")) != call.core.setting(
        "auth_mode"
    ) and _has_users(call):
        raise ApiError(
            400, "the auth mode cannot be modified as new users have been inserted into database"
        )
    for name in POSITIVE:
        if not 0 < changes.get(name, 1) <= LARGEST:
            raise ApiError(400, f"the {name} value must be positive")
    if "openid" not in changes.get("oidc_scope", "openid").split(","):
        raise ApiError(400, "openid scope is required")
    _check_json(changes.get("oidc_extra_redirect_parms", "{}"))
    _check_audit(call, changes)


def _check_json(text: str) -> None:
    try:
        valid = isinstance(json.loads(text or "{}"), dict)
    except ValueError:
        valid = False
    if not valid:
        raise ApiError(400, "oidc_extra_redirect_parms is not a JSON object")


def _check_audit(call: Call, changes: dict[str, Any]) -> None:
    if "audit_log_forward_endpoint" not in changes and "skip_audit_log_database" not in changes:
        return
    endpoint = changes.get(
        "audit_log_forward_endpoint", call.core.setting("audit_log_forward_endpoint")
    )
    skip = changes.get("skip_audit_log_database", call.core.setting("skip_audit_log_database"))
    if skip and not endpoint:
        raise ApiError(
            400,
            "audit log forward endpoint should be configured before enable skip "
            "audit log in database",
        )
    if endpoint and "audit_log_forward_endpoint" in changes:
        host, _, port = endpoint.partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as failed:
            raise ApiError(400, f"could not connect to the audit endpoint: {endpoint}") from failed
