"""A small HTTP/1.1 server and its requests and responses, on http.server.

Bodies stream in both directions: blobs are far larger than what should be held in memory.
"""

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

CHUNK = 1 << 16


class Body:
    """A request's body, by Content-Length or chunked, readable once."""

    def __init__(self, source: BinaryIO, headers: Message) -> None:
        self._source = source
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.length = 0 if self.chunked else int(headers.get("Content-Length") or 0)
        self._left = self.length
        self._done = not self.chunked and self.length == 0

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks() if self.chunked else self._plain()

    def read(self) -> bytes:
        """All that is left of it."""
        return b"".join(self)

    def _plain(self) -> Iterator[bytes]:
        while self._left:
            data = self._source.read(min(CHUNK, self._left))
            if not data:
                raise ConnectionError("the client went away")
            self._left -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        while not self._done:
            size = int(self._source.readline().split(b";")[0].strip() or b"0", 16)
            self._done = size == 0
            while size:
                data = self._source.read(min(CHUNK, size))
                if not data:
                    raise ConnectionError("the client went away")
                size -= len(data)
                yield data
            self._source.readline()


@dataclass
class Request:
    """One request; `path` is as it came, still percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    headers: Message
    body: Body

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body.read() or b"null")


@dataclass
class Response:
    """One response; an iterable body is sent as it comes."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    @classmethod
    def json(
        cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> "Response":
        """A JSON body, with more headers if need be."""
        data = json.dumps(value, default=str).encode()
        return cls(
            status, data, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        )

    @classmethod
    def text(cls, value: str, status: int = 200) -> "Response":
        return cls(status, value.encode(), {"Content-Type": "text/plain; charset=utf-8"})


Application = Callable[[Request], Response]


def serve(application: Application, port: int, quiet: Iterable[str] = ()) -> None:
    """Serve for ever; paths in `quiet` are not logged."""
    handler = type(
        "Handler",
        (_Handler,),
        {"application": staticmethod(application), "quiet": frozenset(quiet)},
    )
    # The first process of a container dies of no signal that it doesn't handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _Server(("", port), handler).serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news; anything else is a traceback in the log."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    application: Application
    quiet: frozenset[str]

    def handle_any(self) -> None:
        """Read, answer, and leave the connection in step for the next request."""
        parts = urlsplit(self.path)
        query = {
            key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        body = Body(self.rfile, self.headers)  # type: ignore[arg-type]
        request = Request(self.command, parts.path, query, parts.query, self.headers, body)
        response = self.application(request)
        if response.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(response)
        for _ in body:
            pass

    # http.server calls do_METHOD.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _send(self, response: Response) -> None:
        whole = isinstance(response.body, bytes)
        bare = response.status in (204, 304) or self.command == "HEAD"
        chunked = not whole and not bare and "Content-Length" not in response.headers
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if (
            isinstance(response.body, bytes)
            and response.status not in (204, 304)
            and "Content-Length" not in response.headers
        ):
            self.send_header("Content-Length", str(len(response.body)))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if bare:
            _close(response.body)
            return
        if isinstance(response.body, bytes):
            self.wfile.write(response.body)
            return
        self._stream(response.body, chunked)

    def _stream(self, body: Iterable[bytes], chunked: bool) -> None:
        try:
            for data in body:
                if chunked and data:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                else:
                    self.wfile.write(data)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            # Headers are out: the only way to tell the client is to break off.
            self.close_connection = True
            raise

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """The application logs by itself."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if self.path.split("?")[0] not in self.quiet:
            print(f"{self.command} {self.path} {code}", flush=True)


def _close(body: object) -> None:
    """Give up a body that is not sent, with the connection that it comes from."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
