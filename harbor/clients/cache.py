"""A cache as its clients see it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from harbor import mirrors
from harbor.settings import MIRRORS, HarborSettings

# Where a client goes for an upstream when no mirror is configured (distribution, reference).
ORIGIN_SERVERS = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Upstream:
    """One upstream: its proxy project, and the mirror name (with port) that leads there, if any."""

    origin: str
    project: str
    mirror: str = ""
    test_image: str = ""

    @property
    def server(self) -> str:
        """The registry's own address."""
        return ORIGIN_SERVERS.get(self.origin, self.origin)


@dataclass(frozen=True)
class Cache:
    """Harbor's address as clients write it, the PEM certificates they must trust, the upstreams.

    `ca` is empty where every client trusts the certificate already.
    """

    host: str
    upstreams: tuple[Upstream, ...]
    ca: bytes = field(default=b"", repr=False)

    @property
    def hosts(self) -> list[str]:
        """Every address (with port, if any) that clients meet by TLS."""
        return [self.host, *(u.mirror for u in self.upstreams if u.mirror)]

    def location(self, upstream: Upstream) -> str:
        """What stands in an image's name instead of the upstream; it needs no runtime's help."""
        return upstream.mirror or f"{self.host}/{upstream.project}"

    def base_url(self, upstream: Upstream) -> str:
        """The registry API's root for this upstream, `/v2` and the project included if need be."""
        if upstream.mirror:
            return f"https://{upstream.mirror}"
        return f"https://{self.host}/v2/{upstream.project}"

    def test_references(self) -> list[str]:
        """Images whose pull needs the cache itself: no fall-back can answer for it."""
        return [f"{self.location(u)}/{u.test_image}" for u in self.upstreams if u.test_image]


def of(harbor: HarborSettings, ca: bytes, projects: Iterable[str]) -> Cache:
    """The cache of these settings; upstreams without one of `projects` are left out."""
    there = set(projects)
    by_name = {mirror.upstream: mirror.host for mirror in mirrors.served(harbor)}
    upstreams = [
        Upstream(
            origin,
            mirrors.project_of(harbor, origin),
            by_name.get(origin, ""),
            mirror.test_image or (MIRRORS[origin].test_image if origin in MIRRORS else ""),
        )
        for origin, mirror in harbor.mirrors.items()
    ]
    host = harbor.url.split("://")[1]
    return Cache(host, tuple(u for u in upstreams if u.project in there), ca)


def all_projects(harbor: HarborSettings) -> list[str]:
    """The proxy projects that the settings speak of, whether Harbor has them or not."""
    return [mirrors.project_of(harbor, origin) for origin in harbor.mirrors]
