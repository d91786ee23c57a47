"""The user `harbor` is 10000:10000 and in group docker; its folders exist and belong to it."""

from collections.abc import Mapping

from harbor import paths
from harbor.acme import traefik as acme
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, quote

NAME = "user"


def folders(settings: Settings) -> dict[str, str]:
    """Path -> `owner:group mode` of the folders that everything else stands in."""
    own = f"{paths.USER}:{paths.USER}"
    data = settings.harbor.data_volume
    secrets = {acme.FOLDER: f"{own} 700"} if settings.harbor.acme else {}
    return {
        paths.INSTALL: f"{own} 755",
        data: f"{own} 755",
        paths.certificates(data): f"{own} 700",
        f"{paths.certificates(data)}/own": f"{own} 700",
        f"{data}/ca_download": f"{own} 755",
        paths.TRAEFIK_DYNAMIC: f"{own} 755",
        **secrets,
    }


def probe(settings: Settings) -> dict[str, str]:
    return {
        "ids": f"id -u {paths.USER} && id -g {paths.USER} && id -nG {paths.USER}",
        **{path: f"stat -c '%U:%G %a' {quote(path)}" for path in folders(settings)},
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    return [
        *_account(facts.get("ids", NOT_READ)),
        *(
            change
            for path, wanted in folders(settings).items()
            for change in _folder(path, wanted, facts.get(path, NOT_READ))
        ),
    ]


def _account(ids: Output) -> list[Change]:
    if not ids.ok:
        script = "\n".join(
            [
                f"getent group {paths.USER} >/dev/null || groupadd -g {paths.UID} {paths.USER}",
                f"useradd -m -s /bin/bash -u {paths.UID} -g {paths.USER} -G docker {paths.USER}",
            ]
        )
        return [Run(f"user {paths.USER} is missing", script)]
    if "docker" not in ids.lines[-1].split():
        add = command("usermod", "-aG", "docker", paths.USER)
        return [Run(f"user {paths.USER} is not in group docker", add)]
    return []


def _folder(path: str, wanted: str, found: Output) -> list[Change]:
    # Harbor's containers need to pass through, whoever the folder belongs to.
    if found.text == wanted or (wanted.endswith(" 755") and found.text == "root:root 755"):
        return []
    owner, mode = wanted.split()
    user, group = owner.split(":")
    reason = f"is {found.text}, not {wanted}" if found.ok else "is missing"
    return [
        Run(
            f"{path}: {reason}", command("install", "-d", "-o", user, "-g", group, "-m", mode, path)
        )
    ]
