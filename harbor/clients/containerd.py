"""containerd 1.6 to 2.x: one folder an upstream with a hosts.toml, read at every pull.

CRI looks there only once `config_path` is set, which takes one restart of containerd (its
containers and docker's go on); `ctr --hosts-dir` and nerdctl look there by themselves.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor import files
from harbor.clients.cache import Cache, Upstream
from harbor.clients.part import Part, ca_files, newer_than_start, poll, restart
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output, command

NAME = "containerd"
CONFIG = "/etc/containerd/config.toml"
CERTS = "/etc/containerd/certs.d"
NAMESPACE = "harbor-cache-test"
# The CRI plugin's table by version of the configuration file (containerd, docs/hosts.md).
CRI_TABLE = {
    2: 'plugins."io.containerd.grpc.v1.cri".registry',
    3: 'plugins."io.containerd.cri.v1.images".registry',
}


@dataclass(frozen=True)
class Facts:
    """`used`: somebody besides docker uses it; `cri`: kubelet's interface is switched on."""

    used: bool
    active: bool
    config: Output
    merged: Mapping[str, Any]
    loaded: bool

    @property
    def file_version(self) -> int:
        return int(self.merged.get("version", 2))

    @property
    def written_version(self) -> int:
        """The format of config.toml itself: containerd 2 shows an older file in its own format."""
        written = tomllib.loads(files.content(self.config).decode()).get("version")
        return int(written or self.file_version)

    @property
    def cri(self) -> bool:
        disabled = self.merged.get("disabled_plugins", [])
        return not any(name.rpartition(".")[2] in ("cri", "images") for name in disabled)

    @property
    def registry(self) -> Mapping[str, Any]:
        """The CRI plugin's registry table."""
        table: Any = self.merged
        for key in _keys(self.file_version):
            table = table.get(key, {})
        return dict(table)

    @property
    def folder(self) -> str:
        """Where hosts.toml files are looked for, now or after our change."""
        return str(self.registry.get("config_path") or CERTS).split(":")[0]


def probe() -> dict[str, str]:
    return {
        "installed": "command -v containerd",
        # Without docker it is there for its own sake; with it, when kubelet or people use it.
        "used": "! command -v dockerd || command -v kubelet || command -v nerdctl || "
        "ctr namespaces ls -q | grep -qx k8s.io",
        "active": "systemctl is-active containerd",
        "config": files.probe(CONFIG),
        "dump": "containerd config dump",
        "loaded": newer_than_start(CONFIG, "containerd"),
    }


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    def get(key: str) -> Output:
        return outputs.get(key, NOT_READ)

    if not get("installed").ok:
        return None
    return Facts(
        used=get("used").ok,
        active=get("active").text == "active",
        config=get("config"),
        merged=tomllib.loads(get("dump").text) if get("dump").ok else {},
        loaded=get("loaded").ok,
    )


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    """A ca.crt in the folder of a host is trusted there; CRI needs what `use` sets."""
    return Part(NAME, ca_files(facts.folder, cache.hosts, cache.ca))


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    folder = facts.folder
    wanted = [
        ManagedFile(f"{folder}/{u.origin}/hosts.toml", hosts_toml(cache, u, folder, options))
        for u in cache.upstreams
    ]
    cri = facts.cri and bool(facts.merged)
    try:
        config = _config(facts) if cri else None
    except Refused as error:
        return Part(NAME, refused=error)
    if config:
        wanted.append(config)
    runs = facts.active
    return Part(
        NAME,
        tuple(wanted),
        # Not only that it can be read: that what containerd makes of it has the folder.
        check=_shows(folder) if config else "",
        loaded=not (runs and config) or facts.loaded,
        reload=reload(facts),
        reload_why="containerd reads config_path only when it starts: restart it, containers go on",
        test=pull_test(cache.test_references(), folder) if runs else "",
        notes=(_note(options, folder),),
    )


def _shows(folder: str) -> str:
    found = command("grep", "-qF", folder)
    return f"containerd --config {CONFIG} config dump | grep -F config_path | {found}"


def _note(options: ClientOptions, folder: str) -> str:
    if options.fallback:
        return f"containerd falls back to the origin when the cache fails ({folder}/*/hosts.toml)"
    return "containerd has no fall-back to the origin: without the cache no new image arrives"


