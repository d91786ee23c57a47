"""HTTP requests whose answers stream, on http.client."""

import http.client
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 1 << 16
Headers = Mapping[str, str]


class Unreachable(ConnectionError):
    """No answer: refused, timed out, TLS failed."""


@dataclass
class Answer:
    """An answer whose body is still to be read; `close` or read it to the end."""

    status: int
    headers: http.client.HTTPMessage
    _response: http.client.HTTPResponse
    _connection: http.client.HTTPConnection

    def read(self) -> bytes:
        """The whole body; closes."""
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self._response.read(CHUNK):
                yield data
        except (OSError, http.client.HTTPException) as lost:
            raise Unreachable(str(lost)) from lost
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


@dataclass(frozen=True)
class Client:
    """A base URL and how to connect to it."""

    base: str
    timeout: float = 30
    verify: bool = True
    authority: str = ""

    def open(
        self,
        method: str,
        path: str,
        headers: Headers | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """Send one request to base + path; the answer with whatever status it has."""
        return self.open_url(method, self.base + path, headers, body)

    def open_url(
        self,
        method: str,
        url: str,
        headers: Headers | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """The same for a whole URL."""
        parts = urlsplit(url)
        connection = self._connect(parts.scheme, parts.netloc)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = dict(headers or {})
        chunked = (
            body is not None and not isinstance(body, bytes) and ("Content-Length" not in sent)
        )
        if chunked:
            sent["Transfer-Encoding"] = "chunked"
        try:
            content = body if body is None or isinstance(body, bytes) else iter(body)
            connection.request(method, path, content, sent, encode_chunked=chunked)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as lost:
            connection.close()
            raise Unreachable(f"{method} {url}: {lost}") from lost
        return Answer(response.status, response.headers, response, connection)

    def _connect(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(netloc, timeout=self.timeout)
        context = ssl.create_default_context()
        if self.authority:
            context.load_verify_locations(cadata=self.authority)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(netloc, timeout=self.timeout, context=context)
