"""harbor.service starts Harbor in order at boot, through the same wrapper that everybody uses."""

from collections.abc import Mapping

from harbor import files, paths
from harbor.changes import Change, Run
from harbor.render import render, shipped
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output

NAME = "service"


def managed(settings: Settings) -> list[files.ManagedFile]:
    unit = render("harbor.service.j2", live_restore=settings.harbor.docker.live_restore)
    return [
        files.ManagedFile(
            paths.COMPOSE_WRAPPER, shipped("harbor-compose"), mode=0o755, shows="nothing"
        ),
        files.ManagedFile(paths.START, shipped("harbor-start"), mode=0o755, shows="nothing"),
        files.ManagedFile(paths.UNIT, unit),
    ]


def probe(settings: Settings) -> dict[str, str]:
    return {
        **{file.path: files.probe(file.path) for file in managed(settings)},
        "unit": "systemctl show -p UnitFileState -p NeedDaemonReload harbor.service",
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    changes: list[Change] = [*files.plan_all(managed(settings), facts)]
    unit = dict(line.split("=", 1) for line in facts.get("unit", NOT_READ).lines)
    enabled = unit.get("UnitFileState") == "enabled"
    if changes or not enabled or unit.get("NeedDaemonReload") == "yes":
        why = (
            "harbor.service is not enabled"
            if not enabled
            else "systemd has an older harbor.service"
        )
        changes.append(Run(why, "systemctl daemon-reload\nsystemctl enable harbor.service"))
    return changes
