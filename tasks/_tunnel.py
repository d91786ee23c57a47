"""A local port whose every connection becomes a channel of an SSH connection.

Fabric has one too, but there the first channel that cannot be opened ends the forwarding, and
whoever is connected waits for ever (fabric/tunnels.py, 3.2).
"""

import contextlib
import logging
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paramiko

CHUNK = 1 << 16
# paramiko writes to standard error what it raises as well: a refused channel is an answer here.
logging.getLogger("paramiko.transport").addHandler(logging.NullHandler())


@contextlib.contextmanager
def forward(open_channel: Callable[[], paramiko.Channel]) -> Iterator[int]:
    """The local port. A connection is closed at once where its channel cannot be opened."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
                channel = open_channel()
                with contextlib.closing(channel):
                    _pump(self.request, channel)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def _pump(local: socket.socket, channel: paramiko.Channel) -> None:
    """Copy in both directions until either side ends."""
    local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sides: list[Any] = [local, channel]
    while True:
        readable = select.select(sides, [], [])[0]
        for source, sink in ((local, channel), (channel, local)):
            if source in readable:
                data = source.recv(CHUNK)
                if not data:
                    return
                sink.sendall(data)
