"""The core with all its parts, and what happens to a request before anything else."""

import hashlib
import hmac
import secrets
import threading
import time
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from lab.release.standin.versions import Release
from lab.release.standin.web import Request, Response

from . import registry, routing, service
from .client import Unreachable
from .configuration import DATA, Environment, Switches
from .database import Database, Row, Unavailable, document
from .errors import ApiError
from .faults import Faults
from .health import Health
from .local import Index, Registry
from .proxycache import ProxyCache
from .redisclient import Redis
from .security import ANONYMOUS, Caller, Security, hash_password
from .system_settings import SETTINGS
from .tokens import Tokens
from .upstream import Upstream

KEY = Path("/etc/core/private_key.pem")
ADMIN_ID = 1


class Core:
    """Everything that the API's functions use."""

    def __init__(self, release: Release, environment: Environment, database: Database) -> None:
        self.release = release
        self.environment = environment
        self.data = DATA
        self.switches = Switches()
        self.database = database
        self.tokens = Tokens(KEY)
        self.security = Security(self.database, self.tokens)
        self.registry = Registry(
            environment.registry_url, environment.registry_user, environment.registry_password
        )
        self.index = Index(self.database)
        self.redis = Redis(environment.redis_url)
        self.proxycache = ProxyCache(self)
        self.health = Health(self)
        self._faults = Faults(self.switches.folder / "faults.json")
        self._log_guard = threading.Lock()

    def start(self) -> None:
        """Wait for the database, bring it up to date, start what runs in the background."""
        self._wait_for_database()
        self.database.prepare(str(self.release))
        self._first_start()
        self.health.start()
        threading.Thread(target=self._watch_registries, daemon=True).start()

    def answer(self, request: Request) -> Response:
        """Answer any request; errors become Harbor's error bodies."""
        response = self._faults.around(request, lambda: self._guarded(request))
        self._log(request, response)
        return response

    def setting(self, name: str) -> Any:
        """A system setting: what was set, or its default."""
        row = self.database.one("SELECT v FROM properties WHERE k = %s", name)
        return row["v"] if row else SETTINGS[name].default

    def registry_row(self, registry_id: int) -> Row:
        """A registry that a project is bound to."""
        row = self.database.one("SELECT * FROM registry WHERE id = %s", registry_id)
        if row is None:
            raise ApiError(404, f"registry {registry_id} not found")
        return row

    def forget_registry_cache(self) -> None:
        """Make the registry forget which blobs it has seen, after some were deleted behind it."""
        Redis(self.environment.registry_redis_url).call("FLUSHDB")

    def audit(
        self, caller: Caller, project: Row | None, resource: str, kind: str, operation: str
    ) -> None:
        """Write the audit log."""
        self.database.run(
            "INSERT INTO audit_log (username, resource, resource_type, operation, project_id)"
            " VALUES (%s, %s, %s, %s, %s)",
            caller.name or "anonymous",
            resource,
            kind,
            operation,
            project["project_id"] if project else None,
        )

    def _guarded(self, request: Request) -> Response:
        try:
            return self._dispatch(request)
        except ApiError as error:
            if error.status >= 500:
                print(f"ERROR {request.method} {request.path}: {error.message}", flush=True)
            return error.response()
        except (Unavailable, Unreachable) as lost:
            print(f"ERROR {request.method} {request.path}: {lost}", flush=True)
            return ApiError(500, str(lost)).response()

    def _dispatch(self, request: Request) -> Response:
        if request.path == "/api/v2.0/ping":
            return Response.text("Pong")
        if request.path == "/api/v2.0/health":  # has to answer while the database is away
            return Response.json(self.health.report())
        lock = self.switches.windows().login_lock
        authorization = request.headers.get("Authorization", "")
        caller = self.security.caller(authorization, lock) if authorization else ANONYMOUS
        if request.path.startswith("/v2"):
            return registry.answer(self, request, caller)
        if request.path == "/service/token":
            return service.token(self, request, caller)
        if request.path.startswith("/api/"):
            return self._api(request, caller)
        return service.other(self, request)

    def _api(self, request: Request, caller: Caller) -> Response:
        sid = _session(request)
        if sid:
            self._check_csrf(request, sid)
        path = request.path.removeprefix(routing.BASE)
        if path == request.path:
            raise ApiError(404, f"path {request.path} was not found")
        handler, segments = routing.find(self, request.method, path)
        response = handler(routing.Call(self, request, caller, segments))
        response.headers["X-Request-Id"] = secrets.token_hex(16)
        if sid is None:
            response.headers["Set-Cookie"] = f"sid={secrets.token_hex(16)}; Path=/; HttpOnly"
        else:
            response.headers["X-Harbor-Csrf-Token"] = self._csrf_token(sid)
        return response

    def _check_csrf(self, request: Request, sid: str) -> None:
        """A request that writes and carries a session cookie needs the token too."""
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        given = request.headers.get("X-Harbor-CSRF-Token", "")
        if not hmac.compare_digest(given, self._csrf_token(sid)):
            raise ApiError(403, "CSRF token invalid")

    def _csrf_token(self, sid: str) -> str:
        return hmac.new(
            self.environment.csrf_key.encode(), sid.encode(), hashlib.sha256
        ).hexdigest()

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + 120
        while not self._reaches_database():
            if time.monotonic() > deadline:
                raise Unavailable("the database did not come in 120 s")
            time.sleep(0.3)

    def _reaches_database(self) -> bool:
        try:
            self.database.one("SELECT 1")
        except Unavailable as lost:
            print(f"waiting for the database: {str(lost).splitlines()[0]}", flush=True)
            return False
        return True

    def _first_start(self) -> None:
        """The administrator gets the password of harbor.yml at the first start, and only then."""
        there = self.database.one("SELECT 1 FROM harbor_user WHERE user_id = %s", ADMIN_ID)
        if there is None:
            self.database.run(
                "INSERT INTO harbor_user (username, email, realname, comment, password,"
                " sysadmin_flag) VALUES ('admin', '', 'system admin', 'admin user', %s, true),"
                " ('anonymous', 'anonymous@example.com', 'anonymous user', 'anonymous user', '',"
                " false)",
                hash_password(self.environment.admin_password),
            )
            self.database.run(
                "INSERT INTO project (name, owner_id, metadata) VALUES ('library', 1, %s)",
                document({"public": "true"}),
            )
            self.database.run(
                "INSERT INTO quota (project_id, hard) SELECT project_id, -1 FROM project"
            )

    def _watch_registries(self) -> None:
        """Probe the upstreams; an unhealthy one is served from the cache only."""
        while True:
            time.sleep(self.switches.windows().registry_check)
            try:
                for row in self.database.all("SELECT * FROM registry ORDER BY id"):
                    self._probe(row)
            except Unavailable as lost:
                print(f"registries not checked: {lost}", flush=True)

    def _probe(self, row: Row) -> None:
        status = "healthy" if Upstream(row, self.switches).healthy() else "unhealthy"
        if status != row["status"]:
            print(f"registry {row['name']} is {status}", flush=True)
            self.database.run("UPDATE registry SET status = %s WHERE id = %s", status, row["id"])

    def _log(self, request: Request, response: Response) -> None:
        path = self.switches.folder / "requests.log"
        if request.path == "/api/v2.0/ping" or not path.parent.is_dir():
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        status = "cut" if response.cut else response.status
        with self._log_guard, path.open("a") as log:
            log.write(f"{now} {request.method} {request.path} {status}\n")


def _session(request: Request) -> str | None:
    cookie: SimpleCookie = SimpleCookie(request.headers.get("Cookie", ""))
    return cookie["sid"].value if "sid" in cookie else None
