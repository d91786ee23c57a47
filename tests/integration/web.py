"""Web servers on this machine that the hosts of a lab reach."""

import contextlib
import datetime
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harbor.certificates import KeyPair, create_authority, issue
from lab import Host, network

TRUSTED = "/usr/local/share/ca-certificates/played.crt"


class Handler(BaseHTTPRequestHandler):
    """Answers without a log."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def encrypt(server: ThreadingHTTPServer, pair: KeyPair, folder: Path) -> None:
    """Have it speak TLS with this certificate; `folder` is for a file of it."""
    file = folder / "server.pem"
    file.write_bytes(pair.chain + pair.key.reveal().encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)


@contextlib.contextmanager
def played(
    host: Host, names: list[str], handler: Callable[..., BaseHTTPRequestHandler], folder: Path
) -> Iterator[None]:
    """These names of the internet lead the host here, to port 443, and it trusts what it finds."""
    now = datetime.datetime.now(datetime.UTC)
    authority = create_authority("played", now)
    address = network.gateway(host.tag)
    server = ThreadingHTTPServer((address, 443), handler)
    encrypt(server, issue(authority, names, now), folder)
    host.write(TRUSTED, authority.chain.decode())
    host.run(f"update-ca-certificates; echo {address} {' '.join(names)} >> /etc/hosts")
    try:
        with serving(server):
            yield
    finally:
        heal = f"rm {TRUSTED}; update-ca-certificates --fresh; sed -i '/{names[0]}/d' /etc/hosts"
        host.run(heal)
