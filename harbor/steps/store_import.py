"""An acme.json of an installation made by hand is taken over, so that moving costs no order."""

from collections.abc import Mapping

from harbor import paths, store
from harbor.acme import traefik as acme
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, quote
from harbor.steps import tls

NAME = "store import"
VOLUME = "harbor_traefik_certs"  # of a compose file with `traefik_certs` in a folder `harbor`


def _found(settings: Settings) -> str:
    """Shell text: the path of the file to take over; it fails where there is none for this CA."""
    own = quote(acme.acme_of(settings).existing or "/nonexistent")
    host = acme.acme_of(settings).directory.split("/")[2]
    return (
        f"f={own}; [ -s \"$f\" ] || f=$(timeout 20 docker volume inspect -f '{{{{.Mountpoint}}}}' "
        f'{VOLUME})/acme.json; [ -s "$f" ] && tr -d "\\n" < "$f" | grep -q {quote(f"://{host}/")} '
        '&& tr -d "\\n" < "$f" | grep -q \'"certificate": *"[A-Za-z0-9]\' && printf "%s" "$f"'
    )


def probe(settings: Settings) -> dict[str, str]:
    if not settings.harbor.acme:
        return {}
    copied = tls.store_copy(settings)
    return {
        "there": f"[ -s {quote(tls.store_path(settings))} ] || [ -s {quote(copied)} ]",
        "found": _found(settings),
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    found = facts.get("found", NOT_READ)
    if not settings.harbor.acme or facts.get("there", NOT_READ).ok or not found.ok:
        return []
    staged = f"{store.folder(settings)}/.import.new"
    own = command("install", "-m", "0600", "-o", paths.USER, "-g", paths.USER, "/dev/null", staged)
    # Traefik looks under its resolver's name, which is the first key of the file.
    rename = f'sed \'0,/"[^"]*"/s//"{acme.RESOLVER}"/\' {quote(found.text)} > {quote(staged)}'
    move = command("mv", "-fT", staged, tls.store_path(settings))
    script = "\n".join([own, rename, command("sync", staged), move])
    return [Run(f"take over the certificates of {found.text}: no new order", script)]
