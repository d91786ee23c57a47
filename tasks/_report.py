"""The screen: what changes and why, progress on long work, one line a host, `--json`.

Data goes to standard output; with `--json` everything else goes to standard error. Meaning is
never carried by colour alone, and NO_COLOR is respected (rich does both).
"""

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harbor.changes import Change, WriteFile
from harbor.errors import CHANGES_PENDING, OpsError, Refused
from harbor.shell import Secret, mask

PLAIN_PROGRESS_SECONDS = 10


@dataclass
class Result:
    """How one host ended."""

    host: str
    status: str = "not started"
    changes: list[dict[str, str]] = field(default_factory=list)
    error: str = ""
    code: int = 0
    seconds: float = 0.0
    remote_commands: int = 0
    details: dict[str, Any] = field(default_factory=dict)


class Report:
    """One run's output. Safe to use from several hosts' threads at once."""

    def __init__(self, secrets: Iterable[Secret] = (), *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.secrets = list(secrets)
        self._out = Console(stderr=as_json, soft_wrap=True, highlight=False)
        self._progress: dict[str, str] = {}
        self._last_plain: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = Live(console=self._out, transient=True, get_renderable=self._progress_text)

    def __enter__(self) -> Self:
        if self._out.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def line(self, host: str, text: str, style: str = "") -> None:
        """One line (or more), each marked with its host."""
        prefix = f"[dim]{escape(host)}[/dim] " if host else ""
        for part in mask(text, self.secrets).splitlines():
            body = f"[{style}]{escape(part)}[/{style}]" if style else escape(part)
            self._out.print(f"{prefix}{body}")

    def change(self, host: str, step: str, change: Change, *, sign: str) -> None:
        """A change with its reason, and a file's diff below it. `sign`: `+` done, `~` pending."""
        self.line(host, f"{sign} {step}: {change.why}", "green" if sign == "+" else "yellow")
        if isinstance(change, WriteFile) and sign == "~" and change.diff:
            self.line(host, "".join(f"    {part}\n" for part in change.diff.splitlines()))

    def progress(self, host: str, text: str) -> None:
        """What a host is waiting for: redrawn on a terminal, every 10 s elsewhere; "" ends it."""
        with self._lock:
            if not text:
                self._progress.pop(host, None)
                self._last_plain.pop(host, None)
                return
            self._progress[host] = mask(text, self.secrets)
            due = time.monotonic() - self._last_plain.get(host, 0.0) >= PLAIN_PROGRESS_SECONDS
            if not due or self._out.is_terminal:
                return
            self._last_plain[host] = time.monotonic()
        self.line(host, f"… {text}")

    def ask(self, host: str, question: str) -> bool:
        """Whether the person at the terminal answers `yes`; anything else is a no.

        Raises Refused where nobody can be asked.
        """
        if not sys.stdin.isatty():
            raise Refused(f"{question} Nobody can be asked: this is no terminal", "confirm: --yes")
        self._live.stop()
        self._out.print(f"[dim]{escape(host)}[/dim] {escape(f'{question} [yes/NO] ')}", end="")
        answer = sys.stdin.readline().strip().lower()
        if self._out.is_terminal:
            self._live.start()
        return answer in ("y", "yes")

    def _progress_text(self) -> Text:
        with self._lock:
            lines = [f"{host} … {text}" for host, text in self._progress.items()]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    def error(self, host: str, error: OpsError) -> None:
        self.line(host, f"error: {error.message}", "red")
        if error.hint:
            self.line(host, f"hint: {error.hint}")

    def finish(self, results: list[Result]) -> int:
        """The table (or the JSON) of all hosts; returns the exit code of the run."""
        if self.as_json:
            rows = [dataclasses.asdict(result) for result in results]
            print(mask(json.dumps({"hosts": rows}, indent=2), self.secrets))  # noqa: T201
        else:
            self._out.print(self._table(results))
        return exit_code(results)

    def _table(self, results: list[Result]) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("host", "result", "seconds", "remote commands"):
            table.add_column(column, justify="left" if column in ("host", "result") else "right")
        for result in results:
            style = "red" if result.code not in (0, CHANGES_PENDING) else ""
            table.add_row(
                result.host,
                Text(result.status, style),
                f"{result.seconds:.1f}",
                str(result.remote_commands),
            )
        return table


def exit_code(results: list[Result]) -> int:
    """The highest code of all hosts, where any failure outweighs "changes pending"."""
    codes = {result.code for result in results}
    failures = codes - {0, CHANGES_PENDING}
    return max(failures) if failures else max(codes, default=0)
