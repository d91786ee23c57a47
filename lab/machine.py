"""The machine outside: its packages, capabilities and limits."""

import shutil
from pathlib import Path

from lab import locks, shell
from lab.console import say

__all__ = ["has_sys_resource", "install_missing", "prepare", "say"]

PACKAGE_OF = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "iptables": "iptables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "dnsmasq": "dnsmasq-base",
    "zstd": "zstd",
    "nsenter": "util-linux",
    "gpg": "gpg",  # for signed releases, as an operator's machine has it
    "gpg-agent": "gpg-agent",
}
CAP_SYS_RESOURCE = 24
# Every systemd and every dockerd holds several inotify instances, all counted as root's.
INOTIFY_INSTANCES = 1024


def prepare() -> None:
    """Install missing tools and raise the limits that several hosts need."""
    with locks.hold(locks.MACHINE, 300):
        install_missing()
        _raise(Path("/proc/sys/net/ipv4/ip_forward"), 1)
        _raise(Path("/proc/sys/fs/inotify/max_user_instances"), INOTIFY_INSTANCES)


def install_missing() -> None:
    """Install with apt the packages of absent commands; says so first."""
    missing = sorted({package for command, package in PACKAGE_OF.items() if not _has(command)})
    if not missing:
        return
    say(f"installing {' '.join(missing)} (10 s)")
    shell.run(["apt-get", "-q", "update"])
    shell.run(
        [
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "install",
            "-y",
            "--no-install-recommends",
            *missing,
        ]
    )


def has_sys_resource() -> bool:
    """Whether this machine may give CAP_SYS_RESOURCE to a guest (proc(5), CapBnd)."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


def _has(command: str) -> bool:
    return shutil.which(command, path="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin") is not None


def _raise(limit: Path, wanted: int) -> None:
    if int(limit.read_text()) < wanted:
        limit.write_text(str(wanted))
