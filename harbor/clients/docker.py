"""docker: certs.d for trust, `registry-mirrors` in daemon.json for use, merged, never replaced.

What each engine does with a mirror was seen on 20.10, 26.1 and 28.5 and read from moby's sources
for the others (registry/config.go; daemon/hosts.go from 28.0): a mirror at the root of a host name
works everywhere; one with a path is refused before 24.0.8, silently useless in the classic image store,
works in the containerd store of 25 to 27, and has to be a hosts.toml from 28 on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harbor import daemon, files, paths
from harbor.clients import containerd
from harbor.clients.cache import Cache, Upstream
from harbor.clients.part import Part, ca_files, newer_than_start, poll, restart
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output, command

NAME = "docker"
CERTS = "/etc/docker/certs.d"
INFO = "timeout 20 docker info --format '{{json .}}'"
CONTAINERD_STORE = "io.containerd.snapshotter.v1"
HOSTS_TOML_SINCE = (28, 0)
PATH_SINCE = (25, 0)
VALIDATE_SINCE = (23, 0)
BUILDKIT_DEFAULT_SINCE = (23, 0)
RELOAD_SECONDS = 15
START_SECONDS = 90


@dataclass(frozen=True)
class Facts:
    """The engine as it is; without `version` it does not run."""

    version: tuple[int, int]
    containerd_store: bool
    live_restore: bool
    running: int
    mirrors: tuple[str, ...]
    daemon_json: Output
    started_after_ca: bool
    started_after_mirrors: bool


def probe() -> dict[str, str]:
    from harbor.clients.system import NEWEST_CA

    return {
        "installed": "command -v dockerd",
        "info": INFO,
        "daemon.json": files.probe(paths.DAEMON_JSON),
        "ca": newer_than_start(f'"$({NEWEST_CA})"', "docker"),
        "mirrors": newer_than_start(paths.DAEMON_JSON, "docker"),
    }


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    if not outputs.get("installed", NOT_READ).ok:
        return None
    answer = outputs.get("info", NOT_READ)
    info: dict[str, Any] = json.loads(answer.text) if answer.ok else {}
    registry = info.get("RegistryConfig") or {}
    return Facts(
        version=_version(info.get("ServerVersion") or ""),
        containerd_store=any(CONTAINERD_STORE in pair for pair in info.get("DriverStatus") or []),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        running=int(info.get("ContainersRunning") or 0),
        mirrors=tuple(url.rstrip("/") for url in registry.get("Mirrors") or []),
        daemon_json=outputs.get("daemon.json", NOT_READ),
        started_after_ca=outputs.get("ca", NOT_READ).ok,
        started_after_mirrors=outputs.get("mirrors", NOT_READ).ok,
    )


def _version(text: str) -> tuple[int, int]:
    numbers = [int(n) for n in text.split(".")[:2] if n.isdecimal()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def needs_system_store(cache: Cache, facts: Facts) -> bool:
    """Whether certs.d is not enough: it is not read for the token service of the prefix form.

    Seen: BuildKit (the default builder from 23.0) and the containerd image store.
    """
    return facts.containerd_store or facts.version >= BUILDKIT_DEFAULT_SINCE


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    """certs.d is read at every request; only the containerd store may need the engine restarted."""
    wanted = ca_files(CERTS, cache.hosts, cache.ca)
    if not (cache.ca and facts.containerd_store) or facts.started_after_ca:
        return Part(NAME, wanted)
    if all(upstream.mirror for upstream in cache.upstreams):
        # Nothing is asked of the token service under a mirror name.
        return Part(NAME, wanted, notes=(f"until docker restarts, {cache.host}/… fails here",))
    harmless = facts.live_restore or facts.running == 0
    if options.restart == "never" or (options.restart == "safe" and not harmless):
        return Part(NAME, wanted, notes=(_not_restarted(facts),))
    why = "docker's containerd image store reads the system's CAs only when it starts: restart it"
    return Part(NAME, wanted, loaded=False, reload=restart_script(facts), reload_why=why)


def _not_restarted(facts: Facts) -> str:
    return (
        f"docker has to be restarted once and was not: {facts.running} containers run, and without "
        "live-restore they would stop; `--restart always` does it"
    )


def restart_script(facts: Facts) -> str:
    """Restart the engine and compare the running containers before and after."""
    return "\n".join(
        [
            "before=$(docker ps -q | wc -l)",
            restart("docker"),
            poll("timeout 20 docker info >/dev/null 2>&1", START_SECONDS, "docker does not answer"),
            "after=$(docker ps -q | wc -l)",
            'echo "@progress docker restarted: $before containers before, $after after" >&2',
            *(['[ "$after" -ge "$before" ]'] if facts.live_restore else []),
        ]
    )


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    """`registry-mirrors` with docker.io's address first, or why this engine cannot have it."""
    if not options.fallback:
        return Part(
            NAME,
            refused=Refused(
                "docker: cannot be kept from falling back to Docker Hub",
                "leave fallback: true for docker, or block the origin in the network",
            ),
        )
    try:
        urls = [_mirror_url(cache, u, facts) for u in cache.upstreams if u.origin == "docker.io"]
        wanted = _daemon_json(facts, cache, [url for url in urls if url])
    except Refused as error:
        return Part(NAME, refused=error)
    hosts_files = tuple(
        ManagedFile(
            f"{CERTS}/{u.origin}/hosts.toml", containerd.hosts_toml(cache, u, CERTS, options)
        )
        for u in cache.upstreams
        if _by_hosts_toml(u, facts)
    )
    expected = _mirrors_in(wanted.content)
    runs = facts.version > (0, 0)
    loaded = not runs or list(facts.mirrors) == expected
    return Part(
        NAME,
        (wanted, *hosts_files),
        check=_check(facts),
        loaded=loaded,
        reload=reload(facts),
        reload_why="the engine does not use the mirrors yet: reload it, no restart",
        confirm=_confirm(expected) if runs else "",
        test=pull_test(cache.test_references()) if runs else "",
        notes=tuple(_notes(cache, facts, started_with_them=loaded and facts.started_after_mirrors)),
    )


