"""A Harbor to configure: its upstreams, its identity provider, a docker client, its requests."""

import http.server
import json
import threading
from pathlib import Path
from typing import Any

import bcrypt

from lab import HostSpec, Lab
from lab.release import upstream
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import Operator, ask, operator
from tests.unit.test_configuration import ARTICLE

SWITCHES = "/data/stand-in"
PUBLIC = ("gcr.io", "registry.k8s.io", "quay.io")
IMAGE = "library/busybox:1.36"
SECRETS = {
    "HUB": "Canary-Hub-4711",
    "HARBOR_OIDC_CLIENT_SECRET": "Canary-Dex/4711=",
    "ROBOT": "Canary-Robot-4711",
}


class Provider(http.server.ThreadingHTTPServer):
    """An OIDC provider's discovery document; at /other it calls itself by another name."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Discovery)
        self.issuer = f"http://{address}:{self.server_address[1]}/dex"
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()


class _Discovery(http.server.BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        issuer = self.server.issuer
        document = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/auth",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "scopes_supported": ["openid", "email", "groups", "profile", "offline_access"],
        }
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


class Site:
    """One Harbor of one release; `me` is its operator."""

    def __init__(self, lab: Lab, folder: Path, version: str, *, client: bool) -> None:
        specs = [
            HostSpec("harbor", "bookworm", "docker", (HARBOR_NAME,)),
            HostSpec("upstream", "bookworm", "registry"),
        ]
        specs += [HostSpec("client", "bookworm", "docker")] if client else []
        self.host, self.upstream, *clients = lab.up_all(specs)
        self.client = clients[0] if clients else None
        self.me: Operator = operator(
            folder,
            lab,
            "harbor",
            clients=("client",) if client else (),
            version=version,
            docker={"source": "present"},
            configuration=ARTICLE,
        )
        self.me.secrets |= SECRETS
        self.url = upstream.serve(self.upstream)
        self.provider = Provider(f"{self.host.address.rpartition('.')[0]}.1")

    def close(self) -> None:
        self.provider.shutdown()
        self.provider.server_close()

    def prepare(self) -> None:
        """Images upstream, and the stand-in asks there where Harbor would ask the public ones."""
        list(upstream.push_all(self.url))
        self.host.run(f"install -d -o 10000 -g 10000 {SWITCHES}")
        self.switch("docker-hub-url", f"{self.url}\n")
        self.switch("upstreams.json", json.dumps(dict.fromkeys(PUBLIC, self.url)))
        self.switch("settings.json", json.dumps({"registry_check": 5, "blob_age_hours": 0}))

    def want_login(self, user: str, password: str) -> str:
        """The same images at another port, for those with a password alone; its address."""
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()
        self.upstream.write("/etc/login.htpasswd", f"{user}:{hashed}\n")
        auth = "auth: {htpasswd: {realm: lab, path: /etc/login.htpasswd}}\n"
        settings = upstream.CONFIGURATION.replace(f":{upstream.PORT}", ":5001") + auth
        self.upstream.write("/etc/login.yml", settings)
        self.upstream.run(
            "systemd-run -q --unit=login docker-registry serve /etc/login.yml; "
            "until curl -s localhost:5001/v2/ >/dev/null; do sleep 0.1; done"
        )
        return f"http://{self.upstream.address}:5001"

    def switch(self, name: str, text: str) -> None:
        self.host.write(f"{SWITCHES}/{name}", text)

    def fault(self, **fault: Any) -> None:
        """One fault for the next requests; none at all ends them."""
        self.switch("faults.json", json.dumps([fault] if fault else []))

    def configure(self, values: dict[str, Any], *words: str, expect: int | None = 0) -> Any:
        self.me.set(configuration=values)
        return self.me.fab("configure", *words, expect=expect)

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Harbor's API as another client would ask it, on the host itself."""
        return ask(self.host, method, path, body, self.me.secrets["HARBOR_ADMIN_PASSWORD"])

    def writes(self) -> list[str]:
        """The requests that change something since the last look, as Harbor's own log has them."""
        lines = self.host.run(f"cat {SWITCHES}/requests.log; : > {SWITCHES}/requests.log").stdout
        requests = (line.split()[1:3] for line in lines.splitlines())
        return [
            f"{method} {path.removeprefix('/api/v2.0')}"
            for method, path in requests
            if method not in ("GET", "HEAD") and path.startswith("/api/")
        ]

    def projects(self) -> dict[str, Any]:
        return {p["name"]: p for p in self.api("GET", "/projects?page_size=100")[1]}

    def registries(self) -> dict[str, Any]:
        return {r["name"]: r for r in self.api("GET", "/registries?page_size=100")[1]}

    def renewed_secrets(self) -> None:
        """Take over what `fab` wrote into .env."""
        text = (self.me.folder / ".env").read_text()
        self.me.secrets = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
