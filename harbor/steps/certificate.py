"""Traefik has a certificate of the CA for all names, and the router that keeps it renewed.

What lies in the store decides: where it holds a certificate that does, nothing is ordered.
"""

from collections.abc import Mapping

from harbor import files, paths
from harbor.acme import stored
from harbor.acme import traefik as acme
from harbor.changes import Change, OrderCertificate, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command
from harbor.steps import tls

NAME = "certificate"
ATTEMPTS = 50


def probe(settings: Settings) -> dict[str, str]:
    route = {acme.ROUTE: files.probe(acme.ROUTE)}
    if not settings.harbor.acme:
        return route
    return {**route, "stored": tls.stored_probe(settings)}


def held(settings: Settings, facts: Mapping[str, Output]) -> stored.Stored | None:
    """The certificate in the store that does for all names now."""
    found = stored.parse(facts.get("stored", NOT_READ))
    return stored.best(found, tls.names(settings), settings.certificates.now)


def route_file(settings: Settings, attempt: int = 0) -> files.ManagedFile:
    content = acme.route(tls.names(settings), attempt)
    return files.ManagedFile(acme.ROUTE, content, paths.USER, paths.USER)


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    route = facts.get(acme.ROUTE, NOT_READ)
    if not settings.harbor.acme:
        why = f"{acme.ROUTE}: no certificate is ordered any more"
        return [Run(why, command("rm", "-f", acme.ROUTE))] if route.ok else []
    if held(settings, facts) is None:
        return [OrderCertificate(_why(settings, facts))]
    if any(files.content(route) == route_file(settings, n).content for n in range(ATTEMPTS)):
        return []
    return [*files.plan(route_file(settings), route)]


def _why(settings: Settings, facts: Mapping[str, Output]) -> str:
    names = tls.names(settings)
    found = stored.parse(facts.get("stored", NOT_READ))
    now = settings.certificates.now
    lacks = f"the one in the store {stored.problem(found[0], names, now)}" if found else "none yet"
    rehearsed = ", rehearsed with staging first" if acme.acme_of(settings).rehearsal else ""
    return f"a certificate for {', '.join(names)} ({lacks}): order one{rehearsed}"
