"""The HTTP client against a server on loopback that plays what Harbor is known to do."""

import base64
import datetime
import http.server
import json
import ssl
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harbor.certificates import create_authority, issue
from harbor.configuration.calls import Call
from harbor.configuration.state import Read
from harbor.shell import Secret
from tasks._api import ATTEMPTS, Api, ApiError, NamedAdapter, Unreachable, revealed, version_of

BASIC = "Basic " + base64.b64encode(b"admin:Canary-1$").decode()
CALL = Call("registry r", "is missing", "POST", "/registries", {"name": "r", "s": Secret("Canary")})
CUT = "cut"


class Server(http.server.ThreadingHTTPServer):
    """Answers from `script`: path -> answers in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: dict[str, list[Any]] = {}
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def next(self, path: str) -> Any:
        answers = self.script[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/v2.0")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.command, path, dict(self.headers), body))
        answer = self.server.next(path)
        if callable(answer):
            answer = answer({key: values[0] for key, values in parse_qs(parts.query).items()})
        if answer == CUT:
            self.close_connection = True
            return
        status, content, *headers = answer if isinstance(answer, tuple) else (200, answer)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Set-Cookie", "sid=1; Path=/")
        for name, value in headers[0].items() if headers else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def server():
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def waited():
    return []


@pytest.fixture
def api(server, waited):
    return Api(
        f"http://127.0.0.1:{server.server_address[1]}",
        Secret("Canary-1$"),
        headers={"Host": "harbor-cache.example.com"},
        sleep=waited.append,
    )


def error(status: int, message: str = "why") -> tuple[int, Any]:
    return status, {"errors": [{"code": "CODE", "message": message}]}


def test_every_request_logs_in_and_none_carries_a_cookie(api, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.script = {"/users/current": [{}], "/registries": [(201, b"")]}
    api.login()
    api.make(CALL)
    for _, _, headers, _ in server.seen:
        assert headers["Authorization"] == BASIC
        assert "Cookie" not in headers
        assert headers["Host"] == "harbor-cache.example.com"
    assert server.seen[1][3] == {"name": "r", "s": "Canary"}
    assert api.counts == {"reads": 1, "writes": 1, "checks": 0}


def test_a_list_is_read_to_its_last_page(api, server):
    def page(query):
        first = (int(query["page"]) - 1) * int(query["page_size"])
        return 200, list(range(first, min(first + 100, 230))), {"X-Total-Count": "230"}

    server.script = {"/projects": [page]}
    assert api.whole("/projects") == list(range(230))
    assert api.counts["reads"] == 3


def test_a_list_without_a_count_ends_with_a_page_that_is_not_full(api, server):
    server.script = {"/x": [lambda query: list(range(100 if query["page"] == "1" else 3))]}
    assert len(api.whole("/x")) == 103


@pytest.mark.parametrize("passing", [error(500), error(502), error(503), error(429), CUT])
def test_what_passes_is_waited_out(api, server, waited, passing):
    server.script = {"/systeminfo": [passing, passing, {"a": 1}]}
    assert api.get("/systeminfo") == {"a": 1}
    assert waited == [0.5, 1.0]


def test_harbor_may_say_how_long_to_wait(api, server, waited):
    server.script = {
        "/x": [(429, b"", {"Retry-After": "3"}), (429, b"", {"Retry-After": "99"}), {}]
    }
    api.get("/x")
    assert waited == [3.0, 8.0]


def test_a_wrong_password_is_tried_once(api, server):
    server.script = {"/users/current": [error(401, "unauthorized")]}
    with pytest.raises(ApiError, match="401 CODE: unauthorized") as found:
        api.login()
    assert len(server.seen) == 1
    assert "fab rotate admin" in found.value.hint
    assert found.value.code == 6


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422])
def test_a_refusal_is_not_repeated_and_names_the_object(api, server, status):
    server.script = {"/registries": [error(status)]}
    with pytest.raises(ApiError) as found:
        api.make(CALL)
    assert str(found.value).startswith(f"registry r (is missing): {status} CODE: why")
    assert "Canary" not in str(found.value)
    assert len(server.seen) == 1
    assert found.value.stops_everything == (status == 403)


def test_an_unhealthy_upstream_is_explained(api, server):
    server.script = {"/registries": [error(400, "the registry is unhealthy")]}
    with pytest.raises(ApiError) as found:
        api.make(CALL)
    assert "Harbor could not reach the upstream" in found.value.hint


def test_a_server_fault_that_stays_points_at_the_log(api, server, waited):
    server.script = {"/x": [error(500, "internal server error")]}
    with pytest.raises(ApiError, match="500 CODE: internal server error") as found:
        api.get("/x")
    assert len(server.seen) == ATTEMPTS
    assert waited == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert "core.log" in found.value.hint


def test_a_connection_that_stays_cut(api, server):
    server.script = {"/x": [CUT]}
    with pytest.raises(Unreachable, match="GET /x: no answer") as found:
        api.get("/x")
    assert found.value.code == 4


def test_what_a_lost_answer_made_is_no_conflict(api, server):
    server.script = {"/registries": [CUT, error(409)]}
    api.make(CALL)
    assert len(server.seen) == 2


def test_what_must_not_run_twice_is_not_repeated(api, server):
    server.script = {"/system/gc/schedule": [error(500)]}
    with pytest.raises(ApiError):
        api.start("/system/gc/schedule", {}, "garbage collection")
    assert len(server.seen) == 1


def test_nothing_there_is_none(api, server):
    server.script = {"/a": [error(404)], "/b": [error(412)], "/c": [b""]}
    found = api.read_all({"a": Read("/a"), "b": Read("/b", absent=(412,)), "c": Read("/c")})
    assert found == {"a": None, "b": None, "c": None}
    with pytest.raises(ApiError):
        api.read(Read("/b"))


def test_a_redirect_is_not_followed(api, server):
    server.script = {"/x": [(308, b"", {"Location": "https://elsewhere"})]}
    with pytest.raises(ApiError, match="308"):
        api.get("/x")


def test_an_answer_that_is_no_json(api, server):
    server.script = {"/x": [b"<html>"]}
    with pytest.raises(ApiError, match="the answer is no JSON"):
        api.get("/x")


@pytest.fixture
def tls(server, tmp_path):
    """The server behind TLS, as another name than the address; returns the CA's file."""
    now = datetime.datetime.now(datetime.UTC)
    authority = create_authority("test CA", now)
    pair = issue(authority, ["harbor-cache.example.com"], now)
    files = {"ca": authority.chain, "chain": pair.chain, "key": pair.key.reveal().encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.script = {"/x": [{}]}
    return str(tmp_path / "ca")


def test_tls_through_the_tunnel_verifies_harbors_own_name(server, tls):
    def ask(name, verify):
        adapter = NamedAdapter(name)
        address = f"https://127.0.0.1:{server.server_address[1]}"
        none = Api(address, Secret("x"), verify=verify, adapter=adapter, sleep=lambda _: None)
        return none.get("/x")

    assert ask("harbor-cache.example.com", tls) == {}
    with pytest.raises(Unreachable, match="SSLError"):
        ask("other.example.com", tls)
    with pytest.raises(Unreachable, match="SSLError"):
        ask("harbor-cache.example.com", verify=True)


def test_secrets_are_revealed_wherever_they_stand():
    assert revealed({"a": [{"b": Secret("x")}], "c": 1}) == {"a": [{"b": "x"}], "c": 1}


def test_the_version_of_a_build():
    assert version_of({"harbor_version": "v2.15.2-57a4d140"}) == "2.15.2"
