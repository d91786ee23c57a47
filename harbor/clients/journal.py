"""A part as one change that undoes itself when it fails, and the undo of it later.

On the client `paths.CLIENTS/TASK/RUNTIME` keeps what was there before our first change, so that
`unuse-cache` and `untrust-cert` restore every byte, owner, mode and time. The change is one script
that runs to its end without us: a lost connection leaves it done or undone, never half way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harbor import files, paths
from harbor.changes import Run, WriteFile
from harbor.clients.part import Part
from harbor.errors import Refused
from harbor.render import shipped
from harbor.shell import Output, command, quote, write_file

Task = Literal["trust", "use", "login"]
CLIENTS = f"{paths.STATE}/clients"


@dataclass(frozen=True)
class Journal:
    """What the client remembers of one task and runtime.

    `paths` are ours now, `altered` of them were changed by somebody else since; `interrupted`
    is a run that was cut off by a power failure.
    """

    paths: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def empty(self) -> bool:
        return not (self.paths or self.interrupted)


def folder(task: Task, runtime: str) -> str:
    return f"{CLIENTS}/{task}/{runtime}"


def probe(task: Task, runtime: str) -> str:
    """Snippet for `parse`: a line `path P` or `altered P` each, and perhaps `interrupted`."""
    journal, altered = folder(task, runtime), r"sed -n 's/^\(.*\): FAILED.*/altered \1/p'"
    return "\n".join(
        [
            f"[ -d {journal} ] || exit 1",
            f"cd {journal}",
            "for copy in original original-absent; do",
            "  [ ! -d $copy ] || (cd $copy && find . ! -type d | sed 's/^./path /')",
            "done",
            f"[ ! -e written ] || sha256sum -c --quiet written 2>/dev/null | {altered}",
            "[ ! -d before ] && [ ! -d before-absent ] && [ -e done ] || echo interrupted",
        ]
    )


def parse(found: Output) -> Journal:
    lines = [line.partition(" ") for line in found.lines if found.ok]
    return Journal(
        tuple(sorted(path for word, _, path in lines if word == "path")),
        tuple(path for word, _, path in lines if word == "altered"),
        any(word == "interrupted" for word, _, _ in lines),
    )


@dataclass(frozen=True)
class Pending:
    """What a part still needs: the writes, for people, and the one script that does everything."""

    writes: tuple[WriteFile, ...]
    reasons: tuple[str, ...]
    change: Run


def plan(task: Task, part: Part, facts: Mapping[str, Output], journal: Journal) -> Pending | None:
    """What is left to do, or None. `facts`: `files.probe` of the part's files, by path."""
    wanted = {file.path for file in part.files}
    stale = [path for path in journal.paths if path not in wanted]
    writes = files.plan_all(list(part.files), facts)
    changed = bool(writes or stale)
    if not changed and part.loaded and not journal.interrupted:
        return None
    why = [write.why for write in writes] + [f"{path}: no longer wanted" for path in stale]
    if journal.interrupted:
        why.append("an earlier run was cut off: finish it")
    if part.reload and (changed or not part.loaded):
        why.append(part.reload_why)
    return Pending(
        tuple(writes), tuple(why), Run("; ".join(why), _script(task, part, writes, stale))
    )


def _script(task: Task, part: Part, writes: list[WriteFile], stale: list[str]) -> str:
    folders = dict.fromkeys(write.path.rpartition("/")[0] for write in writes)
    return "\n".join(
        [
            *_prelude(task, part.runtime, part.reload),
            "begin",
            *(command("folder", path) for path in folders),
            *(command("keep", path) for path in [*stale, *(write.path for write in writes)]),
            *(f"(\n{_text(write)}\n)" for write in writes),
            *(command("put_back", "original", path) for path in stale),
            *([f"(\n{part.check}\n)"] if part.check else []),
            "reload",
            *(f"(\n{script}\n)" for script in (part.confirm, part.test) if script),
            command("commit", *stale),
        ]
    )


def around(task: Task, runtime: str, path: str, body: str, why: str) -> Run:
    """A program that writes `path` by itself, as a change that is undone when it fails."""
    steps = [*_prelude(task, runtime, ""), "begin", command("folder", path.rpartition("/")[0])]
    return Run(why, "\n".join([*steps, command("keep", path), f"(\n{body}\n)", "commit"]))


def drop(task: Task, runtime: str, body: str, why: str) -> Run:
    """Run `body` and forget what was remembered, without putting it back."""
    return Run(why, f"{body}\nrm -rf {quote(folder(task, runtime))}")


def _prelude(task: Task, runtime: str, reload: str) -> list[str]:
    return [
        f"install -d -m 0700 {CLIENTS}",
        f"journal={quote(folder(task, runtime))}",
        shipped("client-journal.sh").decode(),
        f"reload() (\n{reload or ':'}\n)",
    ]


def _text(write: WriteFile) -> str:
    return write_file(write.path, write.content, write.owner, write.group, write.mode)


def undo(
    task: Task, runtime: str, reload: str, journal: Journal, *, force: bool = False
) -> Run | None:
    """The change that restores everything, or None. Raises Refused where somebody else wrote since."""
    if journal.empty:
        return None
    if journal.altered and not force:
        raise Refused(
            f"changed by somebody else since: {', '.join(journal.altered)}",
            "take our lines out by hand, or restore what was there before us with --force",
        )
    why = "; ".join(f"{path}: as it was before" for path in journal.paths)
    script = "\n".join([*_prelude(task, runtime, reload), "undo"])
    return Run(why or "an earlier run was cut off: undo it", script)
