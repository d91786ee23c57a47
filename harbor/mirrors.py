"""Mirror names: one host name an upstream, which Traefik turns into that upstream's project.

A mirror at the root of a host name is the one form that every docker accepts: `registry-mirrors`
with a path is refused by Engine 20.10 and silently useless on 26.1. Two routers make one name:
a ping, which every client asks for first, and reads of one repository path. Nothing else under
the name has a route, so no other project, no API and no push can be reached through it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harbor.settings import HarborSettings

# The grammar of repository names and references (distribution, reference/regexp.go): no `..`, no
# encoded slash and no empty part can match, so a path cannot leave the project.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_DIGEST = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}"
REPOSITORY = rf"{_PART}(?:/{_PART})*"
_WHAT = rf"(?:manifests/(?:{_TAG}|{_DIGEST})|(?:blobs|referrers)/{_DIGEST}|tags/list)"
READ_PATH = rf"^/v2/{REPOSITORY}/{_WHAT}$"
PING_PRIORITY, READ_PRIORITY = 200, 100
# Harbor challenges only when the header is absent; a word without a scheme is served as
# anonymous, and it also replaces whatever login a client sends along.
ANONYMOUS = "anonymous"
PING = "mirror-ping"


@dataclass(frozen=True)
class MirrorName:
    """One upstream under a host name of its own; `host` is what clients write, port included."""

    upstream: str
    project: str
    name: str
    host: str

    @property
    def label(self) -> str:
        """The name of its routers: letters, digits and `-` only."""
        return "mirror-" + re.sub(r"[^a-z0-9]+", "-", self.upstream)


def project_of(harbor: HarborSettings, upstream: str) -> str:
    """The proxy project of an upstream: as given, as `configuration` binds it, or by its name."""
    given = harbor.mirrors[upstream].project
    return given or next(_bound_to(harbor, upstream), f"proxy.{upstream}")


def _bound_to(harbor: HarborSettings, upstream: str) -> Iterator[str]:
    registries = harbor.configuration.registries
    for name, project in harbor.configuration.projects.items():
        registry = registries.get(project.registry or "")
        if registry and registry.upstream == upstream:
            yield name


def served(harbor: HarborSettings) -> list[MirrorName]:
    """All mirror names of a Harbor."""
    port = harbor.url.split("://")[1].removeprefix(harbor.url_host)
    return [
        MirrorName(upstream, project_of(harbor, upstream), mirror.name, f"{mirror.name}{port}")
        for upstream, mirror in harbor.mirrors.items()
        if mirror.name
    ]


def names(harbor: HarborSettings) -> list[str]:
    """The host names that the certificate must carry besides Harbor's own."""
    return [mirror.name for mirror in served(harbor)]


def configuration(harbor: HarborSettings) -> dict[str, Any]:
    """Routers and middlewares as Traefik's file provider reads them; empty without a name."""
    # Where labels of Harbor's proxy define the service, it belongs to the docker provider.
    service = "harbor@docker" if harbor.traefik.provider == "docker" else "harbor"
    mirrors = served(harbor)
    if not mirrors:
        return {}
    middlewares: dict[str, Any] = {
        PING: {"replacePath": {"path": "/api/v2.0/ping"}},
        f"{PING}-version": {
            "headers": {
                "customResponseHeaders": {"Docker-Distribution-Api-Version": "registry/2.0"}
            }
        },
        "mirror-anonymous": {"headers": {"customRequestHeaders": {"Authorization": ANONYMOUS}}},
    }
    routers: dict[str, Any] = {}
    for mirror in mirrors:
        routers |= _routers(mirror, service)
        middlewares[mirror.label] = {
            "replacePathRegex": {
                "regex": "^/v2/(.+)",
                "replacement": f"/v2/{mirror.project}/$1",
            }
        }
    return {"routers": routers, "middlewares": middlewares}


def _routers(mirror: MirrorName, service: str) -> dict[str, Any]:
    host = f"Host(`{mirror.name}`)"
    read = "(Method(`GET`) || Method(`HEAD`))"
    return {
        f"{mirror.label}-ping": {
            "rule": f"{host} && {read} && Path(`/v2/`)",
            "priority": PING_PRIORITY,
            "middlewares": [PING, f"{PING}-version"],
            "entryPoints": ["https"],
            "service": service,
            "tls": {},
        },
        mirror.label: {
            "rule": f"{host} && {read} && PathRegexp(`{READ_PATH}`)",
            "priority": READ_PRIORITY,
            "middlewares": ["mirror-anonymous", mirror.label],
            "entryPoints": ["https"],
            "service": service,
            "tls": {},
        },
    }


def rendered(harbor: HarborSettings) -> bytes:
    """mirrors.yml for Traefik's folder of dynamic configuration, whichever its provider is.

    Not labels: a changed label means new containers and half a minute of 404, while this folder
    is watched.
    """
    found = configuration(harbor)
    text = json.dumps({"http": found}, indent=2) if found else "# No mirror has a name of its own."
    return f"# Rendered from hosts.yaml: a change made here is undone by the next deploy.\n{text}\n".encode()
