"""Every service runs, created from exactly what lies on disk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harbor import compose, paths
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, await_start, command, forget_failure

NAME = "stack"
# The temporary name that compose gives to one of two while it makes a container anew.
CUT_OFF = re.compile(r"[0-9a-f]{12}_")
# A start that a boot began may have read an older configuration: what it made is brought up to date.
# What compose said stands in the journal; systemctl says only that it failed.
START_UNIT = f"""{await_start("harbor.service")}
{forget_failure("harbor.service")}
if systemctl -q is-active harbor.service; then
    {paths.START}
else
    systemctl start harbor.service || {{
        journalctl -u harbor.service -n 15 --no-pager -o cat >&2
        exit 1
    }}
fi"""


@dataclass(frozen=True)
class Container:
    service: str
    name: str
    state: str  # running, exited, restarting, ...
    status: str  # docker's own words, with the health in brackets
    config: str
    edge: str
    image: str

    @property
    def healthy(self) -> bool:
        """Running, and healthy where the image has a health check."""
        return self.state == "running" and not (
            "unhealthy" in self.status or "starting" in self.status
        )


def probe(settings: Settings) -> dict[str, str]:
    fields = [
        '{{.Label "com.docker.compose.service"}}',
        "{{.Names}}",
        "{{.State}}",
        "{{.Status}}",
        f'{{{{.Label "{compose.CONFIG_LABEL}"}}}}',
        f'{{{{.Label "{compose.EDGE_LABEL}"}}}}',
        "{{.Image}}",
    ]
    row = "\t".join(fields)
    return {
        "containers": "timeout 20 docker ps -a "
        f"--filter label=com.docker.compose.project={paths.PROJECT} --format '{row}'",
        "config": f"cd {paths.INSTALL} && {compose.CONFIG_DIGEST}",
        "edge": f"cd {paths.INSTALL} && {compose.edge_digest(settings)}",
        "unit": "systemctl is-active harbor.service",
    }


def containers(facts: Mapping[str, Output]) -> list[Container]:
    """All containers of the project, one-off ones included."""
    rows = (line.split("\t") for line in facts.get("containers", NOT_READ).lines)
    return [Container(*row) for row in rows if len(row) == 7]


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    reasons = _reasons(settings, facts)
    if facts.get("unit", NOT_READ).text != "active":
        why = "; ".join(["harbor.service is not active", *reasons])
        return [Run(why, START_UNIT, 1200)]
    return [Run("; ".join(reasons), _start(settings, facts), 1200)] if reasons else []


def _start(settings: Settings, facts: Mapping[str, Output]) -> str:
    """Start what is not there. Nginx looks up core and portal once: started anew, they may have
    other addresses, so a proxy that goes on running is restarted behind them.
    """
    running = {one.service for one in containers(facts) if one.state == "running"}
    if "proxy" not in running or {"core", "portal"} <= running:
        return paths.START
    return f"{paths.START}\n{command(paths.COMPOSE_WRAPPER, 'restart', 'proxy')}"


def _reasons(settings: Settings, facts: Mapping[str, Output]) -> list[str]:
    all_of_them = containers(facts)
    cut_off = sorted(one.name for one in all_of_them if CUT_OFF.match(one.name))
    found = {one.service: one for one in all_of_them if one.name not in cut_off}
    wanted = settings.harbor.containers
    config, edge = (facts.get(key, NOT_READ).text for key in ("config", "edge"))
    missing = sorted(set(wanted) - set(found))
    # One that docker is restarting needs a cure, not another start: health tells what it says.
    up = ("running", "restarting")
    stopped = sorted(s for s in wanted if s in found and found[s].state not in up)
    outdated = sorted(
        s for s in wanted if s in found and s != "traefik" and found[s].config != config
    )
    edge_service = compose.edge_service(settings)
    if edge_service in found and found[edge_service].edge != edge:
        outdated = sorted({*outdated, edge_service})
    groups = {
        "not there": missing,
        "not running": stopped,
        "created from an older configuration": outdated,
        "no longer wanted": sorted(set(found) - set(wanted)),
        "left by a recreation that was cut off": cut_off,
    }
    return [f"{what}: {', '.join(services)}" for what, services in groups.items() if services]
