"""The effects a plan can ask for. Each says why, in words an operator can check."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WriteFile:
    """Put `content` at `path` on the host, in one step, with this owner and mode."""

    why: str
    path: str
    content: bytes = field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    diff: str = ""


@dataclass(frozen=True)
class Run:
    """Run `script` (POSIX sh, as root, under `set -eu`); `timeout` in seconds."""

    why: str
    script: str = field(repr=False)
    timeout: int = 600


@dataclass(frozen=True)
class FetchRelease:
    """Bring the verified release tarball to `path` on the host, resuming what is there."""

    why: str
    path: str


@dataclass(frozen=True)
class SendFile:
    """Stream the file `source` of the operator's machine to `path`, resuming, and compare digests."""

    why: str
    source: str
    path: str


@dataclass(frozen=True)
class OrderCertificate:
    """Have the CA issue the certificate: checked, rehearsed with a staging CA, counted, awaited."""

    why: str


Change = WriteFile | Run | FetchRelease | SendFile | OrderCertificate
