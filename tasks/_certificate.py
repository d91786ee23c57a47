"""Have a CA issue the certificate: checked, rehearsed, counted, and awaited with its reasons."""

import datetime
import time

from harbor import paths, status
from harbor.acme import failures, ledger, stored, zone
from harbor.acme import traefik as acme
from harbor.errors import Unhealthy
from harbor.settings import Settings
from harbor.shell import command, quote, write_file
from harbor.steps import certificate, tls
from tasks._fleet import Target

POLL_SECONDS = 0.5
# Longer than lego looks for the TXT record at the slowest provider seen (route53: 124 s).
ORDER_SECONDS = 240
# Some providers, rfc2136 among them, prove one name after another with this pause between them
# (lego 4, providers/dns/rfc2136: RFC2136_SEQUENCE_INTERVAL).
NAME_SECONDS = 60
ORDERS = {"orders": f"cat {paths.ORDERS}"}


def order(target: Target, settings: Settings) -> None:
    """Ask the CA for a certificate, once, after everything that can be known before is known.

    Raises Refused where the CA's limits forbid it, Unhealthy with cause and cure where it fails.
    """
    directory, names = acme.acme_of(settings).directory, tls.names(settings)
    events = ledger.parse(target.host.read(ORDERS)["orders"].lines)
    ledger.check(events, acme.store_file(directory), names, settings.certificates.now)
    _reachable(target, settings)
    _zones(target, settings)
    if staging := acme.acme_of(settings).rehearsal:
        _rehearse(target, settings, staging)
    _produce(target, settings, len(events))


def _reachable(target: Target, settings: Settings) -> None:
    """Both directories answer the host, or Unhealthy says why not. It costs no order."""
    own = acme.acme_of(settings)
    wanted = list(filter(None, (own.rehearsal, own.directory)))
    bundle = ["--cacert", f"{acme.FOLDER}/{acme.BUNDLE}"] if own.ca_bundle else []
    curl = ["curl", "-sS", "--connect-timeout", "6", "--max-time", "10", *bundle]
    asked = target.host.read({url: command(*curl, url) + " 2>&1" for url in wanted})
    for url, answer in asked.items():
        if "newOrder" not in answer.text:
            said = (answer.lines or ["nothing"])[-1][:200]
            raise Unhealthy(
                f"no ACME directory at {url}: {said}",
                "check tls.acme.directory, tls.acme.ca_bundle and the way out to it; "
                "nothing was ordered",
            )


def _zones(target: Target, settings: Settings) -> None:
    """The DNS servers answer the host and know the zone of each name, or Unhealthy."""
    resolvers, names = acme.acme_of(settings).resolvers, tls.names(settings)
    if not resolvers:  # Traefik asks the host's own, which its container may not share
        return
    target.progress("certificate: looking for the DNS zone")
    if silent := zone.silent(target.host.read(zone.reach(resolvers))):
        raise Unhealthy(
            f"a DNS server does not answer the host: {', '.join(silent)}",
            "check tls.acme.resolvers, and that port 53 is open on the way; nothing was ordered",
        )
    if lost := zone.missing(names, target.host.read(zone.find(resolvers[0], names))):
        raise Unhealthy(
            f"no DNS zone is found for {', '.join(lost)} (asked {resolvers[0]})",
            "delegate the zone, or check the spelling of hostname and tls.extra_names; "
            "nothing was ordered",
        )


def _rehearse(target: Target, settings: Settings, staging: str) -> None:
    """Order from the staging CA by a Traefik beside the real one, and verify the chain."""
    target.progress(f"certificate: rehearsing with {staging}")
    names, folder = tls.names(settings), acme.REHEARSAL_FOLDER
    owner = (paths.USER, paths.USER)
    start = acme.rehearsal_script(
        settings, staging, write_file(f"{folder}/route.yml", acme.route(names), *owner, 0o600)
    )
    log = f"docker logs {acme.REHEARSAL} 2>&1"
    try:
        target.host.read_write(start)
        found = _await(target, settings, f"{folder}/{acme.store_file(staging)}", log, "rehearsal")
    finally:
        target.host.read_write(acme.end_rehearsal())
    if wrong := stored.chain_problem(found, settings.certificates.acme_roots):
        raise Unhealthy(
            f"the rehearsed certificate does not verify: {wrong}",
            "check tls.acme.staging_ca; nothing was ordered from the production CA",
        )
    target.say(f"rehearsed: {found.leaf.issuer.rfc4514_string()} issued for {', '.join(names)}")


