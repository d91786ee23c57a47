"""A managed file: what it should be, how to look at it, and what to change."""

import base64
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harbor.changes import WriteFile
from harbor.shell import NOT_READ, Output, quote

# Lines whose value must not be shown, in YAML, in shell and in env files.
SENSITIVE = re.compile(
    r"""(?ix) ^ (?P<key> [-\s]* (?:export\s+)? ["']? [\w.]*
        (?: (?:password|secret|token|accesskey|access_key|credential|private|account_key|keydata)
        [\w.]* | \bauth ) ["']? \s* [:=] \s* ) (?P<value> \S.*) $"""
)
URL_LOGIN = re.compile(r"(://[^\s/@:]*:)[^\s/@]+@")


# A diff shows everything, masks the values of sensitive lines, or says only that it differs.
Shows = Literal["all", "masked", "nothing"]


@dataclass(frozen=True)
class ManagedFile:
    """Content, owner and mode of one file on a host, and what a diff may show of it."""

    path: str
    content: bytes = field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    shows: Shows = "all"
    why: str = "content differs"  # what to say of other content


def probe(path: str) -> str:
    """Snippet: `owner group mode`, and below it the content in base64. Fails if there is none."""
    return f"stat -c '%U %G %a' {quote(path)} && base64 -w0 {quote(path)}"


def content(found: Output) -> bytes:
    """The file's bytes as `probe` brought them; empty if there is no file."""
    return base64.b64decode("".join(found.lines[1:])) if found.ok else b""


def keeping(path: str, content: bytes, found: Output, shows: Shows = "masked") -> ManagedFile:
    """A file that is somebody else's too, with this content: owner and mode stay as they are."""
    owner, group, mode = found.lines[0].split() if found.ok else ("root", "root", "644")
    return ManagedFile(path, content, owner, group, int(mode, 8), shows)


def plan(wanted: ManagedFile, found: Output) -> list[WriteFile]:
    """The change that makes the file as wanted, with its reason; none if it is."""
    if not found.ok or len(found.lines) < 1:
        return [_write(wanted, "is missing", b"")]
    owner, group, mode = found.lines[0].split()
    before = content(found)
    reasons = []
    if before != wanted.content:
        reasons.append(wanted.why)
    if (owner, group) != (wanted.owner, wanted.group):
        reasons.append(f"owner is {owner}:{group}, not {wanted.owner}:{wanted.group}")
    if int(mode, 8) != wanted.mode:
        reasons.append(f"mode is {mode}, not {wanted.mode:o}")
    return [_write(wanted, ", ".join(reasons), before)] if reasons else []


def plan_all(wanted: list[ManagedFile], facts: Mapping[str, Output]) -> list[WriteFile]:
    """`plan` for several files whose facts stand under their paths."""
    return [change for file in wanted for change in plan(file, facts.get(file.path, NOT_READ))]


def _write(wanted: ManagedFile, reason: str, before: bytes) -> WriteFile:
    return WriteFile(
        why=f"{wanted.path}: {reason}",
        path=wanted.path,
        content=wanted.content,
        owner=wanted.owner,
        group=wanted.group,
        mode=wanted.mode,
        diff=diff(before, wanted.content, wanted.path, wanted.shows),
    )


def diff(before: bytes, after: bytes, path: str, shows: Shows) -> str:
    """Unified diff of two texts, as far as it may be shown."""
    if shows == "nothing":
        return ""
    old, new = (_lines(side, masked=shows == "masked") for side in (before, after))
    if old == new and before != after:
        return "a secret value differs\n"
    return "".join(difflib.unified_diff(old, new, path, path, n=2))


def _lines(content: bytes, *, masked: bool) -> list[str]:
    lines = content.decode("utf-8", "replace").splitlines()
    return [f"{_masked(line) if masked else line}\n" for line in lines]


def _masked(line: str) -> str:
    return URL_LOGIN.sub(r"\1***@", SENSITIVE.sub(lambda match: f"{match['key']}***", line))
