"""Putting a built file into the folder of releases: once for the same content, never half."""

from collections.abc import Callable
from pathlib import Path

from lab import locks
from lab.release import archive

BUILD_SECONDS = 900


def publish(target: Path, key: str, write: Callable[[Path], None]) -> Path:
    """Have `write(scratch)` make `target` unless it is there already for this `key`.

    `key` stands for everything that the file is made from.  A `.sha256` in the form of sha256sum
    lies beside it.  Several builders may want the same file at the same time.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = target.with_name(f".{target.name}.key")
    with locks.hold(target.with_name(f".{target.name}.lock"), BUILD_SECONDS):
        if target.exists() and mark.exists() and mark.read_text() == key:
            return target
        mark.unlink(missing_ok=True)
        scratch = target.with_name(f".{target.name}.part")
        write(scratch)
        scratch.rename(target)
        checksum = f"{archive.sha256(target)}  {target.name}\n"
        target.with_name(f"{target.name}.sha256").write_text(checksum)
        mark.write_text(key)
    return target
