"""Whether what answers on a host's TLS port belongs to the CA that clients are given."""

import datetime
import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from harbor.certificates import is_issued_by, names_of
from harbor.shell import command, quote

SECONDS = 10
LONGEST_CHAIN = 8
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def split(host: str) -> tuple[str, int]:
    """`name[:port]` as a name and a port."""
    name, _, port = host.partition(":")
    return name, int(port or 443)


def probe(host: str, connect: str = "") -> str:
    """Snippet: the certificates that `host` shows, PEM; fails without openssl or an answer.

    `connect` (address:port) is asked instead of where the name leads.
    """
    name, port = split(host)
    openssl = command(
        "openssl",
        "s_client",
        "-connect",
        connect or f"{name}:{port}",
        "-servername",
        name,
        "-showcerts",
    )
    return f"command -v openssl >/dev/null || exit 127\ntimeout {SECONDS} {openssl} </dev/null"


def ask(url: str, *, connect_to: str = "", ca_file: str = "", data: Sequence[str] = ()) -> str:
    """Snippet: what Harbor answers to an anonymous GET, sent elsewhere with `connect_to`."""
    argv: list[object] = ["curl", "-fsS", "--noproxy", "*", "--max-time", 30]
    argv += ["--connect-to", connect_to] if connect_to else []
    argv += ["-G", *(word for pair in data for word in ("--data-urlencode", pair))] if data else []
    text = command(*argv, url)
    if not ca_file:
        return text
    # A public certificate has no CA file, and needs none.
    return f"[ ! -e {quote(ca_file)} ] || export CURL_CA_BUNDLE={quote(ca_file)}\n{text}"


def certificates(text: str) -> list[x509.Certificate]:
    """The certificates in a text that may hold anything else besides. Raises ValueError."""
    return [x509.load_pem_x509_certificate(pem.encode()) for pem in CERTIFICATE.findall(text)]


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in hexadecimal, as `openssl x509 -fingerprint` has it, less colons."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def problem(
    shown: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    name: str,
    now: datetime.datetime,
) -> str:
    """Why a client that trusts `trusted` would refuse `shown` for `name`; empty if it would not."""
    if not shown:
        return "shows no certificate"
    leaf = shown[0]
    if not any(_covers(pattern, name) for pattern in names_of(leaf)):
        return f"shows a certificate for {', '.join(names_of(leaf)) or 'no name'}, not for {name}"
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return f"shows a certificate that is valid until {leaf.not_valid_after_utc:%Y-%m-%d} only"
    if not _chains(leaf, shown[1:], trusted, now):
        return f"shows a certificate of another CA ({leaf.issuer.rfc4514_string()})"
    return ""


def _covers(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def _chains(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    now: datetime.datetime,
) -> bool:
    current = leaf
    for _ in range(LONGEST_CHAIN):
        for anchor in trusted:
            if anchor.not_valid_after_utc >= now and (
                anchor == current or is_issued_by(current, anchor)
            ):
                return True
        issuer = next((c for c in between if c != current and is_issued_by(current, c)), None)
        if issuer is None:
            return False
        current = issuer
    return False


def bundle(*pems: bytes, now: datetime.datetime) -> bytes:
    """All certificates of these texts that are still valid, each once: what a client gets.

    While a CA is replaced the old one stands behind the new one, until nobody names it any more.
    """
    found: dict[bytes, None] = {}
    for text in pems:
        for pem in CERTIFICATE.findall(text.decode()):
            certificate = x509.load_pem_x509_certificate(pem.encode())
            if certificate.not_valid_after_utc >= now:
                found[pem.strip().encode() + b"\n"] = None
    return b"".join(found)
