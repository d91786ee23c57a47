"""Docker-archive files (what `docker save` writes and `docker load` reads) by Python alone.

The format: a tar with one `<digest>/layer.tar` per layer, one JSON per image, and a
`manifest.json` that ties them together (moby's image/spec v1.2).  The file is gzip in two
members, which gunzip reads as one stream (RFC 1952): the first holds the big base layer and is
copied from the cache as it is, the second holds everything small.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = 2  # part of the cache keys: raise it when the bytes written here change
CREATED = 1_700_000_000  # one time for all files, so that the same content has the same digest
CREATED_TEXT = "2023-11-14T22:13:20Z"
LEVEL = 4
CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file or folder of a layer; a folder has no `data`."""

    path: str
    data: bytes | None
    mode: int = 0o644
    uid: int = 0
    link: str | None = None


@dataclass(frozen=True)
class Layer:
    """A layer as a tar in memory."""

    tar: bytes

    @property
    def diff_id(self) -> str:
        return "sha256:" + hashlib.sha256(self.tar).hexdigest()


@dataclass(frozen=True)
class Image:
    """An image's name and how its containers start; the layers are given beside it."""

    reference: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] | None = None
    workdir: str = "/"
    architecture: str = "amd64"

    def config(self, diff_ids: Iterable[str]) -> bytes:
        """The image's JSON over the layers `diff_ids`, the lowest first."""
        runtime: dict[str, Any] = {
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command) or None,
            "Volumes": {path: {} for path in self.volumes} or None,
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels) or None,
        }
        if self.healthcheck:
            runtime["Healthcheck"] = dict(self.healthcheck)
        ids = list(diff_ids)
        return _json(
            {
                "architecture": self.architecture,
                "os": "linux",
                "created": CREATED_TEXT,
                "config": runtime,
                "rootfs": {"type": "layers", "diff_ids": ids},
                "history": [{"created": CREATED_TEXT, "created_by": "lab.release"} for _ in ids],
            }
        )


def layer(entries: Iterable[Entry]) -> Layer:
    """A layer with these entries, the same bytes for the same entries."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            tar.addfile(_info(entry), io.BytesIO(entry.data or b""))
    return Layer(target.getvalue())


def write_layer_member(tar: Path, member: Path) -> str:
    """Compress the layer `tar` as the first gzip member of an archive; return its diff id."""
    diff_id = "sha256:" + _digest(tar)
    header = tarfile.TarInfo(_layer_path(diff_id))
    header.size, header.mtime = tar.stat().st_size, CREATED
    padding = b"\0" * (-header.size % tarfile.BLOCKSIZE)
    with tar.open("rb") as source, member.open("wb") as target, _gzip(target) as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        shutil.copyfileobj(source, packed, CHUNK)
        packed.write(padding)
    return diff_id


def tail(images: Iterable[Image], base: list[str], layers: list[Layer]) -> bytes:
    """The rest of the tar: the small `layers` on top of `base`, the images, the manifest."""
    diff_ids = [*base, *(one.diff_id for one in layers)]
    files: dict[str, bytes] = {_layer_path(one.diff_id): one.tar for one in layers}
    manifest = []
    for image in images:
        config = image.config(diff_ids)
        name = hashlib.sha256(config).hexdigest() + ".json"
        files[name] = config
        manifest.append(
            {
                "Config": name,
                "RepoTags": [image.reference],
                "Layers": [_layer_path(one) for one in diff_ids],
            }
        )
    files["manifest.json"] = _json(manifest)
    return layer(Entry(path, data) for path, data in files.items()).tar


def tree(folder: Path, prefix: str) -> Iterator[Entry]:
    """The files below `folder` as entries below `prefix`; shell scripts are executable."""
    for path in sorted(folder.rglob("*")):
        inside = f"{prefix}/{path.relative_to(folder)}"
        if "__pycache__" in path.parts:
            continue
        if path.is_dir():
            yield Entry(inside, None, 0o755)
        else:
            yield Entry(inside, path.read_bytes(), 0o755 if path.suffix == ".sh" else 0o644)


def compress(data: bytes) -> bytes:
    """`data` as one gzip member without a time stamp."""
    return gzip.compress(data, LEVEL, mtime=0)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    return _digest(path)


def _gzip(target: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=target, mtime=0)


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.mtime, info.uid, info.gid = entry.mode, CREATED, entry.uid, entry.uid
    if entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    elif entry.data is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(entry.data)
    return info


def _layer_path(diff_id: str) -> str:
    return f"{diff_id.removeprefix('sha256:')}/layer.tar"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
