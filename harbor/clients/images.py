"""Image names as people write them, and what a registry says an image consists of."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor.errors import Refused, SettingsError
from harbor.mirrors import REPOSITORY

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Image:
    """A full name: `docker.io`, `library/nginx`, `:1.27` or `@sha256:…` (both: the digest counts)."""

    registry: str
    repository: str
    suffix: str

    @property
    def reference(self) -> str:
        """What follows `manifests/`: the digest if there is one, else the tag."""
        return self.suffix.split("@")[1] if "@" in self.suffix else self.suffix[1:]

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self.suffix}"


def parse(text: str) -> Image:
    """A name as docker understands it (distribution, reference/normalize.go). Raises SettingsError."""
    name, at, digest = text.strip().partition("@")
    first, slash, rest = name.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, rest) if named else (HUB, name)
    repository, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = path, "" if at else "latest"
    if registry in HUB_NAMES:
        registry = HUB
        repository = repository if "/" in repository else f"library/{repository}"
    if not re.fullmatch(REPOSITORY, repository):
        raise SettingsError(f"{text!r} is no name of an image")
    return Image(registry, repository, (f":{tag}" if tag else "") + (f"@{digest}" if at else ""))


@dataclass(frozen=True)
class Content:
    """The blobs of one image: digest -> size in bytes; `index`: several platforms share its name."""

    digest: str
    blobs: Mapping[str, int]
    index: bool = False

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


def platforms(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Platform (`linux/amd64`) -> digest of an index; empty for the manifest of one image."""
    return {
        f"{p['os']}/{p['architecture']}": entry["digest"]
        for entry in manifest.get("manifests", [])
        if (p := entry.get("platform", {})) and p.get("os") != "unknown"
    }


def choose(manifest: Mapping[str, Any], platform: str, name: str) -> str:
    """The digest for a platform. Raises Refused where the index has none."""
    known = platforms(manifest)
    if platform not in known:
        raise Refused(f"{name} has no image for {platform}; it has {', '.join(known) or 'none'}")
    return known[platform]


def content(digest: str, text: str, *, index: bool) -> Content:
    """The blobs that a manifest names: its configuration and its layers."""
    manifest = json.loads(text)
    parts = [manifest["config"], *manifest["layers"]]
    return Content(digest, {part["digest"]: part["size"] for part in parts}, index)
