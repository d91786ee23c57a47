"""Bearer tokens: JWT, RS256, with the key that prepare made (RFC 7519, Docker's token scheme)."""

import base64
import json
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "harbor-token-issuer"
AUDIENCE = "harbor-registry"
SKEW = 60


class Tokens:
    """Signs and verifies with one RSA key."""

    def __init__(self, key: Path) -> None:
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{key} is not an RSA key")
        self._key = loaded

    def issue(self, name: str, access: list[dict[str, Any]], seconds: int) -> str:
        """A token for `name`; `access` as in the registry's token specification."""
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT"}
        claims = {
            "iss": ISSUER,
            "sub": name,
            "aud": AUDIENCE,
            "exp": now + seconds,
            "nbf": now,
            "iat": now,
            "jti": secrets.token_urlsafe(12),
            "access": access,
        }
        signed = f"{_encode(head)}.{_encode(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"

    def verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a good token that is valid now, else None."""
        try:
            signed, _, signature = token.rpartition(".")
            self._key.public_key().verify(
                _bytes(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            claims: dict[str, Any] = json.loads(_bytes(signed.split(".")[1]))
        except (InvalidSignature, ValueError, IndexError):
            return None
        now = time.time()
        valid = claims["nbf"] - SKEW <= now <= claims["exp"] + SKEW
        return claims if valid else None


def _encode(value: object) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