def _produce(target: Target, settings: Settings, attempt: int) -> None:
    """The one order from the CA itself, noted before it is made."""
    held = certificate.held(settings, target.host.read(certificate.probe(settings)))
    if held is None:
        since = _ask(target, settings, attempt)
        log = f"docker logs --since {quote(since)} traefik 2>&1"
        held = _await(target, settings, tls.store_path(settings), log, "order")
    target.host.read_write(f"{paths.KEEP}")
    await_served(target, settings, held)
    target.say(
        f"issued by {held.leaf.issuer.rfc4514_string()}, until "
        f"{held.leaf.not_valid_after_utc:%Y-%m-%d}, serial {held.serial}"
    )


def _ask(target: Target, settings: Settings, attempt: int) -> str:
    """Note the order and change the router, which makes Traefik order; the host's time before."""
    target.progress(f"certificate: ordering from {acme.acme_of(settings).directory}")
    file = acme.store_file(acme.acme_of(settings).directory)
    line = ledger.asked(file, tls.names(settings), datetime.datetime.now(datetime.UTC))
    route = certificate.route_file(settings, attempt % certificate.ATTEMPTS)
    script = "\n".join(
        [
            "date -u +%Y-%m-%dT%H:%M:%SZ",
            f"printf '%s\\n' {quote(line)} >> {paths.ORDERS}",
            command("sync", paths.ORDERS),
            write_file(route.path, route.content, route.owner, route.group, route.mode),
        ]
    )
    return target.host.read_write(script).stdout.strip()


def _await(target: Target, settings: Settings, path: str, log: str, what: str) -> stored.Stored:
    """Wait until the store at `path` holds the certificate. Raises Unhealthy as soon as the log says why not."""
    names = tls.names(settings)
    seconds = ORDER_SECONDS + acme.acme_of(settings).delay + NAME_SECONDS * (len(names) - 1)
    began = time.monotonic()
    while True:
        facts = target.host.read({"stored": stored.probe(path), "log": f"{log} | tail -n 200"})
        now = datetime.datetime.now(datetime.UTC)
        if found := stored.best(stored.parse(facts["stored"]), names, now):
            return found
        waited = time.monotonic() - began
        if failure := failures.find(facts["log"].lines):
            raise _failed(what, failure)
        if waited > seconds:
            raise Unhealthy(
                f"no certificate after {seconds} s ({what}), and Traefik's log does not say why",
                "fab logs --service traefik",
            )
        target.progress(f"certificate: {what}: waiting for the CA ({waited:.0f} s)")
        time.sleep(POLL_SECONDS)


def _failed(what: str, failure: failures.Failure) -> Unhealthy:
    again = "fab cert.retry, when that is done"
    return Unhealthy(
        f"no certificate ({what}): {failure.cause}\n  {failure.line[:600]}",
        f"{failure.cure}; {again}" if failure.cure else again,
    )


def await_served(target: Target, settings: Settings, wanted: stored.Stored) -> None:
    """Wait until clients are shown this very certificate."""
    deadline = time.monotonic() + 60
    snippet = {"served": status.served_certificate(settings)}
    while True:
        served = stored.of_pem(target.host.read(snippet)["served"].text)
        if served and served.serial == wanted.serial:
            return
        if time.monotonic() > deadline:
            shown = served.leaf.issuer.rfc4514_string() if served else "none"
            raise Unhealthy(
                f"Traefik has the certificate and shows another: {shown}",
                "fab restart --service traefik",
            )
        target.progress("certificate: waiting until clients are shown it")
        time.sleep(POLL_SECONDS)
