"""Checks of the certificate that clients see, and of the store it comes from."""

import re

from harbor import paths, status, store
from harbor.certificates import RENEW_BEFORE_DAYS
from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.settings import Settings
from harbor.shell import command
from harbor.steps import store_backup, tls

SOON_DAYS = 7
DEFAULT = "TRAEFIK DEFAULT CERT"
# Reported by checks of their own (openssl-verification-options(1)).
EXPIRED, OTHER_NAME, OK = "10", "62", "0"


def _probe(settings: Settings) -> dict[str, str]:
    harbor = settings.harbor
    trust = ["-CAfile", tls.ca_path(settings)] if settings.certificates.trust else []
    verify = command(
        "openssl", "s_client", "-connect", f"127.0.0.1:{harbor.public_https_port}",
        "-servername", harbor.url_host, *trust,
    )  # fmt: skip
    return {
        "certificate": status.served_certificate(settings),
        "verified": f"timeout 10 {verify} </dev/null 2>/dev/null | grep 'Verify return code'",
        "time": "date -u +%Y-%m-%dT%H:%M:%S+00:00",
    }


def _served(facts: Facts) -> status.Served | None:
    return status.certificate(facts.get("certificate"), status.clock(facts.get("time")))


def _cure(settings: Settings) -> str:
    if settings.harbor.tls.mode == "files":
        return "new files at tls.certificate and tls.key in the inventory; fab deploy"
    return "fab deploy"


def _name(settings: Settings, facts: Facts) -> Found:
    served, host = _served(facts), settings.harbor.url_host
    if served is None:
        port = settings.harbor.public_https_port
        return [(ERROR, f"no certificate is shown on port {port}", "fab status; fab start")]
    patterns = (host, f"*.{host.partition('.')[2]}")
    if DEFAULT in served.issuer or any(name in patterns for name in served.names):
        return []
    cause = f"the certificate is for {', '.join(served.names) or 'no name'}, not for {host}"
    return [(ERROR, cause, _cure(settings))]


def _issuer(settings: Settings, facts: Facts) -> Found:
    served = _served(facts)
    if served and DEFAULT in served.issuer:
        cause = "Traefik shows its own default certificate: it has none for this name"
        return [(ERROR, cause, "fab logs --service traefik --grep ERR, then fab deploy")]
    if served and "STAGING" in served.issuer.upper():
        return [(ERROR, f"the issuer is a test CA: {served.issuer}", _cure(settings))]
    return []


def _chain(settings: Settings, facts: Facts) -> Found:
    served = _served(facts)
    found = re.search(r"code: (\d+) \((.*)\)", facts.text("verified"))
    if served is None or DEFAULT in served.issuer or not found:
        return []
    if found[1] in (OK, EXPIRED, OTHER_NAME):
        return []
    trusted = tls.ca_path(settings) if settings.certificates.trust else "the system's CAs"
    cause = f"the certificate does not verify against {trusted}: {found[2]}"
    return [(ERROR, cause, f"intermediates behind the leaf, and the right CA: {_cure(settings)}")]


def _expiry(settings: Settings, facts: Facts) -> Found:
    served = _served(facts)
    if served is None or served.days_left >= RENEW_BEFORE_DAYS or DEFAULT in served.issuer:
        return []
    severity = ERROR if served.days_left < SOON_DAYS else WARNING
    when = f"ended on {served.ends}" if served.days_left < 0 else f"ends in {served.days_left} days"
    return [(severity, f"the certificate {when}", _cure(settings))]


def _store_probe(settings: Settings) -> dict[str, str]:
    return store_backup.probe(settings)


def _store(settings: Settings, facts: Facts) -> Found:
    found, copy = (store.parse(facts.get(key)) for key in ("store", "copy"))
    lost = store.lost(found, copy)
    if lost:
        listed = ", ".join(f"{path} is {what}" for path, what in lost.items())
        return [
            (ERROR, f"the certificate store is not whole: {listed}", "fab start (puts it back)")
        ]
    broken = [
        file.path
        for file in found.values()
        if file.damaged or (not file.whole and file.path.endswith(".pem"))
    ]
    if broken:
        return [(ERROR, f"damaged, and no copy: {', '.join(broken)}", _cure(settings))]
    outdated = store.outdated(found, copy)
    if outdated:
        cause = f"no present copy in {paths.STORE_COPY} of {', '.join(outdated)}"
        return [(WARNING, cause, "fab start (copies what is new)")]
    return []


CHECKS = (
    Check("certificate name", "Is the certificate for the name that clients use?", _probe, _name),
    Check("certificate issuer", "Did the right CA sign it?", _probe, _issuer),
    Check("certificate chain", "Can clients verify it?", _probe, _chain),
    Check("certificate expiry", "Is it valid for long enough?", _probe, _expiry),
    Check("certificate store", "Is the store whole, and is there a copy?", _store_probe, _store),
)
