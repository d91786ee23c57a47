"""k3s and rke2: registries.yaml, merged, then a restart; pods go on during it.

Their own containerd takes mirrors and CA from this file alone. With a mirror name no rewrite is
needed; without one the rewrite is not applied to the origin (k3s, docs/installation/registries).
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from harbor import files
from harbor.clients.cache import Cache
from harbor.clients.part import Part, ca_files, newer_than_start, restart
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output

NAME = "k3s"
FLAVOURS = ("k3s", "rke2")
UNITS = ("k3s", "k3s-agent", "rke2-server", "rke2-agent")


@dataclass(frozen=True)
class Facts:
    """`flavour`: k3s or rke2; `unit`: what runs it, if anything does."""

    flavour: str
    unit: str
    registries: Output
    loaded: bool

    @property
    def folder(self) -> str:
        return f"/etc/rancher/{self.flavour}"


def probe() -> dict[str, str]:
    find = "for f in k3s rke2; do command -v $f >/dev/null && echo $f && exit; done; exit 1"
    unit = (
        f"for u in {' '.join(UNITS)}; do systemctl is-active -q $u && echo $u && exit; done; exit 1"
    )
    path = "/etc/rancher/{}/registries.yaml"
    return {
        "flavour": find,
        "unit": unit,
        **{f"registries.{name}": files.probe(path.format(name)) for name in FLAVOURS},
        **{
            f"loaded.{name}": f"unit=$({unit}) && {newer_than_start(path.format(name), '$unit')}"
            for name in FLAVOURS
        },
    }


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    flavour = outputs.get("flavour", NOT_READ)
    if not flavour.ok:
        return None
    name = flavour.text
    return Facts(
        name,
        outputs.get("unit", NOT_READ).text,
        outputs.get(f"registries.{name}", NOT_READ),
        outputs.get(f"loaded.{name}", NOT_READ).ok,
    )


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    return Part(NAME, ca_files(f"{facts.folder}/harbor-cache", cache.hosts, cache.ca))


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    try:
        content = merged(files.content(facts.registries), cache, facts.folder)
    except Refused as error:
        return Part(NAME, refused=error)
    return Part(
        NAME,
        (ManagedFile(f"{facts.folder}/registries.yaml", content, mode=0o600, shows="masked"),),
        loaded=not facts.unit or facts.loaded,
        reload=reload(facts),
        reload_why=f"{facts.unit} reads the file only when it starts: restart it, pods go on",
        notes=(_note(facts.flavour),),
    )


def _note(flavour: str) -> str:
    return (
        f"{flavour} falls back to the origin unless its configuration sets "
        "disable-default-registry-endpoint: true"
    )


def reload(facts: Facts) -> str:
    return restart(facts.unit) if facts.unit else ""


def merged(before: bytes, cache: Cache, folder: str) -> bytes:
    """registries.yaml with our mirrors and CAs, comments and everything else kept."""
    yaml = YAML()
    yaml.preserve_quotes = True
    try:
        document: Any = yaml.load(before) or {}
    except YAMLError as error:
        raise Refused(f"{folder}/registries.yaml is no YAML: {error}", "mend it") from None
    if not isinstance(document, dict):
        raise Refused(f"{folder}/registries.yaml is no mapping", "mend it")
    if not merge(document, registries(cache, folder)):
        return before
    stream = io.BytesIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def registries(cache: Cache, folder: str) -> dict[str, Any]:
    """What we want in registries.yaml."""
    mirrors: dict[str, Any] = {}
    for upstream in cache.upstreams:
        mirrors[upstream.origin] = {"endpoint": [f"https://{upstream.mirror or cache.host}"]}
        if not upstream.mirror:
            mirrors[upstream.origin]["rewrite"] = {"^(.*)$": f"{upstream.project}/$1"}
    wanted: dict[str, Any] = {"mirrors": mirrors}
    if cache.ca:
        wanted["configs"] = {
            host: {"tls": {"ca_file": f"{folder}/harbor-cache/{host}/ca.crt"}}
            for host in cache.hosts
        }
    return wanted


def merge(document: Any, wanted: Mapping[str, Any]) -> bool:
    """Put `wanted` into `document`, mapping by mapping; whether anything changed."""
    changed = False
    for key, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            changed = merge(document[key], value) or changed
        elif document.get(key) != value:
            document[key] = value
            changed = True
    return changed
