"""Small images for a registry that plays Docker Hub and its like, pushed by HTTP.

    library/busybox:1.36          an index for amd64 and arm64 (the arm64 part does not run: its
                                  file says so)
    library/alpine-like:latest    one layer
    team/app:1.0                  some 40 MB in five layers

The amd64 ones hold Debian's static busybox and run.
"""

import gzip
import hashlib
import http.client
import json
import random
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab import locks, paths, shell, waiting
from lab.errors import LabError
from lab.host import Host
from lab.release import archive
from lab.release.archive import Entry, Image, Layer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
APPLETS = ("sh", "cat", "echo", "ls", "sleep", "wget", "true", "uname")
PORT = 5000
# Debian's configuration wants a login, which no public upstream does.
CONFIGURATION = f"""version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
http:
  addr: :{PORT}
"""
BIG_LAYERS = 4
BIG_LAYER_BYTES = 10 << 20


@dataclass(frozen=True)
class Blob:
    """Bytes and their digest."""

    data: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    def descriptor(self, media_type: str) -> dict[str, Any]:
        """As a manifest refers to it."""
        return {"mediaType": media_type, "size": len(self.data), "digest": self.digest}


@dataclass(frozen=True)
class Pushed:
    """An image that a registry now has."""

    name: str
    tag: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}@{self.digest}"


class Registry:
    """A registry that takes pushes without a login."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)

    def push_image(
        self, name: str, tag: str, layers: list[Layer], architecture: str = "amd64"
    ) -> Pushed:
        """One image."""
        blob = self._manifest(name, layers, architecture)
        self._put_manifest(name, tag, blob, MANIFEST)
        return Pushed(name, tag, blob.digest)

    def push_index(self, name: str, tag: str, layers_of: dict[str, list[Layer]]) -> Pushed:
        """An image for each architecture, and the index over them."""
        children = []
        for architecture, layers in layers_of.items():
            child = self._manifest(name, layers, architecture)
            self._put_manifest(name, child.digest, child, MANIFEST)
            children.append(
                {
                    **child.descriptor(MANIFEST),
                    "platform": {"architecture": architecture, "os": "linux"},
                }
            )
        index = _blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
        self._put_manifest(name, tag, index, INDEX)
        return Pushed(name, tag, index.digest)

    def _manifest(self, name: str, layers: list[Layer], architecture: str) -> Blob:
        """Push configuration and layers; the manifest is returned, not yet pushed."""
        image = Image(
            f"{name}", ("/bin/sh",), architecture=architecture, environment={"PATH": "/bin"}
        )
        config = Blob(image.config(layer.diff_id for layer in layers))
        packed = [Blob(gzip.compress(layer.tar, 1, mtime=0)) for layer in layers]
        for blob in (config, *packed):
            self._put_blob(name, blob)
        return _blob(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(CONFIG),
                "layers": [blob.descriptor(LAYER) for blob in packed],
            }
        )

    def _put_blob(self, name: str, blob: Blob) -> None:
        status, _ = self._request("HEAD", f"/v2/{name}/blobs/{blob.digest}")
        if status == 200:
            return
        status, location = self._request("POST", f"/v2/{name}/blobs/uploads/")
        if status != 202:
            raise LabError(f"{name}: the registry takes no uploads: {status}")
        parts = urlsplit(location)
        mark = "&" if parts.query else ""
        path = f"{parts.path}?{parts.query}{mark}digest={blob.digest}"
        status, _ = self._request("PUT", path, blob.data, "application/octet-stream")
        if status != 201:
            raise LabError(f"{name}: the registry refused a blob: {status}")

    def _put_manifest(self, name: str, reference: str, blob: Blob, media_type: str) -> None:
        path = f"/v2/{name}/manifests/{reference}"
        status, _ = self._request("PUT", path, blob.data, media_type)
        if status != 201:
            raise LabError(f"{name}:{reference}: the registry refused the manifest: {status}")

    def _request(
        self, method: str, path: str, body: bytes = b"", media_type: str = ""
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._parts.netloc, timeout=60)
        headers = {"Content-Type": media_type} if media_type else {}
        try:
            connection.request(method, path, body, headers)
            answered = connection.getresponse()
            answered.read()
        except OSError as lost:
            raise LabError(f"registry {self._parts.netloc}: {lost}") from lost
        finally:
            connection.close()
        return answered.status, answered.headers.get("Location", "")


def serve(host: Host) -> str:
    """Open the registry of a host of the layer `registry` to everybody; its URL."""
    host.write("/etc/docker/registry/config.yml", CONFIGURATION)
    host.run("systemctl restart docker-registry")
    url = f"http://{host.address}:{PORT}"
    waiting.until(lambda: _listens(host.address), 30, f"the registry of {host.name}")
    return url


def push_all(url: str) -> Iterator[Pushed]:
    """Push the three images to the registry at `url`."""
    registry = Registry(url)
    busybox = busybox_layer()
    yield registry.push_index(
        "library/busybox",
        "1.36",
        {"amd64": [busybox], "arm64": [_note("no arm64 binary here: this is the lab's filler\n")]},
    )
    yield registry.push_image(
        "library/alpine-like", "latest", [busybox, _note("a stand-in for alpine\n")]
    )
    yield registry.push_image("team/app", "1.0", [busybox, *big_layers()])


def busybox_layer() -> Layer:
    """Debian's static busybox with a few of its names."""
    links = [Entry(f"bin/{name}", None, link="busybox") for name in APPLETS]
    return archive.layer(
        [
            Entry("bin", None, 0o755),
            Entry("bin/busybox", _busybox(), 0o755),
            *links,
            Entry("tmp", None, 0o1777),
        ]
    )


def big_layers() -> list[Layer]:
    """Layers that do not compress, the same at every call."""
    return [
        archive.layer([Entry(f"data-{number}", random.Random(number).randbytes(BIG_LAYER_BYTES))])
        for number in range(BIG_LAYERS)
    ]


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _note(text: str) -> Layer:
    return archive.layer([Entry("STAND-IN", text.encode())])


def _blob(value: object) -> Blob:
    return Blob(json.dumps(value, indent=3).encode())


def _busybox() -> bytes:
    cached = paths.cache() / "release" / "busybox-static"
    if not cached.exists():
        with locks.hold(cached.with_suffix(".lock"), 300):
            if not cached.exists():
                _fetch(cached)
    return cached.read_bytes()


def _fetch(cached: Path) -> None:
    """Debian's package, unpacked; nothing is installed."""
    with tempfile.TemporaryDirectory(dir=cached.parent) as scratch:
        done = subprocess.run(
            ["apt-get", "-q", "download", "busybox-static"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"busybox-static: {done.stderr.strip()[-300:]}")
        package = next(Path(scratch).glob("*.deb"))
        shell.run(["dpkg-deb", "--extract", str(package), scratch])
        (Path(scratch) / "bin" / "busybox").rename(cached)
