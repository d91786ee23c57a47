"""The few Redis commands that the stand-in needs, over RESP (redis.io's protocol page)."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

TIMEOUT = 5
DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


class RedisError(Exception):
    """Redis answered with an error, or not at all."""


@dataclass(frozen=True)
class Target:
    """A Redis URL of harbor.yml in parts; `master` is set when the addresses are sentinels."""

    addresses: tuple[tuple[str, int], ...]
    user: str
    password: str
    database: int
    master: str

    @classmethod
    def parse(cls, url: str) -> "Target":
        """redis://[user:password@]host:port/N or redis+sentinel://.../h1:p,h2:p/master/N."""
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        path = parts.path.strip("/").split("/")
        sentinel = parts.scheme == "redis+sentinel"
        port = SENTINEL_PORT if sentinel else DEFAULT_PORT
        return cls(
            tuple(_address(host, port) for host in hosts.split(",")),
            unquote(user),
            unquote(password),
            int(path[-1] or 0),
            path[0] if sentinel else "",
        )


class Redis:
    """One connection for each call: there are few."""

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)

    def ping(self) -> None:
        """RedisError unless Redis is there."""
        if self.call("PING") != b"PONG":
            raise RedisError("no PONG")

    def get(self, key: str) -> bytes | None:
        return self.call("GET", key)

    def keep(self, key: str, value: bytes, seconds: int) -> None:
        """Store a value for a time."""
        self.call("SET", key, value, "EX", str(seconds))

    def call(self, *words: str | bytes) -> bytes | None:
        """One command in the database of the URL."""
        target = self._target
        try:
            with socket.create_connection(self._master(), TIMEOUT) as connection:
                if target.password:
                    login = [target.user, target.password] if target.user else [target.password]
                    _command(connection, "AUTH", *login)
                if target.database:
                    _command(connection, "SELECT", str(target.database))
                return _command(connection, *words)
        except OSError as lost:
            raise RedisError(str(lost)) from lost

    def _master(self) -> tuple[str, int]:
        if not self._target.master:
            return self._target.addresses[0]
        for address in self._target.addresses:
            try:
                with socket.create_connection(address, TIMEOUT) as connection:
                    return _sentinel_answer(connection, self._target.master)
            except OSError:
                continue
        raise RedisError("no sentinel answers")


def _address(text: str, port: int) -> tuple[str, int]:
    host, _, given = text.partition(":")
    return host, int(given or port)


def _command(connection: socket.socket, *words: str | bytes) -> bytes | None:
    _send(connection, *words)
    with connection.makefile("rb") as source:
        return _reply(source.readline(), source.read)


def _send(connection: socket.socket, *words: str | bytes) -> None:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    sent = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
    connection.sendall(sent)


def _reply(line: bytes, read: Callable[[int], bytes]) -> bytes | None:
    kind, rest = line[:1], line[1:].strip()
    if kind == b"-" or not line:
        raise RedisError(rest.decode() or "connection closed")
    if kind == b"$":
        return None if rest == b"-1" else read(int(rest) + 2)[:-2]
    return rest


def _sentinel_answer(connection: socket.socket, master: str) -> tuple[str, int]:
    _send(connection, "SENTINEL", "get-master-addr-by-name", master)
    with connection.makefile("rb") as source:
        if source.readline().strip() != b"*2":
            raise RedisError(f"sentinel does not know {master}")
        host = _reply(source.readline(), source.read)
        port = _reply(source.readline(), source.read)
    return (host or b"").decode(), int(port or 0)
