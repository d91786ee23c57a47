"""Docker Engine and compose are installed, enabled and running, with the chosen daemon.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor import daemon, files, paths
from harbor.changes import Change, Run, WriteFile
from harbor.errors import Refused
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, forget_failure, quote, started

NAME = "docker"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq"
REDHAT_CAS = "/etc/pki/tls/certs/ca-bundle.crt"
TOOLS = ("ca-certificates", "curl", "direnv", "git", "openssl")
LOADED_STAMP = f"{paths.STATE}/daemon.json.sha256"
DISTRIBUTION_PACKAGES = {
    "bookworm": ("docker.io", "docker-compose"),
    "trixie": ("docker.io", "docker-cli", "docker-compose"),
    "forky": ("docker.io", "docker-cli", "docker-compose"),
    "jammy": ("docker.io", "docker-compose-v2"),
    "noble": ("docker.io", "docker-compose-v2"),
}
DOCKER_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin")
# The fingerprint of the key that signs Docker's repositories (Docker's install documentation).
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
DOCKER_REPOSITORY = "https://download.docker.com/linux"


@dataclass(frozen=True)
class Facts:
    system: str
    codename: str
    missing_tools: tuple[str, ...]
    has_apt: bool
    installed: bool
    half_installed: bool
    engine: str
    compose: str
    enabled: bool
    active: bool
    live_restore: bool
    logging_driver: str
    daemon_json: Output
    loaded: bool


def probe(settings: Settings) -> dict[str, str]:
    loaded = (
        f"[ ! -e {paths.DAEMON_JSON} ] && exit 0; s=$(sha256sum < {paths.DAEMON_JSON}); "
        f'[ "$s" = "$(cat {LOADED_STAMP} 2>/dev/null)" ] && exit 0; '
        f"{started('docker')} && "
        f'[ "$(stat -c %Y {paths.DAEMON_JSON})" -le "$started" ]'
    )
    return {
        "os": '. /etc/os-release; echo "$ID" "${VERSION_CODENAME:-}"',
        "tools": f"for t in {' '.join(TOOLS)}; do dpkg-query -W -f '${{Status}}' \"$t\" 2>/dev/null "
        '| grep -q "ok installed" || command -v "$t" >/dev/null '
        f'|| {{ [ "$t" = ca-certificates ] && [ -e {REDHAT_CAS} ]; }} || echo "$t"; done',
        "apt": "command -v apt-get",
        "installed": "command -v dockerd",
        # Where apt was cut off, the engine lies there half configured.
        "half": "systemctl is-active -q docker || dpkg --audit",
        "engine": "timeout 20 docker version --format '{{.Server.Version}}'",
        "compose": "docker compose version --short || dpkg-query -W -f '${Version}' docker-compose"
        " || docker-compose version --short",
        "enabled": "systemctl is-enabled docker",
        "active": "systemctl is-active docker",
        "info": "timeout 20 docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}'",
        "daemon.json": files.probe(paths.DAEMON_JSON),
        "loaded": loaded,
    }


def parse(facts: Mapping[str, Output]) -> Facts:
    def get(key: str) -> Output:
        return facts.get(key, NOT_READ)

    system = [*get("os").text.split(), "", ""]
    info = [*get("info").text.split(), "", ""]
    return Facts(
        system=system[0],
        codename=system[1],
        missing_tools=tuple(get("tools").lines),
        has_apt=get("apt").ok,
        installed=get("installed").ok,
        half_installed=bool(get("half").text),
        engine=get("engine").text if get("engine").ok else "",
        compose=get("compose").text if get("compose").ok else "",
        enabled=get("enabled").text == "enabled",
        active=get("active").text == "active",
        live_restore=info[0] == "true",
        logging_driver=info[1],
        daemon_json=get("daemon.json"),
        loaded=get("loaded").ok,
    )


def plan(settings: Settings, outputs: Mapping[str, Output]) -> list[Change]:
    facts = parse(outputs)
    wanted = _merged(settings, facts.daemon_json)
    daemon_json = files.plan(wanted, facts.daemon_json)
    return [
        # Before the packages: an engine that starts for the first time reads it at once.
        *([_folder()] if daemon_json and not facts.daemon_json.ok else []),
        *daemon_json,
        *_packages(settings, facts),
        *_running(facts),
        *_loaded(settings, facts, daemon_json),
    ]


def _folder() -> Change:
    return Run("/etc/docker is needed", command("install", "-d", "-m", "0755", "/etc/docker"))


def daemon_settings(settings: Settings) -> dict[str, Any]:
    """What we want in daemon.json; every other key there belongs to somebody else."""
    docker = settings.harbor.docker
    return {
        "live-restore": docker.live_restore,
        "log-driver": "json-file",
        "log-opts": {"max-size": docker.log_max_size, "max-file": str(docker.log_max_files)},
    }


def _merged(settings: Settings, found: Output) -> files.ManagedFile:
    current = daemon.parse(files.content(found))
    wanted = daemon_settings(settings)
    if current.get("log-driver", "json-file") != "json-file":
        # Somebody chose where logs go: rotation of files is then not ours to set.
        del wanted["log-driver"], wanted["log-opts"]
    merged = {**current, **wanted}
    if "log-opts" in wanted:
        merged["log-opts"] = {**current.get("log-opts", {}), **wanted["log-opts"]}
    if merged == current:
        content = files.content(found)
    else:
        content = (json.dumps(merged, indent=2, sort_keys=True) + "\n").encode()
    return files.keeping(paths.DAEMON_JSON, content, found)


def _packages(settings: Settings, facts: Facts) -> list[Change]:
    source = settings.harbor.docker.source
    wanted = list(facts.missing_tools)
    repository = ""
    # An engine that only does not run is started, never installed over.
    if not facts.installed or not facts.compose:
        if source == "present":
            raise Refused(
                "docker.source is `present`, but no engine with compose was found",
                "install them, or set docker.source: distribution",
            )
        if source == "docker":
            wanted += DOCKER_PACKAGES
            repository = _docker_repository(facts)
        else:
            wanted += _distribution_packages(facts)
    if not wanted and not facts.half_installed:
        return []
    if not facts.has_apt:
        raise Refused(
            f"the host lacks {', '.join(wanted)}, and has no apt-get to install it with",
            "install it there, then run this again",
        )
    script = "\n".join(
        [
            # A run that was cut off leaves dpkg half configured, and apt then refuses to work.
            "dpkg --configure -a",
            f"{APT} update",
            repository,
            *([f"{APT} install -y --no-install-recommends {' '.join(wanted)}"] if wanted else []),
        ]
    )
    why = f"not installed: {', '.join(wanted)}" if wanted else "installed by half: dpkg --audit"
    return [Run(why, script, timeout=1800)]


def _distribution_packages(facts: Facts) -> tuple[str, ...]:
    packages = DISTRIBUTION_PACKAGES.get(facts.codename)
    if packages is None:
        known = ", ".join(sorted(DISTRIBUTION_PACKAGES))
        raise Refused(
            f"no docker packages known for {facts.system} {facts.codename} (known: {known})",
            "install engine and compose yourself and set docker.source: present",
        )
    return packages


def _docker_repository(facts: Facts) -> str:
    key, armored = "/etc/apt/keyrings/docker.gpg", f"{paths.STATE}/docker.asc"
    url = f"{DOCKER_REPOSITORY}/{facts.system}"
    line = f"deb [arch=amd64 signed-by={key}] {url} {facts.codename} stable"
    return "\n".join(
        [
            f"{APT} install -y --no-install-recommends ca-certificates curl gpg",
            "install -d -m 0755 /etc/apt/keyrings",
            command("curl", "-fsSL", "-o", armored, f"{url}/gpg"),
            f"gpg --batch --show-keys --with-colons {armored} | grep -q '^fpr:*{DOCKER_KEY}:' || {{",
            f"    echo '{url}/gpg is not the key {DOCKER_KEY}: not trusted' >&2",
            "    exit 1",
            "}",
            f"gpg --batch --yes --dearmor -o {key} {armored}",
            f"echo {quote(line)} > /etc/apt/sources.list.d/docker.list",
            f"{APT} update",
        ]
    )


def _running(facts: Facts) -> list[Change]:
    if facts.enabled and facts.active and facts.engine:
        return []
    state = "not enabled" if not facts.enabled else "not running"
    script = f"{forget_failure('docker')}\nsystemctl enable --now docker"
    return [Run(f"docker is {state}", f"{script}\n{_mark_loaded()}")]


def _loaded(settings: Settings, facts: Facts, written: list[WriteFile]) -> list[Change]:
    if not facts.engine:
        return []  # it starts with the file as it is now
    wanted = daemon_settings(settings)
    if (written and _restart_needed(wanted, facts)) or not (written or facts.loaded):
        how = "restart"
    elif written or facts.live_restore != wanted["live-restore"]:
        how = "reload"
    else:
        return []
    script = f"{forget_failure('docker')}\nsystemctl {how} docker\n{_mark_loaded()}"
    return [Run(f"the engine runs without the present daemon.json: {how} it", script)]


def _restart_needed(wanted: dict[str, Any], facts: Facts) -> bool:
    """Only a new log driver or rotation needs a restart; live-restore is reloaded."""
    before = daemon.parse(files.content(facts.daemon_json))
    options = before.get("log-opts", {})
    return before.get("log-driver", "json-file") == "json-file" and any(
        options.get(key) != value for key, value in wanted["log-opts"].items()
    )


def _mark_loaded() -> str:
    return f"sha256sum < {paths.DAEMON_JSON} > {LOADED_STAMP}"
