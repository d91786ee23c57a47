"""Harbor's API over HTTP, through the SSH connection: nothing else in the project speaks it.

No cookie is ever kept: with a session cookie Harbor wants a CSRF token for every write and
answers 403 without one (src/server/middleware/csrf, 2.4 to 2.15). Proxies and .netrc of this
machine are not asked either.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from harbor.configuration.calls import Call
from harbor.configuration.state import Read
from harbor.errors import ConnectError, RemoteError
from harbor.settings import Settings
from harbor.shell import Secret
from tasks._fleet import Target

BASE = "/api/v2.0"
PAGE_SIZE = 100  # Harbor's own limit
TIMEOUT_SECONDS = (10, 60)
ATTEMPTS = 6
LONGEST_WAIT_SECONDS = 8.0
PARALLEL = 8
ADMIN = "admin"

HINTS = {
    401: "the admin password of .env is not the one that Harbor has: harbor.yml counts at the first "
    "start only. Put the present one into .env; `fab rotate admin` changes it from there. After "
    "a wrong password Harbor refuses the right one for 1.5 s too",
    403: "is Harbor in read-only mode, or are settings fixed by CONFIG_OVERWRITE_JSON?",
    409: "something of this name is there already: run it again, it looks first",
    412: "something else in Harbor still needs it, or is missing",
    429: "too many requests: run it again later",
}
UNHEALTHY = (
    "Harbor could not reach the upstream: it asks it whenever a registry is made or changed. "
    "Are name, address and credentials right, and does the host reach it?"
)
SERVER_FAULT = (
    "Harbor tells no more than that: see core.log in its log folder (`fab logs --service core`)"
)


class ApiError(RemoteError):
    """Harbor's refusal: `status` and its own words."""

    def __init__(self, what: str, status: int, said: str) -> None:
        hint = UNHEALTHY if "unhealthy" in said else HINTS.get(status, "")
        super().__init__(
            f"{what}: {status} {said}", hint or (SERVER_FAULT if status >= 500 else "")
        )
        self.status = status
        self.said = said

    @property
    def stops_everything(self) -> bool:
        """Whether what comes next would fail as well."""
        return self.status in (401, 403) or self.status >= 429


class Unreachable(ConnectError):
    """No answer at all, in all attempts."""


