"""Delay for every packet that enters one network namespace, on kernels without netem.

Run as `python3 -m lab.delay QUEUE MILLISECONDS` inside the namespace; an iptables rule with
the target NFQUEUE feeds it.  Message layout: linux/netfilter/nfnetlink_queue.h; all attributes
are in network byte order, all headers in the machine's.
"""

import collections
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
SUBSYSTEM_QUEUE = 3 << 8
MESSAGE_PACKET, MESSAGE_VERDICT, MESSAGE_CONFIG = 0, 1, 2
CONFIG_COMMAND, CONFIG_PARAMETERS, CONFIG_LENGTH, CONFIG_MASK, CONFIG_FLAGS = 1, 2, 3, 4, 5
ATTRIBUTE_PACKET_HEADER, ATTRIBUTE_VERDICT = 1, 2
COMMAND_BIND, COPY_META, ACCEPT = 1, 1, 1
FLAG_FAIL_OPEN, FLAG_GSO = 1, 4
REQUEST, ACKNOWLEDGE = 1, 4
HELD_AT_MOST = 20000
RECEIVE_BUFFER = 8 << 20


class Queue:
    """One netfilter queue: read ids of packets, let them go on."""

    def __init__(self, number: int) -> None:
        """Bind to the queue `number`; OSError when that is refused."""
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self.socket.bind((0, 0))
        flags = struct.pack(">I", FLAG_FAIL_OPEN | FLAG_GSO)
        self._configure(_attribute(CONFIG_COMMAND, struct.pack(">BxH", COMMAND_BIND, 0)))
        self._configure(_attribute(CONFIG_PARAMETERS, struct.pack(">IB", 0, COPY_META)))
        self._configure(_attribute(CONFIG_LENGTH, struct.pack(">I", HELD_AT_MOST)))
        self._configure(_attribute(CONFIG_FLAGS, flags) + _attribute(CONFIG_MASK, flags))

    def arrivals(self, timeout: float | None) -> Iterator[int]:
        """Ids of the packets that came within `timeout` seconds (None: for ever)."""
        if select.select([self.socket], [], [], timeout)[0]:
            yield from _packet_ids(self.socket.recv(1 << 20))

    def accept(self, packet: int) -> None:
        """Let a packet go on."""
        body = _attribute(ATTRIBUTE_VERDICT, struct.pack(">II", ACCEPT, packet))
        self._send(MESSAGE_VERDICT, body, REQUEST)

    def _send(self, kind: int, body: bytes, flags: int) -> None:
        body = struct.pack("=BBH", 0, 0, socket.htons(self.number)) + body
        head = struct.pack("=IHHII", 16 + len(body), SUBSYSTEM_QUEUE | kind, flags, 0, 0)
        self.socket.send(head + body)

    def _configure(self, body: bytes) -> None:
        self._send(MESSAGE_CONFIG, body, REQUEST | ACKNOWLEDGE)
        error = struct.unpack_from("=i", self.socket.recv(65536), 16)[0]
        if error:
            raise OSError(-error, "the kernel refused the queue")


def forward(queue: Queue, seconds: float) -> None:
    """Let each packet go on `seconds` after it came, for ever, in order."""
    held: collections.deque[tuple[float, int]] = collections.deque()
    while True:
        now = time.monotonic()
        while held and held[0][0] <= now:
            queue.accept(held.popleft()[1])
        wait = max(0.0, held[0][0] - now) if held else None
        held.extend((time.monotonic() + seconds, packet) for packet in queue.arrivals(wait))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _packet_ids(data: bytes) -> Iterator[int]:
    """Ids in the packet messages of one read from the socket."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == SUBSYSTEM_QUEUE | MESSAGE_PACKET:
            yield _packet_id(data, at + 20, at + length)
        at += length + 3 & ~3


def _packet_id(data: bytes, at: int, end: int) -> int:
    while at < end:
        length, kind = struct.unpack_from("=HH", data, at)
        if kind & 0x7FFF == ATTRIBUTE_PACKET_HEADER:
            return int(struct.unpack_from(">I", data, at + 4)[0])
        at += length + 3 & ~3
    raise ValueError("a packet message without a packet header")


if __name__ == "__main__":
    forward(Queue(int(sys.argv[1])), float(sys.argv[2]) / 1000)
