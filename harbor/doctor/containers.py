"""Checks of the containers: what runs, from what, and how often it had to start."""

import datetime
import re

from harbor import paths, status, versions
from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.settings import Settings
from harbor.shell import command
from harbor.steps import docker, health, stack

OFTEN, RECENT_MINUTES = 3, 15
OLDEST_COMPOSE, WITHOUT_VERSION_LINE = (1, 18), (1, 27)
KEPT_LINES = "^[A-Za-z_]*(SECRET|PASSWORD|KEY)="
# Services that prepare gives the same secrets (make/photon/prepare, core, jobservice, registryctl).
SHARING = ("core", "jobservice", "registryctl")


def _health(settings: Settings, facts: Facts) -> Found:
    return [
        (ERROR, f"{name}: {reason}", f"fab start; fab logs --service {_service(settings, name)}")
        for name, reason in sorted(health.problems(settings, facts.answers).items())
    ]


def _service(settings: Settings, name: str) -> str:
    if name == "database":
        return "postgresql"
    return name if name in settings.harbor.containers else "core"


def _restarts_probe(_: Settings) -> dict[str, str]:
    return {"inspect": status.CONTAINERS, "time": "date -u +%Y-%m-%dT%H:%M:%S+00:00"}


def _restarts(settings: Settings, facts: Facts) -> Found:
    now = status.clock(facts.get("time"))
    return [
        (
            ERROR,
            f"{part.service} starts over and over ({part.restarts} times, {part.state})",
            f"fab logs --service {part.service} --since 10m",
        )
        for part in status.components(facts.get("inspect"))
        if part.state == "restarting" or (part.restarts >= OFTEN and _recent(part.since, now))
    ]


def _recent(since: str, now: datetime.datetime | None) -> bool:
    try:
        started = datetime.datetime.fromisoformat(since).replace(tzinfo=datetime.UTC)
    except ValueError:
        return False
    return now is not None and now - started < datetime.timedelta(minutes=RECENT_MINUTES)


def _secrets_probe(settings: Settings) -> dict[str, str]:
    lines = []
    for service in SHARING:
        shown = "{{range .Config.Env}}{{println .}}{{end}}"
        name = settings.harbor.containers[service]
        lines += [
            # Compared on the host: no secret leaves it.
            f"e=$({command('docker', 'inspect', '-f', shown, name)}) &&",
            f"grep -E '{KEPT_LINES}' {paths.CONFIG}/{service}/env | while IFS= read -r l; do",
            f'    case "$e" in *"$l"*) ;; *) echo {service}; break ;; esac',
            "done",
        ]
    return {"out of step": "\n".join(lines)}


def _secrets(settings: Settings, facts: Facts) -> Found:
    services = facts.lines("out of step")
    if not services:
        return []
    cause = (
        f"prepare wrote new secrets that {', '.join(services)} do not have yet: health says "
        "healthy, and pulls answer unauthorized"
    )
    return [(ERROR, cause, "fab deploy (makes the containers anew)")]


def _stale_probe(settings: Settings) -> dict[str, str]:
    return stack.probe(settings)


def _stale(settings: Settings, facts: Facts) -> Found:
    wanted = (facts.text("config"), facts.text("edge"))
    found = stack.containers(facts.answers)
    stale = sorted(
        one.service
        for one in found
        if one.config not in ("", wanted[0]) or one.edge not in ("", wanted[1])
    )
    if not stale or not all(wanted):
        return []
    cause = f"made from an older configuration than lies on disk: {', '.join(stale)}"
    return [(WARNING, cause, "fab start (makes them anew)")]


def _compose_probe(settings: Settings) -> dict[str, str]:
    return {"compose": docker.probe(settings)["compose"]}


def _compose(settings: Settings, facts: Facts) -> Found:
    found = facts.text("compose").removeprefix("v")
    if not facts.get("compose").ok or not found:
        return [(ERROR, "no docker compose on this host", "fab deploy")]
    parts = found.replace("-", ".").split(".")
    number = tuple(int(part) for part in parts[:2] if part.isdecimal())
    no_version = versions.compose_file_version(settings.harbor.release_version) is None
    needed = WITHOUT_VERSION_LINE if no_version else OLDEST_COMPOSE
    if number >= needed:
        return []
    cause = f"compose {found} cannot read the file of Harbor {settings.harbor.version}"
    return [(ERROR, cause, "install the compose plugin: apt-get install docker-compose-plugin")]


def _socket_probe(_: Settings) -> dict[str, str]:
    form = "{{.Name}}{{range .Mounts}} {{.Source}}{{end}}"
    return {
        "socket": "stat -L -c '%a %U:%G' /var/run/docker.sock",
        "published": "docker ps --format '{{.Ports}}'",
        "tcp": "ss -ltnpH | grep -F '\"dockerd\"' | awk '{print $4}'",
        "socket users": "docker ps -q | xargs -r docker inspect -f "
        f"'{form}' | grep -F docker.sock | cut -d' ' -f1",
    }


def _socket(settings: Settings, facts: Facts) -> Found:
    found = []
    mode = facts.text("socket").split(" ")[0]
    if mode and int(mode, 8) & 0o006:
        cause = f"everybody on the host may use docker.sock (mode {mode}), which makes him root"
        found.append((ERROR, cause, "chmod 660 /var/run/docker.sock"))
    # With `userland-proxy: false` the engine itself holds the ports of the containers.
    published = set(re.findall(r":(\d+)", facts.text("published")))
    exposed = [one for one in facts.lines("tcp") if one.rpartition(":")[2] not in published]
    if exposed:
        cause = f"the engine listens on {', '.join(exposed)}"
        cure = f"remove that address from `hosts` in {paths.DAEMON_JSON}, or require client certificates"
        found.append((ERROR, cause, cure))
    allowed = {"/traefik"} if settings.harbor.traefik.provider == "docker" else set()
    others = sorted(set(facts.lines("socket users")) - allowed)
    if others:
        cause = f"docker.sock is mounted in {', '.join(name.lstrip('/') for name in others)}"
        cure = (
            "for Traefik: provider: file in the inventory needs no socket; else remove that mount"
        )
        found.append((WARNING, cause, cure))
    return found


CHECKS = (
    Check("health", "Do all components say that they are well?", health.probe, _health),
    Check("restarts", "Does a container start over and over?", _restarts_probe, _restarts),
    Check(
        "secrets in step", "Do containers have prepare's last secrets?", _secrets_probe, _secrets
    ),
    Check("configuration in step", "Do containers have what lies on disk?", _stale_probe, _stale),
    Check("compose version", "Can compose read this release's file?", _compose_probe, _compose),
    Check("docker.sock", "Who may command the engine?", _socket_probe, _socket),
)
