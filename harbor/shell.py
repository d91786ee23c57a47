"""Text for a remote POSIX shell: the only place in the project that quotes.

A host is read by named snippets that travel together as one script (`facts_script`), and
changed by numbered ones (`apply_script`). Both wrap everything in `{ ... }`, so that a
script cut off by a lost connection is a syntax error and not a shorter script.
"""

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DONE, FAILED = "@done", "@failed"


class Secret:
    """A value that shows as `***` wherever it is printed, formatted or compared in a diff."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for file contents and standard input, never for a command line."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Output:
    """What one snippet answered: its exit status and its standard output without the last newline."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


NOT_READ = Output(127, "")


def command(*argv: object) -> str:
    """`argv` as one line for a POSIX shell, every word quoted."""
    return shlex.join(str(word) for word in argv)


def as_user(user: str, *argv: object) -> str:
    """`argv` run by `user`, from a shell of root."""
    return command("runuser", "-u", user, "--", *argv)


def quote(word: object) -> str:
    """One word for a POSIX shell."""
    return shlex.quote(str(word))


def facts_script(snippets: Mapping[str, str]) -> str:
    """One script that answers every snippet with a line `key TAB status TAB base64(stdout)`.

    Each snippet runs in its own subshell, so that none can end or change the others.
    """
    lines = ["{"]
    for key, snippet in snippets.items():
        lines += [
            f"out=$(\n{snippet}\n) 2>/dev/null; rc=$?",
            f"printf '%s\\t%s\\t' {quote(key)} \"$rc\"",
            "printf '%s' \"$out\" | base64 -w0; echo",
        ]
    return "\n".join([*lines, "}"])


def parse_facts(text: str) -> dict[str, Output]:
    """The answers of `facts_script`, by key."""
    answers = {}
    for line in text.splitlines():
        key, status, encoded = line.split("\t")
        answers[key] = Output(int(status), base64.b64decode(encoded).decode("utf-8", "replace"))
    return answers


def apply_script(bodies: Sequence[str], lock: str, lock_wait: int) -> str:
    """One script that runs `bodies` in order and stops at the first that fails.

    It prints `@done N` after each and `@failed N STATUS` where it stops. For as long as it
    runs it holds `lock` (a path), waiting at most `lock_wait` seconds for it: when the
    connection is lost the script runs on, and the next run has to wait for its end.
    """
    lines = ["{", f"exec 8>>{quote(lock)}", f"flock -w {lock_wait} 8 || exit 75"]
    for number, body in enumerate(bodies):
        lines += [
            # A plain subshell: behind `||` or in an `if` the shell would ignore `set -e`.
            f"(\nset -eu\n{body}\n) >&2 8>&-; rc=$?",
            f'[ "$rc" = 0 ] || {{ echo "{FAILED} {number} $rc"; exit 0; }}',
            f'echo "{DONE} {number}"',
        ]
    return "\n".join([*lines, "}"])


def write_file(path: str, content: bytes, owner: str, group: str, mode: int) -> str:
    """Shell text that puts `content` at `path` in one step.

    The new file is written beside the old one as `.NAME.new`, 0600 from its first byte,
    reaches the disk, gets owner and mode, and then takes the place of the old file.
    """
    folder, _, name = path.rpartition("/")
    staged = f"{folder}/.{name}.new"
    encoded = base64.b64encode(content).decode()
    return "\n".join(
        [
            "umask 077",
            command("rm", "-f", staged),
            f"base64 -d > {quote(staged)} <<'@end'",
            *(encoded[i : i + 76] for i in range(0, len(encoded), 76)),
            "@end",
            command("chown", f"{owner}:{group}", staged),
            command("chmod", f"{mode:04o}", staged),
            command("sync", staged),
            command("mv", "-fT", staged, path),
        ]
    )


def started(unit: str) -> str:
    """Shell text: `$started` is when a unit's process began, in seconds; fails where it never did."""
    # systemd before 246 has no `show -P`, and an empty date would be today's.
    show = f"systemctl show --value -p ExecMainStartTimestamp {unit}"
    return f'started=$({show}) && [ -n "$started" ] && started=$(date -d "$started" +%s)'


def await_start(unit: str) -> str:
    """Shell text: let a start that is under way, as after a boot, come to its end. It must not find
    changed what it has read by half.
    """
    state = command("systemctl", "show", "--value", "-p", "SubState", unit)
    return f"while {state} | grep -q '^start'; do sleep 1; done"


def forget_failure(unit: str) -> str:
    """Let systemd start a unit again that failed too often. A unit not loaded has not failed."""
    failed = command("systemctl", "-q", "is-failed", unit)
    return f"if {failed}; then {command('systemctl', 'reset-failed', unit)}; fi"


def mask(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with every secret value in it replaced by `***`, the longest first."""
    for value in sorted({s.reveal() for s in secrets if s.reveal()}, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
