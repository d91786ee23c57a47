"""Running commands on the machine outside."""

import subprocess
from collections.abc import Sequence

from lab.errors import LabError


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float | None = None) -> str:
    """Run `argv` and return what it printed; LabError with its stderr when it fails.

    Inheritable descriptors stay open in the child: `locks.hold` relies on that, so that a
    command outliving a killed lab keeps the lock until it has ended.
    """
    done = attempt(argv, stdin=stdin, timeout=timeout)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise LabError(f"{_brief(argv)}: exit {done.returncode}: {said}")
    return done.stdout


def attempt(
    argv: Sequence[str], *, stdin: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `argv` whatever its exit code; LabError only when it outlives `timeout`."""
    try:
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            close_fds=False,
            input=stdin or "",
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{_brief(argv)}: not done after {timeout} s") from late


def _brief(argv: Sequence[str]) -> str:
    """`argv` for a message: its first line, not too long."""
    return " ".join(argv).splitlines()[0][:120]
