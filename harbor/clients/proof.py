"""Whether a pull came through the cache, and whether the cache had it.

Harbor's own log of requests tells the first: a client that fell back to the origin in silence
leaves no line there. A HEAD of a blob tells the second, without a side effect: 200 is local, 404 is
not (seen on Harbor 2.7.4). `pull_time` and the counters of pulls tell neither.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harbor.clients import served
from harbor.clients.cache import Cache
from harbor.clients.images import MANIFEST_TYPES
from harbor.mirrors import ANONYMOUS
from harbor.settings import Settings
from harbor.shell import command, quote
from harbor.steps import tls

# nginx's combined format: request, status, bytes, referrer, user agent.
LINE = re.compile(r'"(GET|HEAD) (\S+) HTTP/[\d.]+" (\d{3}) (\d+) "[^"]*" "([^"]*)"')
OURSELVES = "curl/"
HUB_ANONYMOUS = (
    "https://auth.docker.io/token?service=registry.docker.io"
    "&scope=repository:ratelimitpreview/test:pull"
)
HUB_TEST = "https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest"


@dataclass(frozen=True)
class Evidence:
    """What Harbor's log shows of one image in a span of time, our own questions left out."""

    manifests: int = 0
    blobs: int = 0
    bytes: int = 0

    @property
    def seen(self) -> bool:
        return self.manifests > 0


def evidence(log: str, project: str, repository: str) -> Evidence:
    """The requests for one repository in lines of Harbor's proxy.log."""
    start = f"/v2/{project}/{repository}/"
    found = [
        (path.removeprefix(start), int(size))
        for _, path, status, size, agent in LINE.findall(log)
        if path.startswith(start) and status < "400" and not agent.startswith(OURSELVES)
    ]
    manifests = sum(path.startswith("manifests/") for path, _ in found)
    blobs = [size for path, size in found if path.startswith("blobs/")]
    return Evidence(manifests, len(blobs), sum(blobs))


def log_size(settings: Settings) -> str:
    """Snippet: where Harbor's log of requests ends now."""
    return f"stat -c %s {quote(_log(settings))}"


def log_since(settings: Settings, offset: int) -> str:
    """Snippet: the log from there on."""
    return f"tail -c +{offset + 1} {quote(_log(settings))}"


def _log(settings: Settings) -> str:
    return f"{settings.harbor.log.location}/proxy.log"


def get_manifest(settings: Settings, cache: Cache, project: str, path: str, reference: str) -> str:
    """Snippet for the Harbor host: a manifest through the cache, as a client would get it."""
    accept = f"Accept: {', '.join(MANIFEST_TYPES)}"
    return _curl(
        settings, cache, f"/v2/{project}/{path}/manifests/{reference}", "-fsS", "-H", accept
    )


def heads(
    settings: Settings, cache: Cache, project: str, path: str, digests: Iterable[str]
) -> dict[str, str]:
    """Snippets for the Harbor host, by digest: the status of a blob's HEAD."""
    form = ("-sI", "-o", "/dev/null", "-w", "%{http_code}")
    return {
        digest: _curl(settings, cache, f"/v2/{project}/{path}/blobs/{digest}", *form)
        for digest in digests
    }


def get_blob(settings: Settings, cache: Cache, project: str, path: str, digest: str) -> str:
    """Snippet for the Harbor host: read a blob to its end and throw it away."""
    url = f"/v2/{project}/{path}/blobs/{digest}"
    return _curl(settings, cache, url, "-fsSL", "-o", "/dev/null", seconds=3600)


def tag_is_local(settings: Settings, cache: Cache, project: str, path: str, tag: str) -> str:
    """Snippet for the Harbor host: succeeds once the cache itself knows the tag."""
    repository = path.replace("/", "%252F")
    url = f"/api/v2.0/projects/{project}/repositories/{repository}/artifacts/{tag}"
    return _curl(settings, cache, url, "-fsS", "-o", "/dev/null", anonymous=False)


def _curl(
    settings: Settings,
    cache: Cache,
    path: str,
    *options: str,
    seconds: int = 60,
    anonymous: bool = True,
) -> str:
    name, port = served.split(cache.host)
    ca_file = quote(tls.ca_path(settings))
    where = ("--connect-to", f"{name}:{port}:127.0.0.1:{settings.harbor.public_https_port}")
    header = ("-H", f"Authorization: {ANONYMOUS}") if anonymous else ()
    argv = ["curl", "--noproxy", "*", "--max-time", seconds, *where, *header, *options]
    trust = f"[ ! -e {ca_file} ] || export CURL_CA_BUNDLE={ca_file}"
    return f"{trust}\n{command(*argv, f'https://{cache.host}{path}')}"


def hub_budget() -> str:
    """Snippet: Docker Hub's headers on how many pulls this address has left; a HEAD costs none."""
    find_it = r"""sed -n 's/.*"token": *"\([^"]*\)".*/\1/p'"""
    header = """printf 'header = "Authorization: Bearer %s"\\n' "$token" """
    return "\n".join(
        [
            f"token=$(curl -fsS --max-time 5 {quote(HUB_ANONYMOUS)} | {find_it})",
            '[ -n "$token" ] || exit 1',
            f"{header}| curl -fsSI --max-time 5 -K - {HUB_TEST}",
        ]
    )


def parse_budget(headers: str) -> str:
    """`76 of 100 in 6 h` from Docker Hub's headers, or `unlimited` where it sends none."""
    headers = headers.lower()
    numbers = dict(re.findall(r"(?m)^ratelimit-(limit|remaining): *(\d+)", headers))
    window = re.search(r"(?m)^ratelimit-limit: *\d+;w=(\d+)", headers)
    if len(numbers) < 2:
        return "unlimited"
    hours = f" in {int(window[1]) // 3600} h" if window else ""
    return f"{numbers['remaining']} of {numbers['limit']}{hours}"
