"""Names that the kernel knows a lab by, all derived from the lab's run folder.

Nothing needs to be written down to find what a killed lab left behind: everything carries
the lab's tag.  Interface names have a limit of 15 characters.
"""

import hashlib
import re
from pathlib import Path

from lab.errors import LabError

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
FULL_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,200}[a-z0-9])?")


def tag(run: Path) -> str:
    """Six hexadecimal digits that no other run folder on this machine is likely to share."""
    return hashlib.sha256(str(run).encode()).hexdigest()[:6]


def bridge(lab: str) -> str:
    """The bridge of the lab with this tag."""
    return f"lb{lab}"


def cable(lab: str, number: int) -> str:
    """The outer end of a host's veth pair."""
    return f"{cables(lab)}{number}"


def cables(lab: str) -> str:
    """What the outer ends of all veth pairs of a lab start with."""
    return f"lv{lab}-"


def hardware(lab: str, number: int) -> str:
    """A host's MAC address, locally administered.

    The same after every boot: with another one, neighbours that remember the old one would
    not reach the host for up to a minute.
    """
    return ":".join(["02", lab[0:2], lab[2:4], lab[4:6], "00", f"{number:02x}"])


def guest(lab: str, host: str) -> str:
    """A host's network namespace, cgroup and nspawn machine."""
    return f"{guests(lab)}{host}"


def guests(lab: str) -> str:
    """What the namespaces, cgroups and machines of all hosts of a lab start with."""
    return f"lab-{lab}-"


def services(lab: str) -> str:
    """The cgroup of what serves all hosts of a lab (its name server)."""
    return f"labsrv-{lab}"


def check_host(name: str) -> str:
    """`name` if it can be a host's; LabError otherwise."""
    if not HOST_NAME.fullmatch(name):
        raise LabError(f"{name!r} is no host name: lower-case letters, digits, hyphens")
    return name


def check_full(name: str) -> str:
    """`name` if it can be an alias; LabError otherwise."""
    if not FULL_NAME.fullmatch(name):
        raise LabError(f"{name!r} is no domain name: lower-case letters, digits, hyphens, dots")
    return name
