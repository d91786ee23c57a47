"""The secrets: some stay for the life of the data volume, the others change at every run."""

import datetime
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from . import folders

REGISTRY_USER = "harbor_registry_user"
LETTERS = string.ascii_letters + string.digits
KEY_BITS = 4096
KEY_DAYS = 3650


@dataclass(frozen=True)
class Rotating:
    """What each run of prepare makes anew."""

    core: str
    jobservice: str
    registry_password: str
    csrf_key: str
    scanner_prefix: str

    @property
    def registry_passwd(self) -> str:
        """The line of the registry's htpasswd file."""
        digest = bcrypt.hashpw(self.registry_password.encode(), bcrypt.gensalt(rounds=5))
        return f"{REGISTRY_USER}:{digest.decode()}\n"


def rotate() -> Rotating:
    """New secrets of the lengths that Harbor uses."""
    return Rotating(random(16), random(16), random(32), random(32), random(8))


def random(length: int) -> str:
    """A random string of letters and digits."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def ensure_lasting(data: Path) -> None:
    """The encryption key and the token key pair; what is there is left as it is."""
    keys, core, registry = (data / "secret" / name for name in ("keys", "core", "registry"))
    for folder in (keys, core, registry):
        folders.prepare_folder(folder, folders.HARBOR, 0o755)
    secretkey = keys / "secretkey"
    if not secretkey.exists():
        folders.write(secretkey, random(16), folders.HARBOR, 0o600)
    key, certificate = core / "private_key.pem", registry / "root.crt"
    if not key.exists() or not certificate.exists():
        key_text, certificate_text = _token_pair()
        folders.write(key, key_text, folders.HARBOR, 0o600)
        folders.write(certificate, certificate_text, folders.HARBOR, 0o600)


def _token_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in harbor token issuer")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=KEY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(pem).decode()
