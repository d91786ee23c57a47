"""One host over SSH: read facts, apply changes, hold the lock. Nothing else touches SSH.

Every command is one exec of a small loader that gets its text by standard input, so that no
secret and no long text ever stands in an argument list. `sudo` gets its password there too.
"""

import contextlib
import json
import shlex
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import fabric
import paramiko

from harbor import lock, paths
from harbor.changes import Change, FetchRelease, OrderCertificate, Run, SendFile, WriteFile
from harbor.errors import ConnectError, Locked, OpsError, RemoteError
from harbor.shell import (
    DONE,
    FAILED,
    Output,
    Secret,
    apply_script,
    command,
    facts_script,
    parse_facts,
    write_file,
)
from tasks._tunnel import forward

START = "@start"
PROGRESS = "@progress"
# Skips what is left of a password that sudo did not ask for, then becomes the program.
LOADER = f'while IFS= read -r l && [ "$l" != {START} ]; do :; done; echo {START}; exec sh -c "$1"'
WHOLE_INPUT = 'eval "$(cat)"'
# A script of known length, so that its input stays open: when that ends, so does the script.
STREAM = (
    'read -r n; s=$(head -c "$n"); exec 3<&0; '
    'setsid sh -c "$s" </dev/null 3<&- 2>&1 & p=$!; '
    "{ cat <&3 >/dev/null; kill -- -$p; } 2>/dev/null & w=$!; "
    "exec 3<&-; wait $p; r=$?; kill $w 2>/dev/null; exit $r"
)
KEEPALIVE_SECONDS = 15
STREAM_POLL_SECONDS = 0.5
LOST_AFTER_SECONDS = 60  # a shorter cut of the link loses nothing
LOCK_HEARTBEAT_SECONDS = 10
LOCK_EXPIRES_SECONDS = 60
APPLY_WAIT_SECONDS = 900
TAIL_LINES = 20
CHUNK = 1 << 18
# How paramiko says that a connection is gone.
LOST = (OSError, EOFError, paramiko.SSHException)


@dataclass
class Completed:
    """What a remote program left: exit status, standard output, the end of standard error."""

    status: int
    stdout: str
    stderr: list[str] = field(default_factory=list)


