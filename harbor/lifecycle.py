"""Stopping Harbor so that what systemd believes and what runs never differ."""

from collections.abc import Mapping

from harbor import paths
from harbor.changes import Change, Run
from harbor.errors import Refused
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, forget_failure
from harbor.steps import stack

STOP_SECONDS = 400
UNIT = "systemctl show -p LoadState -p ActiveState harbor.service"


def probe(settings: Settings) -> dict[str, str]:
    return {
        "containers": stack.probe(settings)["containers"],
        "state": UNIT,
        "compose": f"[ -s {paths.COMPOSE} ] && [ -x {paths.COMPOSE_WRAPPER} ]",
    }


def must_be_installed(facts: Mapping[str, Output]) -> None:
    """Raise Refused where nothing was deployed yet."""
    if not facts.get("compose", NOT_READ).ok:
        raise Refused("Harbor is not installed here", "`fab deploy` installs it")


def stop(facts: Mapping[str, Output]) -> list[Change]:
    """The next thing to stop: the unit where it is active, then what still runs. Volumes stay."""
    unit = dict(line.split("=", 1) for line in facts.get("state", NOT_READ).lines)
    if unit.get("LoadState") == "loaded" and unit.get("ActiveState") != "inactive":
        script = f"systemctl stop harbor.service\n{forget_failure('harbor.service')}"
        return [Run(f"harbor.service is {unit['ActiveState']}: stop it", script, STOP_SECONDS)]
    names = sorted(container.name for container in stack.containers(facts))
    if not names:
        return []
    script = command(paths.COMPOSE_WRAPPER, "down", "--remove-orphans")
    return [Run(f"remove the containers {', '.join(names)}", script, STOP_SECONDS)]


def restart(service: str) -> Run:
    """Restart one service in place; its container stays the same."""
    return Run(f"restart {service}", command(paths.COMPOSE_WRAPPER, "restart", service), 300)


def execute(service: str, argv: list[str]) -> str:
    """Shell text that runs `argv` in a service's container, without a terminal."""
    quiet = "DIRENV_LOG_FORMAT="  # else direnv's own lines stand among the program's
    return command("env", quiet, paths.COMPOSE_WRAPPER, "exec", "-T", service, *argv)
