"""Clients trust the cache's certificate, and stop to.

Tasks import what they use when they run: `fab --list` loads none of it.
"""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(
    name="trust-cert",
    help=AS_JSON
    | {
        "ca": "a file with the CA, instead of the one on the Harbor host",
        "from_tls": "fetch the CA from Harbor's address, unverified but for --fingerprint",
        "fingerprint": "SHA-256 that the CA of --from-tls must have",
        "restart": "of a runtime that needs one: safe, always or never",
        "login": "log docker in, with a robot account that may only pull",
        "plan": "show what would change, and change nothing",
    },
)
def trust_cert(
    c: invoke.Context,
    *,
    ca: str = "",
    from_tls: bool = False,
    fingerprint: str = "",
    restart: str = "",
    login: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Give each client the CA of its cache, for every container runtime that is found there.

    The CA comes from the Harbor host over SSH, and what answers on its port must belong to it.
    Nothing is restarted where that is not needed; docker needs none.
    """
    from tasks import _trust

    how = _trust.How(ca, from_tls, fingerprint, restart, login, plan, json)
    _trust.trust(c, how)


@task(
    name="untrust-cert",
    help=AS_JSON | {"force": "also files that somebody changed after us"},
)
def untrust_cert(c: invoke.Context, force: bool = False, json: bool = False) -> None:
    """Take out of each client exactly what `trust-cert` put in, and restore what was there."""
    from tasks import _trust

    _trust.untrust(c, force=force, as_json=json)
