"""docker logged in to the cache, with a robot account of its own that may only pull."""

import json
from typing import Any

from harbor.clients.cache import Cache
from harbor.shell import Output, Secret, command, quote

CONFIG = "/root/.docker/config.json"
NEVER_EXPIRES = -1


def probe() -> str:
    """Snippet for `parse`: root's docker configuration."""
    return f"cat {CONFIG}"


def parse(found: Output) -> dict[str, Any]:
    """The configuration; empty where there is none, or none that can be read."""
    try:
        return dict(json.loads(found.text)) if found.ok else {}
    except (ValueError, TypeError):
        return {}


def logged_in(config: dict[str, Any], host: str) -> bool:
    return host in config.get("auths", {})


def keeps_in_clear(config: dict[str, Any], host: str) -> bool:
    """Whether docker will write the password into its file, base64 and no more."""
    return not config.get("credsStore") and host not in config.get("credHelpers", {})


def robot_name(client: str) -> str:
    """The account's name without Harbor's prefix."""
    return f"client-{client}"


def description(client: str) -> str:
    """What tells our account from others."""
    return f"docker on {client}, made by fab trust-cert --login"


def robot(client: str, cache: Cache) -> dict[str, Any]:
    """The account as Harbor's API wants it: of the system, pulling from the proxy projects only."""
    return {
        "name": robot_name(client),
        "description": description(client),
        "level": "system",
        "duration": NEVER_EXPIRES,
        "disable": False,
        "permissions": [
            {
                "kind": "project",
                "namespace": upstream.project,
                "access": [{"resource": "repository", "action": "pull"}],
            }
            for upstream in cache.upstreams
        ],
    }


def script(host: str, user: str, password: Secret) -> str:
    """Script: log in; the password goes by standard input, never on a command line."""
    login = command("docker", "login", host, "-u", user, "--password-stdin")
    return f"{login} >/dev/null <<'@end'\n{password.reveal()}\n@end"


def logout(host: str) -> str:
    """Script: also takes the password out of a credential helper; docker may be gone meanwhile."""
    return f"! command -v docker >/dev/null || docker logout {quote(host)} >/dev/null"
