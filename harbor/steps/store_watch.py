"""The host itself copies the certificate store, and counts, whenever Traefik has written it."""

from collections.abc import Mapping

from harbor import files, paths, store
from harbor.acme import traefik as acme
from harbor.changes import Change, Run
from harbor.render import render, shipped
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command

NAME = "store watch"
UNIT = "harbor-certificates.path"


def managed(settings: Settings) -> list[files.ManagedFile]:
    keep = render(
        "harbor-keep-certificates.j2",
        store=store.folder(settings),
        copy=paths.STORE_COPY,
        backups=paths.BACKUPS,
        state=paths.STATE,
        orders=paths.ORDERS,
        list=store.LIST.strip(),
    )
    file = acme.store_file(acme.acme_of(settings).directory)
    watch = render("harbor-certificates.path.j2", store=store.folder(settings), file=file)
    return [
        files.ManagedFile(paths.KEEP, keep, mode=0o755, shows="nothing"),
        files.ManagedFile(paths.KEEP_UNIT, shipped("harbor-certificates.service")),
        files.ManagedFile(paths.KEEP_PATH, watch),
    ]


def probe(settings: Settings) -> dict[str, str]:
    active = {"active": f"systemctl is-active {UNIT}", "enabled": f"systemctl is-enabled {UNIT}"}
    if not settings.harbor.acme:
        return active
    return {**active, **{file.path: files.probe(file.path) for file in managed(settings)}}


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    active, enabled = (facts.get(key, NOT_READ).ok for key in ("active", "enabled"))
    if not settings.harbor.acme:
        off = command("systemctl", "disable", "--now", UNIT)
        return [Run("no store of Traefik's to watch: stop watching", off)] if active else []
    changes: list[Change] = [*files.plan_all(managed(settings), facts)]
    if changes or not (active and enabled):
        on = f"systemctl daemon-reload\nsystemctl enable {UNIT}\nsystemctl restart {UNIT}"
        changes.append(Run(f"{UNIT} does not watch the store as it should", on))
    return changes
