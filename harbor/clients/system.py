"""The system's own certificate store, on Debian's family and on Red Hat's.

Only for runtimes that look nowhere else: whoever holds the CA's key could then sign any name for
every program of the client, so it is not filled without need.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from harbor.clients.cache import Cache
from harbor.clients.part import Part
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output

NAME = "system"
DEBIAN, REDHAT = "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"
UPDATES = {DEBIAN: "update-ca-certificates >/dev/null", REDHAT: "update-ca-trust extract"}
BUNDLES = {
    DEBIAN: "/etc/ssl/certs/ca-certificates.crt",
    REDHAT: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
}
# The newest CA that we put there; the shell pattern stays as it is where there is none.
NEWEST_CA = f"ls -t {DEBIAN}/harbor-cache-*.crt {REDHAT}/harbor-cache-*.crt 2>/dev/null | head -n1"


@dataclass(frozen=True)
class Facts:
    """The folder for CAs of the operator's own (empty: a system we do not know), and the bundle."""

    folder: str
    bundle: str


def probe() -> dict[str, str]:
    return {
        "debian": f"command -v update-ca-certificates && cat {BUNDLES[DEBIAN]}",
        "redhat": f"command -v update-ca-trust && cat {BUNDLES[REDHAT]}",
    }


def parse(outputs: Mapping[str, Output]) -> Facts:
    for key, folder in (("debian", DEBIAN), ("redhat", REDHAT)):
        found = outputs.get(key, NOT_READ)
        if found.ok:
            return Facts(folder, found.text)
    return Facts("", "")


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    if not cache.ca:
        return nothing(facts)
    if not facts.folder:
        return Part(
            NAME,
            refused=Refused(
                "the system's store of certificates was not found",
                "install ca-certificates, or set client.system_store: never",
            ),
        )
    certificates = pem_blocks(cache.ca)
    name = cache.host.replace(":", "-")
    return Part(
        NAME,
        tuple(
            # One certificate a file: update-ca-certificates ignores what stands behind the first.
            ManagedFile(f"{facts.folder}/harbor-cache-{name}-{number}.crt", pem, shows="nothing")
            for number, pem in enumerate(certificates, 1)
        ),
        loaded=all(_body(pem) in facts.bundle.replace("\n", "") for pem in certificates),
        reload=UPDATES[facts.folder],
        reload_why="the system's bundle of certificates is built again",
    )


def nothing(facts: Facts) -> Part:
    """None of our certificates here: what was put there earlier goes."""
    return Part(NAME, reload=reload(facts), reload_why="the system's bundle is built again")


def reload(facts: Facts) -> str:
    return UPDATES.get(facts.folder, "")


def pem_blocks(text: bytes) -> list[bytes]:
    """Each certificate of a PEM text by itself."""
    end = b"-----END CERTIFICATE-----"
    return [
        part[part.index(b"-----BEGIN CERTIFICATE-----") :] + end + b"\n"
        for part in text.split(end)[:-1]
    ]


def _body(pem: bytes) -> str:
    return "".join(pem.decode().split("\n")[1:-2])
