"""The copy of the certificate store has every whole file of the store as it is now."""

from collections.abc import Mapping

from harbor import paths, store
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command

NAME = "store copy"


def probe(settings: Settings) -> dict[str, str]:
    return {
        "store": store.probe(store.folder(settings)),
        "copy": store.probe(paths.STORE_COPY),
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    wanted = store.outdated(
        store.parse(facts.get("store", NOT_READ)), store.parse(facts.get("copy", NOT_READ))
    )
    return [backup(settings, wanted)] if wanted else []


def backup(settings: Settings, wanted: list[str]) -> Run:
    """Copy these files of the store. A damaged or missing one never replaces its copy."""
    if settings.harbor.acme:  # the host's own script, which also counts, and waits for itself
        return Run(f"copy of the certificate store: new {', '.join(wanted)}", paths.KEEP)
    script = "\n".join(
        [
            command("install", "-d", "-m", "0700", paths.BACKUPS, paths.STORE_COPY),
            store.copy_files(store.folder(settings), paths.STORE_COPY, wanted),
        ]
    )
    return Run(f"copy of the certificate store: new {', '.join(wanted)}", script)