class Api:
    """One Harbor. Safe to use from several threads; counts its requests."""

    def __init__(
        self,
        address: str,
        password: Secret,
        *,
        headers: Mapping[str, str] | None = None,
        verify: bool | str = True,
        adapter: HTTPAdapter | None = None,
        waiting: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = address
        self.counts = {"reads": 0, "writes": 0, "checks": 0}
        self._auth = (ADMIN, password.reveal())
        self._headers = dict(headers or {})
        self._verify = verify
        self._adapter = adapter or HTTPAdapter(pool_maxsize=PARALLEL)
        self._waiting = waiting
        self._sleep = sleep
        self._session = self._new_session()
        self._counting = threading.Lock()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.auth = self._auth
        session.headers.update(self._headers)
        session.verify = self._verify
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount(self.address, self._adapter)
        return session

    # -- reading -------------------------------------------------------------------

    def login(self) -> None:
        """Raise ApiError 401 when the password is wrong; GET /projects would answer 200."""
        self.get("/users/current")

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The answer; None where Harbor answers with nothing, as it does without a schedule."""
        return _parsed(self._answer("reads", "GET", path, params=params), path)

    def text(self, path: str) -> str:
        """An answer that is no JSON, such as a log."""
        return self._answer("reads", "GET", path).text

    def whole(self, path: str, params: Mapping[str, str | int] | None = None) -> list[Any]:
        """All pages of a list."""
        items: list[Any] = []
        for page in range(1, 10_000):
            query = {**(params or {}), "page": page, "page_size": PAGE_SIZE}
            response = self._answer("reads", "GET", path, params=query)
            found = _parsed(response, path) or []
            items += found
            total = response.headers.get("X-Total-Count")
            done = len(items) >= int(total) if total else len(found) < PAGE_SIZE
            if done or not found:
                break
        return items

    def read(self, wanted: Read) -> Any:
        """What one `Read` asks for; None where Harbor has nothing there."""
        try:
            if wanted.whole:
                return self.whole(wanted.path, wanted.params)
            return self.get(wanted.path, wanted.params)
        except ApiError as error:
            if error.status in wanted.absent:
                return None
            raise

    def read_all(self, wanted: Mapping[str, Read]) -> dict[str, Any]:
        """Several of them at once."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            return dict(zip(wanted, pool.map(self.read, wanted.values()), strict=True))

    # -- changing ------------------------------------------------------------------

    def make(self, call: Call) -> None:
        """Make one call. Raises ApiError that names the object and what was to be done with it."""
        what = f"{call.what} ({call.why})"
        self._answer("writes", call.method, call.path, body=revealed(call.body), what=what)

    def check(self, path: str, body: Mapping[str, Any], what: str) -> None:
        """A POST that only looks: the pings."""
        self._answer("checks", "POST", path, body=revealed(body), what=what)

    def start(self, path: str, body: Mapping[str, Any], what: str) -> str:
        """A POST that starts something, which must not be repeated; returns its location."""
        answer = self._answer("writes", "POST", path, body=body, what=what, attempts=1)
        return answer.headers.get("Location", "")

    # -- one request ---------------------------------------------------------------

    def _answer(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        what: str = "",
        attempts: int = ATTEMPTS,
    ) -> requests.Response:
        """The answer, once it is a good one. Raises ApiError or Unreachable."""
        lost = False
        for attempt in range(1, attempts + 1):
            response, reason = self._try(kind, method, path, params, body)
            if response is not None and response.status_code < 300:
                return response
            if response is not None and lost and method == "POST" and response.status_code == 409:
                # The attempt whose answer was lost did it; whether right, the next look tells.
                return response
            last = attempt == attempts
            if response is not None and (last or not _passing(response.status_code)):
                raise ApiError(what or f"{method} {path}", response.status_code, _said(response))
            if last:
                break
            lost = True
            self._wait(attempt, response, reason)
        raise Unreachable(
            f"{what or f'{method} {path}'}: {reason}",
            "is Harbor up? `fab status`; run it again, it goes on where it was",
        )

    def _try(
        self,
        kind: str,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: Any,
    ) -> tuple[requests.Response | None, str]:
        with self._counting:
            self.counts[kind] += 1
        try:
            response = self._session.request(
                method,
                f"{self.address}{BASE}{path}",
                params=params,
                json=body or None,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return None, f"no answer ({type(error).__name__})"
        return response, f"{response.status_code} {_said(response)}"

    def _wait(self, attempt: int, response: requests.Response | None, reason: str) -> None:
        seconds = min(0.5 * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
        asked = response.headers.get("Retry-After", "") if response is not None else ""
        if asked.isdecimal():
            seconds = min(float(asked), LONGEST_WAIT_SECONDS)
        if self._waiting:
            self._waiting(f"Harbor: {reason}: again in {seconds:.1f} s")
        self._sleep(seconds)


def _parsed(response: requests.Response, path: str) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise ApiError(f"GET {path}", response.status_code, "the answer is no JSON") from None


def _passing(status: int) -> bool:
    """Whether another attempt may help: never with a wrong password, which locks the user."""
    return status == 429 or status >= 500


def _said(response: requests.Response) -> str:
    """Harbor's own words; its bodies are `{"errors": [{"code", "message"}]}`."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return "; ".join(f"{e['code']}: {e['message']}" for e in response.json()["errors"])
    return response.reason or "without a word"


def revealed(body: Any) -> Any:
    """`body` with the secrets in it as they are."""
    if isinstance(body, Secret):
        return body.reveal()
    if isinstance(body, Mapping):
        return {key: revealed(value) for key, value in body.items()}
    if isinstance(body, list):
        return [revealed(value) for value in body]
    return body


# -- through the tunnel ----------------------------------------------------------------


class NamedAdapter(HTTPAdapter):
    """TLS to the tunnel's local end, with the certificate of Harbor's own name."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__(pool_maxsize=PARALLEL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(
            *args, server_hostname=self._name, assert_hostname=self._name, **kwargs
        )


@contextlib.contextmanager
def connected(target: Target, settings: Settings, password: Secret | None = None) -> Iterator[Api]:
    """Harbor's API on this host's loopback. `password`: another than that of the settings."""
    harbor, password = settings.harbor, password or settings.secrets.admin_password
    if harbor.with_traefik:
        with target.host.tunnel(harbor.http_port) as port:
            # nginx passes the name on; without it absolute links would carry the local port.
            headers = {"Host": harbor.url.partition("://")[2]}
            address = f"http://127.0.0.1:{port}"
            yield Api(address, password, headers=headers, waiting=target.progress)
        return
    with target.host.tunnel(harbor.public_https_port) as port, _trust(settings) as verify:
        yield Api(
            f"https://127.0.0.1:{port}",
            password,
            headers={"Host": harbor.url.partition("://")[2]},
            verify=verify,
            adapter=NamedAdapter(harbor.url_host),
            waiting=target.progress,
        )


@contextlib.contextmanager
def _trust(settings: Settings) -> Iterator[bool | str]:
    """The CA as a file, which is how requests wants it; True where the public ones do."""
    if not settings.certificates.trust:
        yield True
        return
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(settings.certificates.trust)
        yield name
    finally:
        Path(name).unlink()


def version_of(system: Mapping[str, Any]) -> str:
    """`X.Y.Z` of `harbor_version` in GET /systeminfo (`v2.15.2-<commit>`)."""
    return str(system.get("harbor_version", "")).removeprefix("v").partition("-")[0]
