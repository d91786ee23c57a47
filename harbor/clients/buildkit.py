"""A BuildKit daemon of its own: mirrors and CAs in buildkitd.toml, then a restart.

The BuildKit inside dockerd follows docker's files, and builders of buildx's docker-container
driver get this same file when they are made: `docker buildx create --config`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor import files
from harbor.clients.cache import Cache
from harbor.clients.part import Part, ca_files, restart
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output

NAME = "buildkit"
CONFIG = "/etc/buildkit/buildkitd.toml"
CERTS = "/etc/buildkit/certs"


@dataclass(frozen=True)
class Facts:
    unit: str
    config: Output


def probe() -> dict[str, str]:
    return {
        "installed": "command -v buildkitd",
        "unit": "for u in buildkit buildkitd; do "
        "systemctl is-active -q $u && echo $u && exit; done; exit 1",
        "config": files.probe(CONFIG),
    }


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    if not outputs.get("installed", NOT_READ).ok:
        return None
    return Facts(outputs.get("unit", NOT_READ).text, outputs.get("config", NOT_READ))


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    return Part(NAME, ca_files(CERTS, cache.hosts, cache.ca))


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    if not options.fallback:
        error = Refused("buildkit: cannot be kept from falling back to the origin")
        return Part(NAME, refused=error)
    text = files.content(facts.config).decode()
    try:
        content = with_registries(text, cache)
    except Refused as error:
        return Part(NAME, refused=error)
    return Part(
        NAME,
        (ManagedFile(CONFIG, content.encode(), shows="masked"),),
        reload=reload(facts),
        reload_why="BuildKit reads its file only when it starts: restart it (running builds end)",
        notes=("BuildKit falls back to the origin when the cache fails",),
    )


def reload(facts: Facts) -> str:
    return restart(facts.unit) if facts.unit else ""


def tables(cache: Cache) -> dict[str, dict[str, Any]]:
    """The `[registry."…"]` tables: a mirror for each upstream, the CA for each of our hosts."""
    found: dict[str, dict[str, Any]] = {
        upstream.origin: {"mirrors": [cache.location(upstream)]} for upstream in cache.upstreams
    }
    if cache.ca:
        found |= {host: {"ca": [f"{CERTS}/{host}/ca.crt"]} for host in cache.hosts}
    return found


def toml(registries: Mapping[str, Mapping[str, list[str]]]) -> str:
    """Tables as TOML; the values are lists of plain strings."""
    lines = []
    for host, table in registries.items():
        lines += ["", f'[registry."{host}"]']
        lines += [f'  {key} = ["{value[0]}"]' for key, value in table.items()]
    return "\n".join(lines) + "\n"


def with_registries(text: str, cache: Cache) -> str:
    """buildkitd.toml with our tables behind what is there. Raises Refused where one is there."""
    try:
        present = tomllib.loads(text).get("registry", {})
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{CONFIG} is no TOML: {error}", "mend it; nothing was changed") from None
    wanted = tables(cache)
    missing = {host: table for host, table in wanted.items() if host not in present}
    differing = [host for host in wanted if host in present and present[host] != wanted[host]]
    if differing:
        raise Refused(
            f"{CONFIG} has settings of its own for {', '.join(differing)}",
            f"write there yourself:\n{toml({host: wanted[host] for host in differing})}",
        )
    return text if not missing else f"{text.rstrip()}\n{toml(missing)}".lstrip("\n")
