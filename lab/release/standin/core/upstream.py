"""An upstream registry: where it is, whether it lives, and its own token dance.

The token dance is the registry's (distribution/docs/spec/auth/token.md): 401 with a bearer
challenge, a token for that scope, the request again.
"""

import base64
import json
import re
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from .client import Answer, Client, Headers, Unreachable
from .configuration import Switches
from .database import Row

HUB = "https://registry-1.docker.io"
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.v1+prettyjws"
)
PARAMETER = re.compile(r'(\w+)="([^"]*)"')
REDIRECTS = 5


@dataclass
class _Tokens:
    """Tokens by realm and scope, until shortly before they end."""

    kept: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[str, str, str]) -> str | None:
        with self.guard:
            token, end = self.kept.get(key, ("", 0.0))
            return token if end > time.monotonic() else None

    def put(self, key: tuple[str, str, str], token: str, seconds: float) -> None:
        with self.guard:
            self.kept[key] = (token, time.monotonic() + seconds)


_TOKENS = _Tokens()


class Upstream:
    """One upstream, from its row in the table `registry`."""

    def __init__(self, registry: Row, switches: Switches) -> None:
        url = HUB if registry["type"] == "docker-hub" else registry["url"]
        self._registry = registry
        self._client = Client(
            switches.upstream(url),
            switches.windows().upstream_timeout,
            not registry["insecure"],
            registry.get("ca_certificate") or "",
        )

    def healthy(self) -> bool:
        """Whether it answers as a registry, with the credentials if there are any."""
        registry = self._registry
        if registry["type"] == "google-gcr" and not registry["access_key"]:
            return False
        try:
            if registry["access_key"]:
                return self._close(self.open("GET", "/v2/")) == 200
            return self._close(self._client.open("GET", "/v2/")) in (200, 401)
        except Unreachable:
            return False

    def open(self, method: str, path: str, headers: Headers | None = None) -> Answer:
        """A request with whatever authorisation the registry asks for; redirects are followed."""
        sent = dict(headers or {})
        answer = self._client.open(method, path, sent)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == 401 and challenge:
            answer.close()
            answer = self._client.open(
                method, path, {**sent, "Authorization": self._authorize(challenge)}
            )
        return self._follow(method, self._client.base + path, answer, sent)

    def _follow(self, method: str, url: str, answer: Answer, headers: Headers) -> Answer:
        """Object stores serve blobs by redirect; the token must not go there."""
        for _ in range(REDIRECTS):
            if answer.status not in (301, 302, 303, 307, 308):
                break
            url = urljoin(url, answer.headers["Location"])
            answer.close()
            answer = self._client.open_url(method, url, headers)
        return answer

    def _authorize(self, challenge: str) -> str:
        if challenge.lower().startswith("basic"):
            return self._basic()
        parameters = dict(PARAMETER.findall(challenge))
        realm, scope = parameters["realm"], parameters.get("scope", "")
        key = (realm, scope, self._registry["access_key"])
        token = _TOKENS.get(key)
        if token is None:
            token = self._fetch_token(realm, parameters.get("service", ""), scope)
            _TOKENS.put(key, token, 50)
        return f"Bearer {token}"

    def _fetch_token(self, realm: str, service: str, scope: str) -> str:
        query = urlencode({k: v for k, v in (("service", service), ("scope", scope)) if v})
        headers = {"Authorization": self._basic()} if self._registry["access_key"] else {}
        answer = self._client.open_url("GET", f"{realm}?{query}", headers)
        body = answer.read()
        if answer.status != 200:
            raise Unreachable(f"token of {urlsplit(realm).netloc}: {answer.status}")
        issued = json.loads(body)
        return str(issued.get("token") or issued.get("access_token"))

    def _basic(self) -> str:
        login = f"{self._registry['access_key']}:{self._registry['access_secret']}"
        return "Basic " + base64.b64encode(login.encode()).decode()

    @staticmethod
    def _close(answer: Answer) -> int:
        answer.close()
        return answer.status
