"""A CA and an AWS that only ever say no: stand-ins, since neither Pebble nor moto can be made to.

What they answer is what RFC 8555, section 6.7, and the Route 53 API reference say.
"""

import contextlib
import http.server
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from harbor.certificates import KeyPair
from tests.integration.web import Handler, encrypt, serving

# Where a CA says it, and with which status, by the kind of the problem (RFC 8555; Boulder).
PROBLEMS = {
    "invalidContact": ("/account", 400),
    "rateLimited": ("/order", 429),
    "rejectedIdentifier": ("/order", 400),
    "caa": ("/order", 403),
}
AWS_ERROR = """<?xml version="1.0"?>
<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>said by a stand-in</Message></Error><RequestId>1</RequestId></ErrorResponse>
"""


class Acme(Handler):
    """A CA's directory, nonces and accounts; `server.says` is the kind of problem that it has."""

    server: "Refusing"

    def do_GET(self) -> None:
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        urls = {name: f"{self.server.url}/{path}" for name, path in names.items()}
        self.answer(200, json.dumps(urls).encode(), Content_Type="application/json")

    def do_HEAD(self) -> None:
        self.answer(200, Replay_Nonce="bm9uY2U")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        where, status = PROBLEMS[self.server.says]
        if self.path == where:
            problem = {"type": f"urn:ietf:params:acme:error:{self.server.says}", "detail": "no"}
            body, kind = json.dumps(problem).encode(), "application/problem+json"
            self.answer(status, body, Content_Type=kind, Replay_Nonce="bm9uY2U")
        else:
            body, place = b'{"status": "valid"}', f"{self.server.url}/account/1"
            self.answer(201, body, Location=place, Replay_Nonce="bm9uY2U")


class Aws(Handler):
    """Route 53's answer to any request: the error `server.says`."""

    server: "Refusing"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.answer(403, AWS_ERROR.format(code=self.server.says).encode(), Content_Type="text/xml")

    def do_POST(self) -> None:
        self.do_GET()


class Refusing(http.server.ThreadingHTTPServer):
    """A server on this machine, at `url`; `says` is what it refuses with."""

    url, says = "", ""


@contextlib.contextmanager
def ca(address: str, name: str, pair: KeyPair, folder: Path) -> Iterator[Refusing]:
    """A CA at `address` (this machine, as the lab's hosts see it), called `name` in `pair`."""
    server = Refusing((address, 0), Acme)
    encrypt(server, pair, folder)
    server.url = f"https://{name}:{server.server_port}"
    with serving(server):
        yield server


@contextlib.contextmanager
def aws(address: str) -> Iterator[Refusing]:
    """Route 53 at `address`."""
    server = Refusing((address, 0), Aws)
    server.url = f"http://{address}:{server.server_port}"
    with serving(server):
        yield server


@contextlib.contextmanager
def silent(address: str) -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]
