"""Before Harbor is switched to OIDC: does the provider answer, as itself, with what is asked for?

And the other side of it: the client that dex has to know.
"""

import json
from collections.abc import Mapping

from harbor.configuration.settings import Oidc
from harbor.settings import HarborSettings
from harbor.shell import NOT_READ, Output, command

DISCOVERY = "/.well-known/openid-configuration"
CALLBACK = "/c/oidc/callback"  # src/core/controllers/oidc.go


def redirect_uri(harbor: HarborSettings) -> str:
    """What the provider must allow for this Harbor's client."""
    return harbor.url + CALLBACK


def discovery(oidc: Oidc) -> str:
    """Where the provider describes itself (OpenID Connect Discovery 1.0, section 4)."""
    return oidc.endpoint.rstrip("/") + DISCOVERY


def probe(oidc: Oidc, ca_bundle: str | None) -> dict[str, str]:
    """Snippet: the provider's discovery document, as the host gets it."""
    options = [] if oidc.verify_certificate else ["--insecure"]
    if ca_bundle and oidc.verify_certificate:
        # Harbor trusts the system's authorities and these; curl one or the other.
        options += ["--cacert", ca_bundle]
    url = discovery(oidc)
    return {"discovery": command("curl", "-fsS", "--max-time", "15", *options, url)}


def findings(oidc: Oidc, facts: Mapping[str, Output]) -> tuple[list[str], list[str]]:
    """Problems, and warnings, that the provider's own document shows."""
    found = facts.get("discovery", NOT_READ)
    try:
        document = json.loads(found.text) if found.ok else None
    except ValueError:
        return [f"auth.oidc.endpoint: {discovery(oidc)} is no JSON"], []
    if document is None:
        warning = (
            f"auth.oidc.endpoint: the host itself cannot read {discovery(oidc)}: "
            "issuer and scopes were not compared"
        )
        return [], [warning]
    return _issuer(oidc, document), _scopes(oidc, document)


def _issuer(oidc: Oidc, document: Mapping[str, object]) -> list[str]:
    issuer = str(document.get("issuer", ""))
    if issuer == oidc.endpoint:
        return []
    problem = (
        f"auth.oidc.endpoint: the provider calls itself {issuer or 'nothing'}, declared is "
        f"{oidc.endpoint}: they must be the same, Harbor refuses its tokens otherwise"
    )
    return [problem]


def _scopes(oidc: Oidc, document: Mapping[str, object]) -> list[str]:
    offered = document.get("scopes_supported")
    if not isinstance(offered, list):
        return []
    lacking = [scope for scope in oidc.scope if scope not in offered]
    if not lacking:
        return []
    return [f"auth.oidc.scope: the provider does not offer {', '.join(lacking)}"]


def dex_client(harbor: HarborSettings, oidc: Oidc, secret: str) -> dict[str, object]:
    """The client as the values of dex's chart have it."""
    client = {
        "id": oidc.client_id,
        "name": "Harbor Cache",
        "redirectURIs": [redirect_uri(harbor)],
        "secret": secret,
    }
    return {"config": {"staticClients": [client]}}
