"""The certificates in Traefik's acme.json, read without any of its keys.

The file holds, by resolver, an account with its key and certificates with theirs (Traefik,
pkg/provider/acme/store.go). Only the chains leave the host: the snippet takes them out there.
"""

import base64
import binascii
import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

from harbor.certificates import is_issued_by, names_of
from harbor.shell import Output, command, quote

# Traefik renews certificates of 90 days when 30 are left (pkg/provider/acme/provider.go,
# getCertificateRenewDurations); shorter ones later. Hours of the life -> hours before the end.
_RENEWALS = ((365 * 24, 4 * 30 * 24), (90 * 24, 30 * 24), (30 * 24, 10 * 24), (7 * 24, 24))
_CHAIN = r"""grep -o '"certificate": *"[A-Za-z0-9+/=]*"' | cut -d'"' -f4"""


@dataclass(frozen=True)
class Stored:
    """One certificate of a store: its chain, the leaf first."""

    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def names(self) -> list[str]:
        return names_of(self.leaf)

    @property
    def serial(self) -> str:
        return f"{self.leaf.serial_number:x}"

    @property
    def renewal(self) -> datetime.datetime:
        """From when on Traefik renews it."""
        life = self.leaf.not_valid_after_utc - self.leaf.not_valid_before_utc
        hours = life.total_seconds() / 3600
        before = next(
            (b for least, b in _RENEWALS if hours >= least - 24), 6 if hours >= 24 else 1 / 3
        )
        return self.leaf.not_valid_after_utc - datetime.timedelta(hours=before)


def probe(*paths: str) -> str:
    """Snippet: the chains in the first of these files that is there, a base64 text a line; no key."""
    read = f"tr -d '\\n' < \"$f\" | {_CHAIN}"
    return f'for f in {command(*paths)}; do [ ! -f "$f" ] || {{ {read}; break; }}; done'


def probe_pairs(path: str) -> str:
    """Snippet: chain and private key of each certificate, base64, a line; for an export only."""
    pair = r'''"certificate": *"[A-Za-z0-9+/=]*", *"key": *"[A-Za-z0-9+/=]*"'''
    return (
        f"tr -d '\\n' < {quote(path)} | sed 's/\", */\",/g' | "
        f"grep -o {quote(pair)} | cut -d'\"' -f4,8 | tr '\"' ' '"
    )


def parse(found: Output) -> list[Stored]:
    """The certificates, the newest first; what is damaged is left out."""
    certificates = [one for one in map(_stored, found.lines) if one] if found.ok else []
    return sorted(certificates, key=lambda one: one.leaf.not_valid_before_utc, reverse=True)


def _stored(text: str) -> Stored | None:
    try:
        chain = x509.load_pem_x509_certificates(base64.b64decode(text))
    except (ValueError, binascii.Error):
        return None
    return Stored(tuple(chain)) if chain else None


def of_pem(text: str) -> Stored | None:
    """The certificate in PEM text; None where there is none."""
    try:
        return Stored(tuple(x509.load_pem_x509_certificates(text.encode())))
    except ValueError:
        return None


def problem(one: Stored, names: Iterable[str], now: datetime.datetime) -> str:
    """Why a certificate does not do for these names now; empty when it does."""
    if missing := set(names) - set(one.names):
        return f"lacks the name {', '.join(sorted(missing))}"
    # Not its beginning: it may have been issued after this run looked at the clock.
    if now > one.leaf.not_valid_after_utc:
        return f"is valid until {one.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC only"
    return ""


def best(certificates: Iterable[Stored], names: list[str], now: datetime.datetime) -> Stored | None:
    """The newest certificate that does for these names; None where none does."""
    return next((one for one in certificates if not problem(one, names, now)), None)


def chain_problem(one: Stored, roots: bytes) -> str:
    """Why a chain does not verify: each link by the next, and the last by one of `roots` if given."""
    for lower, upper in zip(one.chain, one.chain[1:], strict=False):
        if not is_issued_by(lower, upper):
            return f"{lower.subject.rfc4514_string()} is not signed by the next in the chain"
    trusted = x509.load_pem_x509_certificates(roots) if roots else []
    if trusted and not any(is_issued_by(one.chain[-1], root) for root in trusted):
        return f"{one.chain[-1].subject.rfc4514_string()} is not signed by tls.acme.staging_ca"
    return ""
