"""`gencert`: a CA and one certificate for each component, for TLS between the components."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

COMPONENTS = (
    "core",
    "job_service",
    "proxy",
    "portal",
    "registry",
    "registryctl",
    "trivy_adapter",
)
KEY_BITS = 2048


def write(folder: Path, days: int) -> None:
    """Write harbor_internal_ca and the components' pairs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = _key()
    authority_name = _name("harbor-internal-ca (stand-in)")
    authority = _certificate(authority_name, authority_name, authority_key, authority_key, days)
    _save(folder, "harbor_internal_ca", authority_key, authority)
    for component in COMPONENTS:
        key = _key()
        name = _name(component.replace("_", "-").replace("job-service", "jobservice"))
        _save(folder, component, key, _certificate(name, authority_name, key, authority_key, days))
    print(f"internal TLS certificates written to {folder}")


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    signer: rsa.RSAPrivateKey,
    days: int,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    common = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(subject == issuer, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common)]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _save(folder: Path, name: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
    pem = serialization.Encoding.PEM
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    private.chmod(0o600)
