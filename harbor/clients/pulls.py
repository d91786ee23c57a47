"""One timed pull of an image by each runtime, for `verify`."""

from typing import Any

from harbor.clients import containerd, containers, docker
from harbor.clients.cache import Cache, Upstream
from harbor.clients.images import Image
from harbor.shell import command

SECONDS = 900
PULLERS = (docker.NAME, containers.NAME, containerd.NAME)


def name_for(runtime: str, facts: Any, cache: Cache, upstream: Upstream, image: Image) -> str:
    """What this runtime has to be asked for: the plain name, where a mirror is looked up for it."""
    plain = runtime != docker.NAME or docker.is_mirrored(upstream, facts)
    place = upstream.origin if plain else cache.location(upstream)
    return f"{place}/{image.repository}{image.suffix}"


def present(runtime: str, name: str) -> str:
    """Snippet: succeeds when the image is on the client already."""
    if runtime == docker.NAME:
        return command("docker", "image", "inspect", name)
    if runtime == containers.NAME:
        return command("podman", "image", "exists", name)
    return "false"  # containerd pulls into a namespace of its own


def pull(runtime: str, facts: Any, name: str) -> str:
    """Script: pull, and print how many milliseconds it took."""
    argv = {
        docker.NAME: ["docker", "pull", "-q", name],
        containers.NAME: ["podman", "pull", "-q", name],
    }.get(runtime) or [*_ctr(), "images", "pull", "--hosts-dir", facts.folder, name]
    return "\n".join(
        [
            "began=$(date +%s%N)",
            f"timeout {SECONDS} {command(*argv)} >/dev/null",
            "echo $(( ($(date +%s%N) - began) / 1000000 ))",
        ]
    )


def remove(runtime: str, name: str) -> str:
    """Script: take the image off the client again, its layers with it."""
    if runtime == docker.NAME:
        return command("docker", "rmi", name) + " >/dev/null"
    if runtime == containers.NAME:
        return command("podman", "rmi", name) + " >/dev/null"
    return "\n".join(
        [
            command(*_ctr(), "images", "rm", "--sync", name) + " >/dev/null",
            containerd.remove_namespace(),
        ]
    )


def _ctr() -> list[str]:
    return ["ctr", "-n", containerd.NAMESPACE]


def platform() -> str:
    """Snippet: the client's platform as registries name it."""
    return (
        "case $(uname -m) in x86_64) echo linux/amd64;; aarch64) echo linux/arm64;; "
        "*) echo linux/$(uname -m);; esac"
    )
