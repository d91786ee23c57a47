"""A small certificate authority, the certificates it issues, and what a certificate says."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import PurePath

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harbor.errors import SettingsError
from harbor.shell import Secret

CA_DAYS = 3650
LEAF_DAYS = 397  # what clients accept at most (CA/Browser Forum ballot SC-31)
RENEW_BEFORE_DAYS = 30
BACKDATE = datetime.timedelta(hours=1)  # for clients whose clock is behind


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate, PEM; `chain` may hold intermediates behind the leaf."""

    chain: bytes
    key: Secret


@dataclass(frozen=True)
class Certificates:
    """What a host has to serve: a given pair, or an authority that issues one; `now` in UTC."""

    now: datetime.datetime
    authority: KeyPair | None = None
    given: KeyPair | None = None
    trust: bytes = b""  # what clients must trust; empty where every client does already
    acme_bundle: bytes = b""  # the CA of an ACME server's own https
    acme_roots: bytes = b""  # what a rehearsed certificate must verify with

    def issue(self, names: list[str]) -> KeyPair:
        """The given pair, or a new one for `names`."""
        if self.given:
            return self.given
        if self.authority is None:
            raise ValueError("neither an authority nor a certificate")
        return issue(self.authority, names, self.now)

    def problem(self, chain: bytes, key: bytes, names: list[str]) -> str:
        """Why what is on the host has to be replaced; empty when it is right."""
        if self.given:
            same = (chain, key.decode()) == (self.given.chain, self.given.key.reveal())
            return "" if same else "differs from the given files"
        return leaf_problem(chain, key, names, self.trust, self.now)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name and signature fit; not whether it may issue."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def create_authority(name: str, now: datetime.datetime) -> KeyPair:
    """A new root: P-256, ten years, may sign leaves only (RFC 5280, 4.2.1.9: pathlen 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(subject, subject, key, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: KeyPair, names: list[str], now: datetime.datetime) -> KeyPair:
    """A server certificate for `names` (DNS names or addresses), signed by `authority`."""
    root = x509.load_pem_x509_certificate(authority.chain)
    root_key = serialization.load_pem_private_key(authority.key.reveal().encode(), None)
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, root.subject, key, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def leaf_problem(
    chain: bytes, key: bytes, names: list[str], root: bytes, now: datetime.datetime
) -> str:
    """Why a served certificate of our own authority has to be issued again; empty if it need not."""
    try:
        leaf = x509.load_pem_x509_certificate(chain)
        private = serialization.load_pem_private_key(key, None)
    except ValueError:
        return "is missing or damaged"
    if private.public_key() != leaf.public_key():
        return "does not fit its key"
    if not is_issued_by(leaf, x509.load_pem_x509_certificate(root)):
        return "is not signed by the present CA"
    if missing := set(names) - set(names_of(leaf)):
        return f"lacks the name {', '.join(sorted(missing))}"
    days = (leaf.not_valid_after_utc - now).days
    return f"ends in {days} days" if days < RENEW_BEFORE_DAYS else ""


def can_issue(authority: KeyPair) -> bool:
    """Whether `issue` can sign with it: a certificate with its own, unencrypted EC key."""
    if not is_pair(authority.chain, authority.key.reveal().encode()):
        return False
    key = serialization.load_pem_private_key(authority.key.reveal().encode(), None)
    return isinstance(key, ec.EllipticCurvePrivateKey)


def is_pair(chain: bytes, key: bytes) -> bool:
    """Whether both can be read and the first certificate is for that key."""
    try:
        leaf = x509.load_pem_x509_certificate(chain)
        return serialization.load_pem_private_key(key, None).public_key() == leaf.public_key()
    except (ValueError, TypeError):
        return False


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses that a certificate is for."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    return [*san.get_values_for_type(x509.DNSName), *addresses]


def given_pair(
    chain: bytes, key: bytes, host: str, now: datetime.datetime, files: tuple[PurePath, PurePath]
) -> KeyPair:
    """The operator's own files, checked: they fit each other, carry `host`, and are valid now.

    Raises SettingsError with the file's name.
    """
    chain_file, key_file = files
    try:
        leaf = x509.load_pem_x509_certificate(chain)
    except ValueError as error:
        raise SettingsError(
            f"{chain_file}: tls.certificate: is no PEM certificate ({error})"
        ) from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise SettingsError(
            f"{key_file}: tls.key: is no PEM private key without a passphrase"
        ) from None
    if private.public_key() != leaf.public_key():
        raise SettingsError(f"{key_file}: tls.key: does not belong to {chain_file}")
    if not any(_matches(pattern, host) for pattern in names_of(leaf)):
        names = ", ".join(names_of(leaf)) or "no name at all"
        raise SettingsError(f"{chain_file}: tls.certificate: is for {names}, not for {host}")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise SettingsError(
            f"{chain_file}: tls.certificate: valid from {leaf.not_valid_before_utc:%Y-%m-%d}"
            f" to {leaf.not_valid_after_utc:%Y-%m-%d}, not today"
        )
    return KeyPair(chain, Secret(key.decode()))


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(**set_bits: bool) -> x509.KeyUsage:
    bits = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**{**bits, **set_bits})


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), Secret(pem.decode()))
