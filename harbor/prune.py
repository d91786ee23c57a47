"""What may be removed from a host's engine, and what stays and why: decided here, by id.

The engine is read through its own API, which gives bytes where the command line rounds. An
item is named by its id, never by a pattern, so nothing else can be removed by the same word.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harbor import paths
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, quote
from harbor.versions import Version

API = "curl -sS --max-time 120 --fail --unix-socket /var/run/docker.sock"
PROJECT_LABEL = "com.docker.compose.project"
# Engine 23.0 and later mark them; before, only the name tells (64 hex digits, docker/volume).
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
ANONYMOUS_NAME = re.compile(r"[0-9a-f]{64}")
OWN_NETWORKS = ("bridge", "host", "none", "docker_gwbridge", "ingress")
STOPPED = ("exited", "created", "dead")


@dataclass(frozen=True)
class Item:
    """One thing of the engine. `size`: bytes that only it uses; `names`: what points to it."""

    kind: str  # container, image, volume, network, build cache
    id: str
    title: str
    size: int
    reason: str
    names: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.id)


@dataclass(frozen=True)
class Engine:
    """What the engine holds, as its API says it."""

    version: str
    containers: tuple[Mapping[str, Any], ...]
    images: tuple[Mapping[str, Any], ...]
    volumes: tuple[Mapping[str, Any], ...]
    networks: tuple[Mapping[str, Any], ...]
    build_cache: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Plan:
    """Two lists that together name everything there is, each item with its reason."""

    going: tuple[Item, ...]
    staying: tuple[Item, ...]

    @property
    def size(self) -> int:
        """The bytes that are freed at least: layers shared by several of them not counted."""
        return sum(item.size for item in self.going)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "going": [asdict(item) for item in self.going],
            "staying": [asdict(item) for item in self.staying],
            "bytes": self.size,
        }


def probe(settings: Settings) -> dict[str, str]:
    """Snippets: everything the engine holds, with sizes. It reads, whatever its size takes."""
    return {
        "engine": f"{API} http://docker/version",
        # Engine 28 and later answer an unversioned request in another form.
        "usage": f"{API} http://docker/v1.44/system/df 2>/dev/null || {API} http://docker/system/df",
        "networks": f"{API} http://docker/networks",
        "installed": f"sed -n 's/.*goharbor\\/prepare:v\\([0-9.]*\\).*/\\1/p' {paths.INSTALL}/prepare",
        "root": "d=$(timeout 20 docker info --format '{{.DockerRootDir}}') && "
        "df -PB1 \"$d\" | awk 'NR==2 {print $4}'",
    }


def parse(facts: Mapping[str, Output]) -> Engine:
    """The engine's answers. Raises ValueError where one of them is missing or no JSON."""

    def read(key: str) -> Any:
        return json.loads(facts.get(key, NOT_READ).text)

    usage = read("usage")
    return Engine(
        version=str(read("engine")["Version"]),
        containers=tuple(usage.get("Containers") or ()),
        images=tuple(usage.get("Images") or ()),
        volumes=tuple(usage.get("Volumes") or ()),
        networks=tuple(read("networks")),
        build_cache=tuple(usage.get("BuildCache") or ()),
    )


def plan(settings: Settings, engine: Engine, releases: "Releases") -> Plan:
    """What goes and what stays. In docker's own order: what a container held is free after it."""
    decided = [
        *_containers(settings, engine),
        *_images(settings, engine, releases),
        *_volumes(settings, engine),
        *_networks(settings, engine),
        *_build_cache(engine),
    ]
    return Plan(
        going=tuple(item for goes, item in decided if goes),
        staying=tuple(item for goes, item in decided if not goes),
    )