def reload(facts: Facts) -> str:
    """Script: the engine reads daemon.json again.

    It keeps its mirrors when the file stops naming any (moby, daemon/reload.go), so it is told
    once that there are none.
    """
    if facts.version == (0, 0):
        return ""
    aside = f"{paths.DAEMON_JSON}.harbor-cache"
    shown = "timeout 20 docker info --format '{{len .RegistryConfig.Mirrors}}'"
    return "\n".join(
        [
            f"if ! grep -qs registry-mirrors {paths.DAEMON_JSON}; then",
            f"  [ ! -e {paths.DAEMON_JSON} ] || mv -f {paths.DAEMON_JSON} {aside}",
            f"  echo '{{\"registry-mirrors\": []}}' > {paths.DAEMON_JSON}",
            "  systemctl reload docker",
            poll(f'[ "$({shown})" = 0 ]', RELOAD_SECONDS, "docker keeps its mirrors"),
            f"  if [ -e {aside} ]; then mv -f {aside} {paths.DAEMON_JSON}",
            f"  else rm -f {paths.DAEMON_JSON}; fi",
            "fi",
            "systemctl reload docker",
        ]
    )


def _mirror_url(cache: Cache, upstream: Upstream, facts: Facts) -> str:
    if upstream.mirror:
        return f"https://{upstream.mirror}"
    if facts.containerd_store and facts.version >= HOSTS_TOML_SINCE:
        return ""
    if facts.containerd_store and facts.version >= PATH_SINCE:
        return f"https://{cache.host}/{upstream.project}"
    store = "containerd" if facts.containerd_store else "classic"
    raise Refused(
        f"docker {'.'.join(map(str, facts.version))} ({store} image store): a mirror with a path is "
        "rejected or silently ignored",
        f"give the upstream a name of its own: harbor.mirrors.{upstream.origin}.name; or write "
        f"{cache.host}/{upstream.project}/… in image names (`fab rewrite`)",
    )


def is_mirrored(upstream: Upstream, facts: Facts) -> bool:
    """Whether plain names of this upstream go through the cache after `use`."""
    return upstream.origin == "docker.io" or _by_hosts_toml(upstream, facts)


def _by_hosts_toml(upstream: Upstream, facts: Facts) -> bool:
    if not facts.containerd_store or facts.version < HOSTS_TOML_SINCE:
        return False
    return upstream.origin != "docker.io" or not upstream.mirror


def _daemon_json(facts: Facts, cache: Cache, urls: list[str]) -> ManagedFile:
    content = files.content(facts.daemon_json)
    current = daemon.parse(content)
    others = [
        url
        for url in current.get("registry-mirrors", [])
        if urlsplit(url).netloc not in cache.hosts
    ]
    merged = {**current, "registry-mirrors": [*urls, *others]}
    if not merged["registry-mirrors"]:
        del merged["registry-mirrors"]
    if merged != current:
        content = (json.dumps(merged, indent=2) + "\n").encode()
    return files.keeping(paths.DAEMON_JSON, content, facts.daemon_json)


def _mirrors_in(content: bytes) -> list[str]:
    return [url.rstrip("/") for url in daemon.parse(content).get("registry-mirrors", [])]


def _check(facts: Facts) -> str:
    """`dockerd --validate` from 23.0 on; before it only the reload tells, and exits 0 always."""
    if facts.version < VALIDATE_SINCE:
        return ""
    return command("dockerd", "--validate", "--config-file", paths.DAEMON_JSON) + " >/dev/null"


def _confirm(expected: list[str]) -> str:
    shown = (
        "timeout 20 docker info --format '{{range .RegistryConfig.Mirrors}}{{println .}}{{end}}'"
    )
    same = f"[ \"$({shown} | sed '/^$/d; s|/$||')\" = {command(chr(10).join(expected))} ]"
    refused = "docker kept its old mirrors: the reload was refused (journalctl -u docker)"
    return poll(same, RELOAD_SECONDS, refused)


def pull_test(references: list[str]) -> str:
    """Script: pull each image by the cache's own address; one that was not here is removed again."""
    return "\n".join(
        line
        for image in references
        for line in (
            f"if {command('docker', 'image', 'inspect', image)} >/dev/null 2>&1; then had=yes; else had=; fi",
            f"echo '@progress docker pulls {image}' >&2",
            f"{command('docker', 'pull', '-q', image)} >/dev/null",
            f'[ -n "$had" ] || {command("docker", "rmi", image)} >/dev/null',
        )
    )


def _notes(cache: Cache, facts: Facts, *, started_with_them: bool) -> list[str]:
    found = ["docker falls back to Docker Hub in silence when the cache fails: `fab verify` tells"]
    others = [
        f"{u.origin} as {cache.location(u)}/…"
        for u in cache.upstreams
        if u.origin != "docker.io" and not _by_hosts_toml(u, facts)
    ]
    if others:
        found.append(f"docker mirrors Docker Hub only; write {', '.join(others)} (`fab rewrite`)")
    if (0, 0) < facts.version < BUILDKIT_DEFAULT_SINCE and not started_with_them:
        # Seen on 20.10: its BuildKit has the mirrors that the engine started with.
        found.append("builds with DOCKER_BUILDKIT=1 use the mirror after docker's next restart")
    if facts.version == (0, 0):
        found.append("docker does not run: it reads its files when it starts; nothing was tested")
    return found
