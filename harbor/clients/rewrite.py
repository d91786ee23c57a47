"""Image names in compose files, Kubernetes manifests and Dockerfiles, made to go through the cache.

The explicit name is what works with every runtime, old or new. Only names of upstreams that the
cache has are changed, and nothing else in the text: comments, order and quotes stay.
"""

import difflib
import re

from harbor.clients import images
from harbor.clients.cache import Cache
from harbor.errors import SettingsError

# `image: NAME` of compose and Kubernetes, also as the first key of a list's item, or `{image: NAME}`.
YAML_IMAGE = re.compile(
    r"""(?m)^(?P<before>(?:[ \t]*(?:-[ \t]+)*|[^#\n]*\{(?:[^{}#\n]*,)?[ \t]*)(?:"image"|'image'|image)"""
    r"""[ \t]*:[ \t]+["']?)(?P<name>[^\s"'#{},$]+)(?=["']?[ \t]*(?:[,}].*|\#.*)?$)"""
)
FROM = re.compile(
    r"(?mi)^(?P<before>[ \t]*(?:FROM[ \t]+(?:--platform=\S+[ \t]+)?|COPY[ \t]+--from=))"
    r"(?P<name>[^\s$]+)(?P<after>.*)$"
)
STAGE = re.compile(r"(?i)\s+as\s+(\S+)")


def rewritten(text: str, cache: Cache, *, dockerfile: bool) -> str:
    """The text with every name of a known upstream led through the cache."""
    if not dockerfile:
        return YAML_IMAGE.sub(lambda match: match["before"] + led(match["name"], cache), text)
    stages = {stage[1] for line in FROM.finditer(text) if (stage := STAGE.search(line["after"]))}

    def change(match: re.Match[str]) -> str:
        name = match["name"]
        own = name in stages or name.isdecimal() or name == "scratch"
        return match["before"] + (name if own else led(name, cache)) + match["after"]

    return FROM.sub(change, text)


def led(name: str, cache: Cache) -> str:
    """A name through the cache; one of no upstream, or through a cache already, as it is."""
    try:
        image = images.parse(name)
    except SettingsError:
        return name
    upstream = next((u for u in cache.upstreams if u.origin == image.registry), None)
    if upstream is None:
        return name
    return f"{cache.location(upstream)}/{image.repository}{image.suffix}"


def is_dockerfile(name: str) -> bool:
    """By the names that docker and podman look for."""
    lower = name.lower()
    return any(
        lower == word or lower.startswith(f"{word}.") or lower.endswith(f".{word}")
        for word in ("dockerfile", "containerfile")
    )


def diff(before: str, after: str, name: str) -> str:
    return "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
        )
    )
