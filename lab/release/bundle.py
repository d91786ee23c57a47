"""The offline installer of one version: harbor-offline-installer-vX.Y.Z.tgz and its checksums."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import locks
from lab.release import archive, images, rootfs
from lab.release.publish import publish
from lab.release.standin.versions import Release

VERSIONS = ("2.7.4", "2.11.2", "2.14.4", "2.15.1", "2.15.2")
INSTALLER = Path(__file__).parent / "installer"
EXECUTABLE = ("install.sh", "prepare")
MARK = re.compile(r"^#@(has|lacks|end)(?: (\S+))?$")


def build(versions: Iterable[str], out: Path) -> list[Path]:
    """Build the installers into `out`, with `.sha256` beside each and one `md5sum` list."""
    built = [_build(Release.parse(version), out) for version in versions]
    with locks.hold(out / ".md5sum.lock", 60):
        _write_md5_list(out)
    return built


def select(text: str, release: Release) -> str:
    """The lines of a template that `release` wants, its version filled in.

    `#@has FEATURE` and `#@lacks FEATURE` open a part that ends with `#@end`; no nesting.
    """
    chosen = "".join(f"{line}\n" for line in _lines(text, release))
    return chosen.replace("@VERSION@", str(release)).replace("@MINOR@", release.minor)


def _lines(text: str, release: Release) -> Iterator[str]:
    wanted = True
    for line in text.splitlines():
        mark = MARK.match(line)
        if mark is None:
            if wanted:
                yield line
        elif mark[1] == "end":
            wanted = True
        else:
            wanted = release.has(mark[2]) == (mark[1] == "has")


def _build(release: Release, out: Path) -> Path:
    base = rootfs.ensure()
    tail = archive.compress(
        archive.tail(images.of(release), [base.diff_id], [images.scripts(release)])
    )
    installer = {
        path.name: select(path.read_text(), release).encode()
        for path in sorted(INSTALLER.iterdir())
    }

    def write(scratch: Path) -> None:
        with tarfile.open(scratch, "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
            _add_images(tar, f"harbor/harbor.{release.tag}.tar.gz", base.member, tail)
            for name, text in installer.items():
                mode = 0o755 if name in EXECUTABLE else 0o644
                _add(tar, f"harbor/{name}", mode, len(text), [text])
        _clear_time(scratch)

    content = repr((archive.FORMAT, base.diff_id, tail, installer)).encode()
    target = out / f"harbor-offline-installer-{release.tag}.tgz"
    return publish(target, hashlib.sha256(content).hexdigest(), write)


def _add_images(tar: tarfile.TarFile, name: str, member: Path, tail: bytes) -> None:
    with member.open("rb") as source:
        chunks = iter(lambda: source.read(archive.CHUNK), b"")
        _add(tar, name, 0o644, member.stat().st_size + len(tail), [*chunks, tail])


def _add(tar: tarfile.TarFile, name: str, mode: int, size: int, chunks: list[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = mode, size, archive.CREATED
    tar.addfile(info, io.BytesIO(b"".join(chunks)))


def _clear_time(path: Path) -> None:
    """Take the time stamp out of the gzip header (RFC 1952, MTIME), so that builds are equal."""
    with path.open("r+b") as file:
        file.seek(4)
        file.write(bytes(4))


def _write_md5_list(out: Path) -> None:
    """The list that Harbor publishes as the asset `md5sum`; here of all versions in the folder."""
    lines = []
    for path in sorted(out.glob("harbor-offline-installer-*.tgz")):
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "md5").hexdigest()
        lines.append(f"{digest}  {path.name}\n")
    (out / "md5sum").write_text("".join(lines))