@dataclass(frozen=True)
class Releases:
    """Which release and which Traefik run, and how many of each stay."""

    present: Version
    traefik: str
    keep: int

    def kept(self, found: set[Version]) -> set[Version]:
        """The present release, newer ones (an upgrade to come), and the next older ones."""
        older = sorted((v for v in found if v < self.present), reverse=True)
        newer = {v for v in found if v > self.present}
        return {self.present, *newer, *older[: self.keep - 1]}


def releases(settings: Settings, facts: Mapping[str, Output], keep: int) -> Releases:
    """The installed release, or the inventory's where none is unpacked."""
    installed = facts.get("installed", NOT_READ).text.strip() or settings.harbor.version
    return Releases(Version.parse(installed), settings.harbor.traefik.version, keep)


Decision = tuple[bool, Item]


def is_ours(thing: Mapping[str, Any]) -> bool:
    """Whether it belongs to the compose project of Harbor."""
    return bool((thing.get("Labels") or {}).get(PROJECT_LABEL) == paths.PROJECT)


def stopped_of_ours(engine: Engine) -> list[str]:
    """Names of our containers that do not run, one-off ones included."""
    return sorted(
        _name(container)
        for container in engine.containers
        if is_ours(container) and container.get("State") != "running"
    )


def endangered(settings: Settings, engine: Engine, present: Version) -> list[str]:
    """What of ours a prune would find unused now: the loss that the refusal prevents."""
    running = [c for c in engine.containers if c.get("State") == "running"]
    used = {str(c["ImageID"]) for c in running}
    tags = [
        str(tag)
        for image in engine.images
        if image["Id"] not in used
        for tag in image.get("RepoTags") or ()
    ]
    lost = [f"container {name}" for name in stopped_of_ours(engine)]
    lost += [f"image {tag}" for tag in sorted(tags) if _release_of(tag) == present]
    mounted = {m.get("Name") for c in running for m in c.get("Mounts") or ()}
    lost += [
        f"volume {volume['Name']}"
        for volume in engine.volumes
        if is_ours(volume) and volume["Name"] not in mounted
    ]
    if not any(is_ours(container) for container in running):
        lost += [f"network {n['Name']}" for n in engine.networks if is_ours(n)]
    return lost


def _protected(settings: Settings, thing: Mapping[str, Any]) -> str:
    """The label that makes it somebody else's; empty if none does."""
    labels = thing.get("Labels") or {}
    for wanted in settings.harbor.prune.protect_labels:
        key, equals, value = wanted.partition("=")
        if key in labels and (not equals or labels[key] == value) and not is_ours(thing):
            return f"{key}={labels[key]}"
    return ""


def _name(container: Mapping[str, Any]) -> str:
    names = container.get("Names") or [container["Id"][:12]]
    return str(names[0]).lstrip("/")


def _containers(settings: Settings, engine: Engine) -> list[Decision]:
    decided = []
    for container in engine.containers:
        state, label = str(container.get("State")), _protected(settings, container)
        goes = state in STOPPED and not label and not is_ours(container)
        reason = "stopped container" if goes else f"belongs to {label}" if label else state
        size = int(container.get("SizeRw") or 0)
        decided.append((goes, Item("container", container["Id"], _name(container), size, reason)))
    return decided


def _remaining(settings: Settings, engine: Engine) -> list[Mapping[str, Any]]:
    """The containers that are there when those that go are gone."""
    gone = {item.id for goes, item in _containers(settings, engine) if goes}
    return [container for container in engine.containers if container["Id"] not in gone]


