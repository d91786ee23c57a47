"""Who asks, and what they may do."""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .database import Database, Row
from .tokens import Tokens

# role: what it may do with repositories; 1 project admin, 2 developer, 3 guest, 4 maintainer,
# 5 limited guest
ROLE_ACTIONS = {
    1: {"pull", "push", "delete"},
    2: {"pull", "push"},
    3: {"pull"},
    4: {"pull", "push", "delete"},
    5: {"pull"},
}
ITERATIONS = 4096  # Harbor's own PBKDF2 count


@dataclass(frozen=True)
class Caller:
    """The one behind a request; an empty name is anonymous."""

    name: str = ""
    user_id: int = 0
    sysadmin: bool = False
    robot: Row | None = None
    access: dict[str, set[str]] | None = None  # of a bearer token: project -> actions

    @property
    def authenticated(self) -> bool:
        return bool(self.name)


ANONYMOUS = Caller()


@dataclass
class _Lock:
    """User names that had a wrong password a moment ago."""

    until: dict[str, float] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def locked(self, name: str) -> bool:
        with self.guard:
            return self.until.get(name, 0) > time.monotonic()

    def lock(self, name: str, seconds: float) -> None:
        with self.guard:
            self.until[name] = time.monotonic() + seconds


class Security:
    """Authentication against the database, and the rules of projects."""

    def __init__(self, database: Database, tokens: Tokens) -> None:
        self._database = database
        self._tokens = tokens
        self._lock = _Lock()
        self._seen: dict[tuple[str, str], str] = {}

    def caller(self, authorization: str, lock_seconds: float) -> Caller:
        """Read an Authorization header; anything that is not understood is anonymous."""
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "basic":
            return self._basic(rest, lock_seconds)
        if scheme.lower() == "bearer":
            return self._bearer(rest)
        return ANONYMOUS

    def actions(self, caller: Caller, project: Row) -> set[str]:
        """What the caller may do with the repositories of a project: pull, push, delete."""
        if caller.sysadmin:
            return {"pull", "push", "delete"}
        allowed = {"pull"} if project["metadata"].get("public") == "true" else set()
        if caller.robot:
            return allowed | _robot_actions(caller.robot, project)
        return allowed | ROLE_ACTIONS.get(self.role(caller, project) or 0, set())

    def role(self, caller: Caller, project: Row) -> int | None:
        """The caller's role in a project; None without one."""
        if not caller.user_id:
            return None
        member = self._database.one(
            "SELECT role_id FROM project_member WHERE project_id = %s AND entity_type = 'u'"
            " AND entity_id = %s",
            project["project_id"],
            caller.user_id,
        )
        return member["role_id"] if member else None

    def _basic(self, encoded: str, lock_seconds: float) -> Caller:
        try:
            name, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ANONYMOUS
        robot = self._database.one("SELECT * FROM robot WHERE name = %s", name)
        if robot:
            return self._robot(robot, password)
        if self._lock.locked(name):
            return ANONYMOUS
        user = self._database.one("SELECT * FROM harbor_user WHERE username = %s", name)
        if user and self._verify(user["password"], password):
            return Caller(name, user["user_id"], user["sysadmin_flag"])
        self._lock.lock(name, lock_seconds)
        time.sleep(lock_seconds)
        return ANONYMOUS

    def _robot(self, robot: Row, secret: str) -> Caller:
        expired = robot["expires_at"] != -1 and robot["expires_at"] < time.time()
        if robot["disable"] or expired or not self._verify(robot["secret"], secret):
            return ANONYMOUS
        return Caller(robot["name"], robot=robot)

    def _bearer(self, token: str) -> Caller:
        claims = self._tokens.verify(token)
        if claims is None:
            return ANONYMOUS
        access = {
            one["name"].partition("/")[0]: set(one["actions"])
            for one in claims["access"]
            if one["type"] == "repository"
        }
        return Caller(claims["sub"], access=access)

    def _verify(self, stored: str, password: str) -> bool:
        """Compare, remembering the last good answer since the derivation costs time."""
        fingerprint = hashlib.sha256(password.encode()).hexdigest()
        if self._seen.get((stored, fingerprint)):
            return True
        good = verify_password(stored, password)
        if good:
            self._seen = {(stored, fingerprint): "good"}
        return good


def hash_password(password: str) -> str:
    """`salt:digest` for the database."""
    salt = secrets.token_hex(16)
    return f"{salt}:{_derive(password, salt)}"


def verify_password(stored: str, password: str) -> bool:
    """Whether `password` belongs to `stored`."""
    salt, _, digest = stored.partition(":")
    return bool(digest) and hmac.compare_digest(digest, _derive(password, salt))


def _derive(password: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), ITERATIONS).hex()


def _robot_actions(robot: Row, project: Row) -> set[str]:
    actions: set[str] = set()
    for permission in robot["permissions"]:
        if permission["kind"] == "project" and _names(permission, project):
            actions |= {
                one["action"] for one in permission["access"] if one["resource"] == "repository"
            }
    return actions & {"pull", "push", "delete"}


def _names(permission: dict[str, Any], project: Row) -> bool:
    return permission["namespace"] in ("*", "/project/*", project["name"])
