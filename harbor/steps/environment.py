"""The compose override, and `.envrc` approved for root and harbor: the one source of the environment."""

import hashlib
from collections.abc import Mapping

from harbor import compose, files, paths
from harbor.acme import traefik as acme
from harbor.changes import Change, Run
from harbor.render import render, shipped
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, as_user, quote

NAME = "environment"
HOMES = {"root": "/root", paths.USER: f"/home/{paths.USER}"}


def envrc(settings: Settings) -> bytes:
    """`.envrc`, every value in single quotes, so that `$`, quotes and spaces survive."""
    traefik = settings.harbor.traefik
    values = {
        "TZ": settings.harbor.timezone,
        "RESTART": traefik.restart,
        "VERSION": traefik.version,
        "LOG": traefik.log_level,
        # What the provider cannot read from a file.
        **(acme.handed(settings).secrets if settings.harbor.acme else {}),
    }
    return render(
        "envrc.j2",
        values=values,
        config_digest=compose.CONFIG_DIGEST,
        edge_digest=compose.edge_digest(settings),
    )


def approval(home: str, content: bytes) -> str:
    """The file by which direnv remembers an approval: named by path and content (direnv 2.32)."""
    digest = hashlib.sha256(f"{paths.ENVRC}\n".encode() + content).hexdigest()
    return f"{home}/.local/share/direnv/allow/{digest}"


def managed(settings: Settings) -> list[files.ManagedFile]:
    own = (paths.USER, paths.USER)
    return [
        *(_acme_files(settings) if settings.harbor.acme else []),
        files.ManagedFile(paths.OVERRIDE, compose.override(settings), *own),
        files.ManagedFile(paths.ENVRC, envrc(settings), *own, 0o600, "masked"),
        files.ManagedFile(paths.PROFILE, shipped("harbor-direnv.sh"), shows="nothing"),
    ]


def _acme_files(settings: Settings) -> list[files.ManagedFile]:
    """What Traefik reads from files, so that `docker inspect` shows no secret."""
    found = {name: s.reveal().encode() for name, s in acme.handed(settings).files.items()}
    if settings.certificates.acme_bundle:
        found[acme.BUNDLE] = settings.certificates.acme_bundle
    return [
        files.ManagedFile(
            f"{acme.FOLDER}/{name}", content, paths.USER, paths.USER, 0o600, "nothing"
        )
        for name, content in found.items()
    ]


def probe(settings: Settings) -> dict[str, str]:
    content = envrc(settings)
    approvals = " && ".join(f"[ -e {quote(approval(h, content))} ]" for h in HOMES.values())
    return {
        **{file.path: files.probe(file.path) for file in managed(settings)},
        "approved": approvals,
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    changes: list[Change] = [*files.plan_all(managed(settings), facts)]
    if not facts.get("approved", NOT_READ).ok:
        allow = [
            as_user(user, "env", f"HOME={home}", "direnv", "allow", paths.ENVRC)
            for user, home in HOMES.items()
        ]
        # `direnv allow` only ever approves the content that lies there now.
        changes.append(Run("direnv: .envrc is not approved as it is", "\n".join(allow)))
    return changes
