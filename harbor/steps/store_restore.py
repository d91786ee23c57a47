"""Nothing that the copy of the certificate store has is missing or damaged in the store."""

from collections.abc import Mapping

from harbor import paths, store
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, quote

NAME = "store"


def probe(settings: Settings) -> dict[str, str]:
    found = quote(store.folder(settings))
    return {
        "store": store.probe(store.folder(settings)),
        "copy": store.probe(paths.STORE_COPY),
        "too open": f"cd {found} && {store.TOO_OPEN}",
        "folder": f"stat -c '%d:%i' {found}",
        # A folder that was deleted and made again is another one: a container keeps the old.
        "mounted": "pid=$(timeout 20 docker inspect -f '{{.State.Pid}}' traefik) && "
        '[ "$pid" != 0 ] && stat -L -c \'%d:%i\' "/proc/$pid/root/certs"',
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    lost = store.lost(
        store.parse(facts.get("store", NOT_READ)), store.parse(facts.get("copy", NOT_READ))
    )
    changes: list[Change] = []
    if lost:
        listed = ", ".join(f"{path} ({what})" for path, what in lost.items())
        script = store.copy_files(paths.STORE_COPY, store.folder(settings), list(lost))
        if any(path.startswith("acme") for path in lost):
            script += f"\n{store.RELOAD}"  # else Traefik goes on without what it could not read
        changes.append(Run(f"put back from the copy of the certificate store: {listed}", script))
    if opened := facts.get("too open", NOT_READ).lines:
        close = command("chmod", "600", *(f"{store.folder(settings)}/{path}" for path in opened))
        why = f"Traefik refuses a store that others can read: {', '.join(opened)}"
        changes.append(Run(why, f"{close}\n{store.RELOAD}"))
    if settings.harbor.with_traefik and detached(facts):
        why = "traefik still has the deleted folder of the certificate store"
        changes.append(Run(why, command("docker", "restart", "traefik")))
    return changes


def detached(facts: Mapping[str, Output]) -> bool:
    """Whether Traefik runs with another folder than the one that lies there now."""
    mounted = facts.get("mounted", NOT_READ)
    return mounted.ok and mounted.text != facts.get("folder", NOT_READ).text