class Host:
    """A named host. `secrets` are masked in every error; a read-only host refuses to apply."""

    def __init__(
        self,
        name: str,
        connection: fabric.Connection,
        *,
        secrets: Sequence[Secret] = (),
        read_only: bool = False,
    ) -> None:
        self.name = name
        self.secrets = secrets
        self.read_only = read_only
        self.remote_commands = 0
        self._connection = connection
        self._transport: paramiko.Transport | None = None

    # -- reading -----------------------------------------------------------------

    def read(self, snippets: Mapping[str, str], timeout: int = 120) -> dict[str, Output]:
        """Answers to all snippets, in one round trip. Snippets must not change the host."""
        if not snippets:
            return {}
        done = self._run(WHOLE_INPUT, facts_script(snippets).encode(), timeout=timeout)
        return parse_facts(done.stdout)

    # -- changing ----------------------------------------------------------------

    def apply(
        self,
        changes: Sequence[Run | WriteFile],
        done: Callable[[int], None],
        progress: Callable[[str], None],
    ) -> None:
        """Apply `changes` in order, in one round trip; `done(n)` after each.

        Raises RemoteError that names the change that failed, with the end of what it printed.
        """
        self._must_be_writable()
        script = apply_script([_body(c) for c in changes], paths.APPLY_LOCK, APPLY_WAIT_SECONDS)
        timeout = sum(c.timeout if isinstance(c, Run) else 60 for c in changes) + APPLY_WAIT_SECONDS
        failed: list[str] = []

        def line(text: str) -> None:
            if text.startswith(DONE):
                done(int(text.split()[1]))
            elif text.startswith(FAILED):
                failed[:] = text.split()[1:]

        completed = self._run(
            WHOLE_INPUT, script.encode(), timeout=timeout, on_line=line, on_progress=progress
        )
        if failed:
            change = changes[int(failed[0])]
            tail = "\n".join(f"  {text}" for text in completed.stderr)
            raise RemoteError(f"{change.why}: failed with status {failed[1]}\n{tail}".rstrip())

    def send(
        self,
        source: Path,
        path: str,
        progress: Callable[[int, int], None],
        folder_mode: str = "0700",
    ) -> None:
        """Stream a file of this machine to `path`, going on where an earlier attempt ended.

        The caller verifies the digest on the host before it uses the file.
        """
        self._must_be_writable()
        folder = path.rpartition("/")[0]
        prepared = self.read_write(
            f"install -d -m {folder_mode} {shlex.quote(folder)}; umask 077; touch {shlex.quote(path)}; "
            f"stat -c %s {shlex.quote(path)}"
        )
        total, there = source.stat().st_size, int(prepared.stdout)
        if there > total:
            there = 0
            self.read_write(command("truncate", "-s", "0", path))
        with source.open("rb") as stream:
            stream.seek(there)
            self._run(
                f"cat >> {shlex.quote(path)}",
                _counted(stream, there, total, progress),
                timeout=3600,
            )

    def read_write(self, script: str, timeout: int = 120) -> Completed:
        """A short script that may change the host. Raises RemoteError if it fails."""
        self._must_be_writable()
        return self._run(WHOLE_INPUT, f"{{ set -eu\n{script}\n}}".encode(), timeout=timeout)

    def stream(self, script: str, on_line: Callable[[str], None], stop: threading.Event) -> int:
        """Run `script`, hand each line to `on_line` as it comes; returns its exit status.

        It may take as long as it likes; it ends with `stop`, and with this connection: at the
        other end a program waits for the end of its input and then ends the script.
        """
        channel = self._open(STREAM)
        text = script.encode()
        with self._losses(), _closing(channel):
            _feed(channel, [self._preamble(), f"{len(text)}\n".encode(), text])
            started = _stream_lines(channel, on_line, stop)
            if stop.is_set():
                return 0
            status = channel.recv_exit_status()
        if not started:
            raise self._refused(Completed(status, ""))
        if status == -1:
            raise self._lost("no exit status")
        return status

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise AssertionError(
                "a plan must not change a host: this is a defect, please report it"
            )

    # -- the lock ----------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, holder: Mapping[str, str], waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the host for this run; it ends with this process, whatever becomes of it.

        The lock is a `flock` held by a program at the other end of this connection, which ends
        when the connection does, or when it hears nothing for 60 s. Whatever a lost run left
        running holds a second lock until its end, and is waited for. Raises Locked.
        """
        self._must_be_writable()
        channel = self._open(f"exec bash -c {shlex.quote(_lock_program(json.dumps(dict(holder))))}")
        stop = threading.Event()
        with _closing(channel):
            try:
                self._await_lock(channel, waiting)
                beat = threading.Thread(target=_heartbeat, args=(channel, stop), daemon=True)
                beat.start()
                yield
            finally:
                stop.set()
                with contextlib.suppress(*LOST):
                    channel.sendall(b"bye\n")
                    channel.shutdown_write()
                    channel.recv_exit_status()

    def _await_lock(self, channel: paramiko.Channel, waiting: Callable[[str], None]) -> None:
        for line in self._lock_lines(channel):
            answer, _, rest = line.strip().partition(" ")
            if answer == "locked":
                return
            if answer == "silent":
                waiting(
                    f"the lock's holder has been silent for {rest} s: waiting for its lock to lapse"
                )
            elif answer == "busy":
                waiting("a command of an interrupted run is still at work: waiting for its end")
            elif answer == "held":
                raise self._locked(lock.left(Output(0, rest)))
            elif answer == "stuck":
                raise Locked(
                    f"{self.name}: a command of an interrupted run has not ended in {APPLY_WAIT_SECONDS} s",
                    f"look for it on the host: fuser -v {paths.APPLY_LOCK}",
                )
        raise self._lost_or_refused(channel)

    def _lock_lines(self, channel: paramiko.Channel) -> Iterator[str]:
        channel.settimeout(APPLY_WAIT_SECONDS + LOCK_EXPIRES_SECONDS + 30)
        with self._losses():
            _feed(channel, [self._preamble()])
            yield from channel.makefile("r")

    def lock_holder(self) -> dict[str, str]:
        """Who holds the host now (`who`, `from`, `when`, `why`, `seconds`), or nothing."""
        return lock.holder(self.read({"lock": lock.PROBE})["lock"])

    def must_not_be_locked(self) -> None:
        """Raise Locked where a run is at work here: what was read may be the midst of its change."""
        if found := self.lock_holder():
            raise self._locked(found)

    def _locked(self, found: dict[str, str]) -> Locked:
        return Locked(
            f"{self.name} is locked by {lock.words(found)}", "wait for it, or look: `fab lock`"
        )

    # -- tunnel ------------------------------------------------------------------

    @contextlib.contextmanager
    def tunnel(self, port: int) -> Iterator[int]:
        """A local port that leads to `port` on the host's loopback, through this connection."""
        transport = self._connected()
        far, near = ("127.0.0.1", port), ("127.0.0.1", 0)
        with forward(lambda: transport.open_channel("direct-tcpip", far, near)) as local:
            yield local

    # -- one exec ----------------------------------------------------------------

    def _run(
        self,
        program: str,
        stdin: bytes | Iterator[bytes],
        *,
        timeout: int,
        on_line: Callable[[str], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> Completed:
        channel = self._open(program)
        completed = Completed(0, "")
        errors = threading.Thread(
            target=_read_errors, args=(channel, completed, on_progress), daemon=True
        )
        errors.start()
        channel.settimeout(timeout)
        with self._losses(), _closing(channel):
            try:
                _feed(channel, [self._preamble()])
                _feed(channel, [stdin] if isinstance(stdin, bytes) else stdin)
                channel.shutdown_write()
                started = _read_lines(channel, completed, on_line)
                completed.status = channel.recv_exit_status()
            except TimeoutError:
                raise RemoteError(f"{self.name}: no answer for {timeout} s") from None
        errors.join(10)
        completed.stderr = [self._mask(line) for line in completed.stderr]
        if not started:
            raise self._refused(completed)
        if completed.status == -1:
            raise self._lost("no exit status")
        if completed.status != 0:
            tail = "\n".join(f"  {line}" for line in completed.stderr)
            raise RemoteError(
                f"{self.name}: a command failed ({completed.status})\n{tail}".rstrip()
            )
        return completed

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        """A connection that is lost meanwhile is a ConnectError."""
        try:
            yield
        except LOST as error:
            raise self._lost(str(error)) from None

    def _open(self, program: str) -> paramiko.Channel:
        transport = self._connected()
        loader = ["env", "LC_ALL=C", "sh", "-c", LOADER, "sh", program]
        if self._connection.user != "root":
            ask = ["-S", "-p", ""] if self._sudo_password else ["-n"]
            loader = ["sudo", *ask, "-H", *loader]
        self.remote_commands += 1
        with self._losses():
            channel = transport.open_session()
            channel.exec_command(command(*loader))
        return channel

    @property
    def _sudo_password(self) -> str:
        return str(self._connection.config.sudo.password or "")

    def _preamble(self) -> bytes:
        password = f"{self._sudo_password}\n" if self._sudo_password else ""
        return f"{password}{START}\n".encode()

    def _connected(self) -> paramiko.Transport:
        """The one connection of this run. A lost one is not replaced: the lock went with it."""
        if self._transport is None:
            self._connection.open()
            self._transport = _lasting(self._connection.transport)
        elif not self._transport.is_active():
            raise self._lost("it had ended")
        return self._transport

    def close(self) -> None:
        self._connection.close()

    def _mask(self, text: str) -> str:
        for secret in [*self.secrets, Secret(self._sudo_password)]:
            if secret.reveal():
                text = text.replace(secret.reveal(), "***")
        return text

    def _lost(self, reason: str) -> ConnectError:
        return ConnectError(
            f"{self.name}: the connection was lost ({reason})",
            "what was running there may have finished: run the same task again, it looks first",
        )

    def _refused(self, completed: Completed) -> OpsError:
        if completed.status == -1:
            return self._lost("before the command began")
        said = "; ".join(completed.stderr) or f"status {completed.status}"
        return ConnectError(
            f"{self.name}: sudo refused {self._connection.user}: {said}",
            "give the password with `fab --prompt-for-sudo-password ...` or FABRIC_SUDO_PASSWORD, "
            "or let this user use sudo",
        )

    def _lost_or_refused(self, channel: paramiko.Channel) -> OpsError:
        said = channel.makefile_stderr("r").read().decode()
        completed = Completed(channel.recv_exit_status(), "", said.splitlines()[-TAIL_LINES:])
        return self._refused(completed)


def _lasting(transport: paramiko.Transport) -> paramiko.Transport:
    """The same connection, which outlives a short cut of the link and notices a long one."""
    transport.set_keepalive(KEEPALIVE_SECONDS)
    if isinstance(transport.sock, socket.socket):  # behind a jump host it is a channel
        milliseconds = LOST_AFTER_SECONDS * 1000
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return transport


def _feed(channel: paramiko.Channel, chunks: Iterable[bytes]) -> None:
    """Send all. Where the program ended before it had read it, as sudo does when it refuses, what
    it said tells why: no error.
    """
    try:
        for chunk in chunks:
            channel.sendall(chunk)
    except TimeoutError:
        raise
    except OSError:
        if not (channel.closed and channel.get_transport().is_active()):
            raise


@contextlib.contextmanager
def _closing(channel: paramiko.Channel) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(*LOST):  # gone with its connection
            channel.close()


def _body(change: Change) -> str:
    if isinstance(change, WriteFile):
        return write_file(change.path, change.content, change.owner, change.group, change.mode)
    if isinstance(change, Run):
        return change.script
    raise TypeError(f"not applied by a script: {change}")


def scripted(change: Change) -> bool:
    """Whether a change travels in a script, together with its neighbours."""
    return not isinstance(change, FetchRelease | SendFile | OrderCertificate)


def _read_lines(
    channel: paramiko.Channel, completed: Completed, on_line: Callable[[str], None] | None
) -> bool:
    """Read standard output to its end; returns whether the program was started at all."""
    lines: list[str] = []
    started = False
    for line in channel.makefile("r"):
        text = line.rstrip("\n")
        if not started:
            started = text == START
        elif on_line:
            on_line(text)
        else:
            lines.append(text)
    completed.stdout = "\n".join(lines)
    return started


def _stream_lines(
    channel: paramiko.Channel, on_line: Callable[[str], None], stop: threading.Event
) -> bool:
    """Hand on each line until the program or `stop` ends it; whether the program was started."""
    channel.settimeout(STREAM_POLL_SECONDS)
    rest, started = b"", False
    while not stop.is_set():
        try:
            chunk = channel.recv(CHUNK)
        except TimeoutError:
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        if not chunk and rest:
            lines, rest = [rest], b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            if started:
                on_line(text)
            started = started or text == START
        if not chunk:
            break
    return started


def _read_errors(
    channel: paramiko.Channel, completed: Completed, on_progress: Callable[[str], None] | None
) -> None:
    with contextlib.suppress(OSError):
        for line in channel.makefile_stderr("r"):
            text = line.rstrip()
            if text.startswith(PROGRESS):
                if on_progress:
                    on_progress(text.removeprefix(PROGRESS).strip())
            elif text:
                completed.stderr = [*completed.stderr[-TAIL_LINES + 1 :], text]


def _counted(
    stream: BinaryIO, sent: int, total: int, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk
        sent += len(chunk)
        progress(sent, total)


def _lock_program(holder: str) -> str:
    """Bash that takes the lock, says so, and keeps it while it hears from the other end."""
    return "\n".join(
        [
            f"install -d -m 0750 {paths.STATE}",
            f"exec 9>>{paths.LOCK}",
            "until flock -n 9; do",
            f"  age=$(( $(date +%s) - $(stat -c %Y {paths.LOCK}) ))",
            # A live holder beats every 10 s: one that is silent has lost its connection.
            f"  if [ $age -lt {2 * LOCK_HEARTBEAT_SECONDS + 5} ]; then",
            f'    echo "held $(cat {paths.LOCK_HOLDER})"; exit 0',
            "  fi",
            '  echo "silent $age"; sleep 5',
            "done",
            f"printf '%s' {shlex.quote(holder)} > {paths.LOCK_HOLDER}.new",
            f"mv -f {paths.LOCK_HOLDER}.new {paths.LOCK_HOLDER}; touch {paths.LOCK}",
            f"exec 8>>{paths.APPLY_LOCK}",
            f"flock -n 8 || {{ echo busy; flock -w {APPLY_WAIT_SECONDS} 8 || {{ echo stuck; exit 0; }}; }}",
            "exec 8>&-",
            "echo locked",
            f'while IFS= read -r -t {LOCK_EXPIRES_SECONDS} beat && [ "$beat" != bye ]; do',
            f"  touch {paths.LOCK}",
            "done",
            f"rm -f {paths.LOCK_HOLDER}",
        ]
    )


def _heartbeat(channel: paramiko.Channel, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not stop.wait(LOCK_HEARTBEAT_SECONDS):
            channel.sendall(b"beat\n")
