"""Which secrets Harbor was given: it never shows them again, so that they cannot be compared.

The host keeps a keyed digest of each secret that was sent. The key is derived on the host from
Harbor's own `secretkey`, with which Harbor encrypts what it stores: where that is another one,
Harbor could not read the stored secrets either, and everything is sent again.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

from harbor import paths
from harbor.shell import NOT_READ, Output, Secret, quote

FILE = f"{paths.STATE}/fingerprints.json"
PURPOSE = "harbor-cache fingerprints"


@dataclass(frozen=True)
class Fingerprints:
    """What was sent: name of the secret -> digest; `key` is None where there is no secretkey."""

    key: Secret | None
    sent: Mapping[str, str]

    def of(self, name: str, secret: Secret) -> str:
        """The digest of one secret under its name. ValueError without a key."""
        if self.key is None:
            raise ValueError("no key")
        text = f"{name}\0{secret.reveal()}".encode()
        return hmac.new(self.key.reveal().encode(), text, hashlib.sha256).hexdigest()

    def knows(self, name: str, secret: Secret) -> bool:
        """Whether Harbor was given exactly this secret."""
        if self.key is None:
            return False
        return hmac.compare_digest(self.sent.get(name, ""), self.of(name, secret))

    def text(self, added: Mapping[str, Secret]) -> bytes:
        """The file with the digests of `added` in it; ValueError without a key."""
        sent = {**self.sent, **{name: self.of(name, secret) for name, secret in added.items()}}
        return (json.dumps(sent, indent=2, sort_keys=True) + "\n").encode()


def probe(data_volume: str) -> dict[str, str]:
    """Snippets: the key, derived so that the secretkey itself stays on the host; and the file."""
    secretkey = quote(f"{data_volume}/secret/keys/secretkey")
    return {
        "key": f"test -s {secretkey} && {{ printf '%s' {quote(PURPOSE)}; cat {secretkey}; }} | sha256sum",
        "sent": f"cat {FILE}",
    }


def parse(facts: Mapping[str, Output]) -> Fingerprints:
    """What `probe` answered; an unreadable file means that nothing is known."""
    key, sent = (facts.get(name, NOT_READ) for name in ("key", "sent"))
    try:
        known = json.loads(sent.text) if sent.ok else {}
    except ValueError:
        known = {}
    return Fingerprints(Secret(key.text.split()[0]) if key.ok and key.text else None, known)
