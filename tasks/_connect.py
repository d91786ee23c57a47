"""Connections with strict host keys: known_hosts is read, unknown and changed keys are refused.

Fabric by itself accepts any key and reads no known_hosts (fabric/connection.py, 3.2), and it
builds the jump hosts of an ssh_config just as lax: both are mended here.
"""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import fabric
import paramiko
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    NoValidConnectionsError,
    PasswordRequiredException,
    SSHException,
)

from harbor.errors import ConnectError

CONNECT_SECONDS = 20
USER_FILES = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


class Connection(fabric.Connection):
    """A Fabric connection that refuses host keys it cannot verify, its jump hosts' included."""

    def __init__(self, *args: Any, known_hosts: tuple[Path, ...] = (), **kwargs: Any) -> None:
        self._set(known_hosts=known_hosts)
        super().__init__(*args, **kwargs)
        _be_strict(self, known_hosts)

    def open(self) -> Any:
        """Connect if need be. Raises ConnectError with what an operator can do about it."""
        if self.is_connected:
            return None
        try:
            return super().open()
        except (SSHException, OSError, EOFError) as error:
            raise _explained(self, error) from None


def connect_config(ssh_configs: list[Path], base: fabric.Config) -> fabric.Config:
    """A Fabric config that reads these ssh_config files first and the user's own behind them."""
    files = [*ssh_configs, Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config")]
    # The first value that is found wins, as in ssh_config(5).
    text = "\n".join(_read(path) for path in files if path.is_file())
    parsed = paramiko.SSHConfig()
    parsed.parse(io.StringIO(text))
    return fabric.Config(
        overrides={
            "sudo": {"password": base.sudo.password},
            "timeouts": {"connect": CONNECT_SECONDS},
        },
        ssh_config=parsed,
    )


def _read(path: Path) -> str:
    """A config file with its `Include` lines resolved, which paramiko does not know."""
    lines = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0].lower() == "include":
            lines += [_read(found) for pattern in words[1:] for found in _included(path, pattern)]
        else:
            lines.append(line)
    return "\n".join(lines)


def _included(path: Path, pattern: str) -> list[Path]:
    absolute = path.parent / Path(pattern).expanduser()
    return sorted(Path(absolute.anchor).glob(str(absolute.relative_to(absolute.anchor))))


def _be_strict(connection: fabric.Connection, known_hosts: tuple[Path, ...]) -> None:
    """Load known_hosts and refuse what is not there, for the connection and for its gateways."""
    configured = connection.ssh_config.get("userknownhostsfile", "").split()
    names = [*known_hosts, *(Path(name) for name in (configured or USER_FILES))]
    for path in (path.expanduser() for path in names):
        if path.is_file():
            connection.client.load_host_keys(str(path))
    connection.client.set_missing_host_key_policy(_Refuse(connection))
    if isinstance(connection.gateway, fabric.Connection):
        _be_strict(connection.gateway, known_hosts)


class _Refuse(paramiko.MissingHostKeyPolicy):
    def __init__(self, connection: fabric.Connection) -> None:
        self.connection = connection

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
        where = self.connection
        raise ConnectError(
            f"{where.original_host}: its host key is not known\n"
            f"  offered: {key.get_name()} {fingerprint(key)}",
            f"compare it with `{_look(where)}` run from a place you trust, or with "
            f"`ssh-keygen -lf /etc/ssh/ssh_host_{_short(key)}_key.pub` on the host's console; "
            f"if it is the same: `ssh-keyscan -t {_short(key)} -p {where.port} {where.host} "
            f">> ~/.ssh/known_hosts`",
        )


def fingerprint(key: paramiko.PKey) -> str:
    """The key as `ssh-keygen -l` shows it (RFC 4253 blob, SHA-256, base64 without padding)."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def _short(key: paramiko.PKey) -> str:
    name = key.get_name()
    return "ecdsa" if "ecdsa" in name else "ed25519" if "ed25519" in name else "rsa"


def _look(where: fabric.Connection) -> str:
    return f"ssh-keyscan -p {where.port} {where.host} | ssh-keygen -lf -"


def _explained(where: fabric.Connection, error: Exception) -> ConnectError:
    name = where.original_host
    if isinstance(error, BadHostKeyException):
        return ConnectError(
            f"{name}: its host key has CHANGED: somebody may be listening in\n"
            f"  known:   {error.expected_key.get_name()} {fingerprint(error.expected_key)}\n"
            f"  offered: {error.key.get_name()} {fingerprint(error.key)}",
            f"ask why; look with `{_look(where)}`; if the host was rebuilt: "
            f"`ssh-keygen -R {where.host}` and add the new key",
        )
    if isinstance(error, PasswordRequiredException):
        return ConnectError(f"{name}: the private key has a passphrase", "load it: `ssh-add`")
    if isinstance(error, AuthenticationException):
        return ConnectError(
            f"{name}: {where.user} was not let in: {error}",
            f"check with `ssh {where.user}@{where.host} -p {where.port}`, and `ssh-add -l`",
        )
    if isinstance(error, NoValidConnectionsError):
        reason = "; ".join(str(e) for e in error.errors.values())
        return ConnectError(f"{name}: no connection to {where.host}:{where.port}: {reason}")
    reason = str(error) or type(error).__name__
    return ConnectError(f"{name}: no connection to {where.host}:{where.port}: {reason}")