def _images(settings: Settings, engine: Engine, releases: Releases) -> list[Decision]:
    used = {str(c["ImageID"]): _name(c) for c in _remaining(settings, engine)}
    tags = [str(tag) for image in engine.images for tag in _tags(image)]
    kept = releases.kept({found for tag in tags if (found := _release_of(tag))})
    edges = {found for tag in tags if (found := _traefik_of(tag))}
    kept_edges = _kept_edges(releases, edges)
    decided = []
    for image in engine.images:
        reason = _image_reason(image, kept, kept_edges)
        label = _protected(settings, image)
        stays = (
            f"used by {used[image['Id']]}"
            if image["Id"] in used
            else f"belongs to {label}"
            if label
            else ""
            if reason
            else _why_image_stays(image, releases)
        )
        shared = max(int(image.get("SharedSize") or 0), 0)
        size = max(int(image.get("Size") or 0) - shared, 0)
        title = ", ".join(_tags(image)) or image["Id"].removeprefix("sha256:")[:12]
        item = Item("image", image["Id"], title, size, stays or reason, tuple(_tags(image)))
        decided.append((not stays, item))
    return decided


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or () if tag != "<none>:<none>"]


def _image_reason(image: Mapping[str, Any], kept: set[Version], kept_edges: set[Version]) -> str:
    """Why an image may go; empty if it may not."""
    tags = _tags(image)
    digests = [d for d in image.get("RepoDigests") or () if d != "<none>@<none>"]
    if not tags:
        return "" if digests else "dangling image"
    found = [_release_of(tag) for tag in tags]
    if all(release and release not in kept for release in found):
        return f"image of an older release ({', '.join(sorted(str(r) for r in found))})"
    edges = [_traefik_of(tag) for tag in tags]
    if all(edge and edge not in kept_edges for edge in edges):
        return "image of an older Traefik"
    return ""


def _why_image_stays(image: Mapping[str, Any], releases: Releases) -> str:
    found = [_release_of(tag) for tag in _tags(image)]
    if releases.present in found:
        return "this release"
    if any(release and release > releases.present for release in found):
        return "a newer release"
    if any(found):
        return "a previous release"
    if any(_traefik_of(tag) for tag in _tags(image)):
        return "this or a previous Traefik"
    return "has a name" if _tags(image) else "was pulled by digest"


def _release_of(tag: str) -> Version | None:
    repository, _, version = tag.rpartition(":")
    return _version(version) if repository.startswith("goharbor/") else None


def _traefik_of(tag: str) -> Version | None:
    repository, _, version = tag.rpartition(":")
    return _version(version) if repository == "traefik" else None


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except ValueError:
        return None


def _kept_edges(releases: Releases, found: set[Version]) -> set[Version]:
    present = _version(releases.traefik)
    if present is None:
        return found  # a tag like v3.7: which of them it is cannot be told
    return Releases(present, releases.traefik, releases.keep).kept(found)


def _volumes(settings: Settings, engine: Engine) -> list[Decision]:
    used = {
        str(mount.get("Name")): _name(container)
        for container in _remaining(settings, engine)
        for mount in container.get("Mounts") or ()
        if mount.get("Type") == "volume"
    }
    decided = []
    for volume in engine.volumes:
        name, label = str(volume["Name"]), _protected(settings, volume)
        if name in used:
            stays = f"used by {used[name]}"
        elif label:
            stays = f"belongs to {label}"
        else:
            stays = "" if is_anonymous(volume) else "named volume"
        size = max(int((volume.get("UsageData") or {}).get("Size") or 0), 0)
        decided.append((not stays, Item("volume", name, name, size, stays or "anonymous volume")))
    return decided


def is_anonymous(volume: Mapping[str, Any]) -> bool:
    """Whether nobody ever named it. Where only the name can tell, a label or option means no."""
    labels = volume.get("Labels") or {}
    if volume.get("Driver") != "local" or not ANONYMOUS_NAME.fullmatch(str(volume["Name"])):
        return False
    return ANONYMOUS_LABEL in labels or not (labels or volume.get("Options"))