def hosts_toml(cache: Cache, upstream: Upstream, folder: str, options: ClientOptions) -> bytes:
    """hosts.toml of one upstream: the cache first, the origin behind it if that is allowed."""
    host = upstream.mirror or cache.host
    body = ['capabilities = ["pull", "resolve"]']
    if not upstream.mirror:
        body.append("override_path = true")
    if cache.ca:
        body.append(f'ca = "{folder}/{host}/ca.crt"')
    url = cache.base_url(upstream)
    if options.fallback:
        origin = f'server = "https://{upstream.server}"'
        lines = [origin, "", f'[host."{url}"]', *(f"  {line}" for line in body)]
    else:
        lines = [f'server = "{url}"', *body]
    return "\n".join(["# Written by fab use-cache; fab unuse-cache restores.", *lines, ""]).encode()


def _config(facts: Facts) -> ManagedFile | None:
    """config.toml with config_path set; None if it is set already. Raises Refused."""
    registry = facts.registry
    in_the_way = [key for key in ("mirrors", "configs") if registry.get(key)]
    if registry.get("config_path"):
        return _unchanged(facts)
    if "mirrors" in in_the_way:
        raise Refused(
            f"containerd: registry.mirrors in {CONFIG} excludes hosts.toml files",
            "move them to hosts.toml files (containerd, docs/hosts.md), then run this again",
        )
    before = files.content(facts.config).decode()
    version = facts.written_version
    header = f"[{CRI_TABLE[version if version in CRI_TABLE else 2]}]"
    after = with_value(before, header, "config_path", CERTS, version)
    return files.keeping(CONFIG, after.encode(), facts.config)


def _unchanged(facts: Facts) -> ManagedFile | None:
    """The file as it is, where it is what sets config_path: it stays ours to undo."""
    if not facts.config.ok:
        return None
    return files.keeping(CONFIG, files.content(facts.config), facts.config)


def with_value(text: str, header: str, key: str, value: str, version: int) -> str:
    """`text` (TOML) with `key = "value"` in the table `header`, everything else as it was.

    Raises Refused where the result would say anything else.
    """
    line = f'  {key} = "{value}"'
    either_quote = re.escape(header).replace('"', "[\"']")  # containerd 2 writes single ones
    pattern = re.compile(rf"^[ \t]*{either_quote}[ \t]*(#.*)?$", re.MULTILINE)
    found = pattern.search(text)
    old = re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
    if found:
        end = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, found.end())
        inside = text[found.end() : end.start() if end else len(text)]
        replaced = old.sub(line, inside) if old.search(inside) else f"\n{line}{inside}"
        after = text[: found.end()] + replaced + (text[end.start() :] if end else "")
    else:
        start = text if text.strip() else f"version = {version}\n"
        after = f"{start.rstrip()}\n\n{header}\n{line}\n"
    _same_but(text, after, header, key, value)
    return after


def _same_but(before: str, after: str, header: str, key: str, value: str) -> None:
    expected = tomllib.loads(before)
    table = expected
    for name in re.findall(r'"[^"]+"|[^."\[\]]+', header):
        table = table.setdefault(name.strip('"'), {})
    table[key] = value
    try:
        result = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        result = {}
    expected.setdefault("version", result.get("version"))
    if result != expected:
        raise Refused(
            f"{CONFIG} is written in a way that cannot be changed safely",
            f'set {key} = "{value}" in {header} by hand, then run this again',
        )


def _keys(version: int) -> list[str]:
    table = CRI_TABLE.get(version, CRI_TABLE[2])
    return [name.strip('"') for name in re.findall(r'"[^"]+"|[^."]+', table)]


def reload(facts: Facts) -> str:
    """Script: hosts.toml files need no restart, only a config.toml newer than the process does."""
    if not (facts.active and facts.cri):
        return ""
    return "\n".join(
        [
            f"if ! ({newer_than_start(CONFIG, 'containerd')}); then",
            restart("containerd"),
            poll("ctr version >/dev/null 2>&1", 60, "containerd does not answer"),
            "fi",
        ]
    )


def remove_namespace() -> str:
    """Script: take away the namespace of our pulls, which is empty once their images are."""
    return f"{command('ctr', 'namespaces', 'rm', NAMESPACE)} >/dev/null"


def pull_test(references: list[str], folder: str) -> str:
    """Script: pull each image by the cache's own address into a namespace that is removed again."""
    ctr = ["ctr", "-n", NAMESPACE]
    lines = []
    for image in references:
        lines += [
            f"echo '@progress containerd pulls {image}' >&2",
            f"{command(*ctr, 'images', 'pull', '--hosts-dir', folder, image)} >/dev/null",
            f"{command(*ctr, 'images', 'rm', '--sync', image)} >/dev/null",
        ]
    if lines:
        lines.append(remove_namespace())
    return "\n".join(lines)
