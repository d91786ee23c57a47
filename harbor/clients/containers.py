"""podman, CRI-O, buildah, skopeo: a file in registries.conf.d, and certs.d for trust.

All of them read both at every pull; CRI-O is told to reload. On failure they go to the origin and
print the mirror's error too; `blocked` forbids that and still uses the mirror (seen, 4.3 and 5.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harbor.clients.cache import Cache
from harbor.clients.part import Part, ca_files
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output, command

NAME = "podman"
CERTS = "/etc/containers/certs.d"
REGISTRIES = "/etc/containers/registries.conf.d/50-harbor-cache.conf"


@dataclass(frozen=True)
class Facts:
    podman: bool
    crio: bool


def probe() -> dict[str, str]:
    return {
        "installed": "command -v podman || command -v crio || command -v buildah",
        "podman": "command -v podman",
        "crio": "systemctl is-active crio",
    }


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    def get(key: str) -> Output:
        return outputs.get(key, NOT_READ)

    if not get("installed").ok:
        return None
    return Facts(podman=get("podman").ok, crio=get("crio").text == "active")


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    return Part(NAME, ca_files(CERTS, cache.hosts, cache.ca))


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    wanted = ManagedFile(REGISTRIES, registries_conf(cache, options))
    fallback = "falls back to the origin" if options.fallback else "has no fall-back to the origin"
    return Part(
        NAME,
        (wanted,),
        # Any command reads and so checks all files of registries.conf.d.
        check="podman info >/dev/null" if facts.podman else "",
        reload=reload(facts),
        reload_why="CRI-O has to read it: reload it",
        test=pull_test(cache.test_references()) if facts.podman else "",
        notes=(f"podman {fallback} when the cache fails, and prints its error",),
    )


def reload(facts: Facts) -> str:
    return "systemctl reload crio" if facts.crio else ""


def registries_conf(cache: Cache, options: ClientOptions) -> bytes:
    """containers-registries.conf(5), version 2: one registry and its mirror for each upstream."""
    lines = ["# Written by fab use-cache; fab unuse-cache restores."]
    for upstream in cache.upstreams:
        lines += [
            "",
            "[[registry]]",
            f'prefix = "{upstream.origin}"',
            f'location = "{upstream.origin}"',
            *([] if options.fallback else ["blocked = true"]),
            "[[registry.mirror]]",
            f'location = "{cache.location(upstream)}"',
        ]
    return "\n".join([*lines, ""]).encode()


def pull_test(references: list[str]) -> str:
    """Script: pull each image by the cache's own address; one that was not here is removed again."""
    return "\n".join(
        line
        for image in references
        for line in (
            f"if {command('podman', 'image', 'exists', image)}; then had=yes; else had=; fi",
            f"echo '@progress podman pulls {image}' >&2",
            f"{command('podman', 'pull', '-q', image)} >/dev/null",
            f'[ -n "$had" ] || {command("podman", "rmi", image)} >/dev/null',
        )
    )