def _networks(settings: Settings, engine: Engine) -> list[Decision]:
    used = {
        str(network.get("NetworkID")): _name(container)
        for container in _remaining(settings, engine)
        for network in ((container.get("NetworkSettings") or {}).get("Networks") or {}).values()
    }
    decided = []
    for network in engine.networks:
        name, label = str(network["Name"]), _protected(settings, network)
        if name in OWN_NETWORKS or network.get("Scope") != "local":
            stays = "the engine's own" if name in OWN_NETWORKS else "not of this host alone"
        elif network["Id"] in used:
            stays = f"used by {used[network['Id']]}"
        else:
            stays = f"belongs to {label}" if label else "Harbor's" if is_ours(network) else ""
        decided.append(
            (not stays, Item("network", network["Id"], name, 0, stays or "unused network"))
        )
    return decided


def _build_cache(engine: Engine) -> list[Decision]:
    decided = []
    for record in engine.build_cache:
        stays = (
            "in use" if record.get("InUse") else "shared with an image" * bool(record.get("Shared"))
        )
        title = " ".join(str(record.get("Description") or record.get("Type") or "").split())[:60]
        size = int(record.get("Size") or 0)
        decided.append(
            (not stays, Item("build cache", str(record["ID"]), title, size, stays or "build cache"))
        )
    return decided


def confirmed(shown: Plan, now: Plan) -> tuple[list[Item], list[Item]]:
    """Of what was shown: what may still go, and what is no longer the same; nothing new."""
    still = {item.key: item for item in now.going}
    same = [
        item for item in shown.going if item.key in still and still[item.key].names == item.names
    ]
    return same, [item for item in shown.going if item not in same]


def removal(item: Item) -> str:
    """Shell text that removes this one thing, and nothing that is in use: no `-f` anywhere."""
    if item.kind == "container":
        return command("docker", "rm", item.id)
    if item.kind == "volume":
        return command("docker", "volume", "rm", item.id)
    if item.kind == "network":
        return command("docker", "network", "rm", item.id)
    if item.kind == "build cache":
        # Here `-f` only means "do not ask". It ends well although what another record builds on
        # stays, and prints what went.
        remove = command("docker", "builder", "prune", "-f", "--filter", f"id={item.id}")
        stays = "another record builds on it: the next prune takes it"
        return f"{remove} | grep -qF {quote(item.id)} || {{ echo {quote(stays)}; false; }}"
    return _remove_image(item)


def _remove_image(item: Item) -> str:
    if not item.names:
        # Somebody may have named it since: then it is not dangling any more.
        names = command(
            "docker", "image", "inspect", "-f", "{{range .RepoTags}}{{.}} {{end}}", item.id
        )
        return f'[ -z "$({names})" ] && {command("docker", "image", "rm", item.id)}'
    lines = []
    for tag in item.names:
        found = command("docker", "image", "inspect", "-f", "{{.Id}}", tag)
        lines.append(
            f'[ "$({found})" = {quote(item.id)} ] && {command("docker", "image", "rm", tag)}'
        )
    return " &&\n".join(lines)


def removal_script(items: Iterable[Item]) -> str:
    """One script that tries every item and prints `ok N` or `no N reason` for each."""
    lines = []
    for number, item in enumerate(items):
        lines += [
            f"if said=$({{\n{removal(item)}\n}} 2>&1); then echo ok {number}; else",
            f"printf 'no {number} %s\\n' \"$(printf '%s' \"$said\" | tail -n 1)\"; fi",
        ]
    return "\n".join(lines)


def parse_removal(text: str) -> dict[int, str]:
    """Number of each item -> why it was not removed; empty where it was."""
    answers: dict[int, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        number, _, reason = rest.partition(" ")
        if word in ("ok", "no") and number.isdecimal():
            answers[int(number)] = "" if word == "ok" else reason or "refused"
    return answers


def named_volumes(engine: Engine) -> dict[str, str]:
    """Name -> identity of every named volume: deleted and made again, it is another."""
    return {
        str(volume["Name"]): f"{volume.get('CreatedAt')} {volume.get('Mountpoint')}"
        for volume in engine.volumes
        if not is_anonymous(volume)
    }


def human(size: int) -> str:
    """Bytes for people."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
