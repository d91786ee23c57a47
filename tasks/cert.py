"""The certificate that clients see: what it is, asking again, and giving it to others."""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(
    default=True,
    help={**AS_JSON, "days": "exit code 2 when it ends in fewer days (0: never)"},
)
def show(c: invoke.Context, days: int = 0, json: bool = False) -> None:
    """Show each host's certificate: issuer, names, serial, days left, renewal, orders this week.

    `fab cert` is short for it.
    """
    from tasks import _cert, _fleet

    _fleet.run_harbors(c, _cert.showing(days), read_only=True, as_json=json)


@task(help=AS_JSON)
def retry(c: invoke.Context, json: bool = False) -> None:
    """Order again after a failure that was mended: Traefik does not do so by itself.

    Orders nothing where the certificate is right; counted, and refused at the CA's limits.
    """
    from tasks import _cert, _fleet

    _fleet.run_harbors(c, _cert.retry, one_by_one=True, as_json=json)


@task(help={"to": "folder on this machine; each host's files go into one of its name"})
def export(c: invoke.Context, to: str = "certificates") -> None:
    """Write each host's certificate and private key to files of this machine (0600)."""
    from tasks import _cert, _fleet

    _fleet.run_harbors(c, _cert.exporting(to), read_only=True)
