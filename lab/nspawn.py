"""systemd-nspawn: how a guest is booted, and what a killed one leaves behind."""

from contextlib import suppress
from pathlib import Path

from lab import disk, machine, naming, network
from lab.state import HostState

REBOOT = 133  # nspawn's exit code when the guest asked for a reboot
ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # the guest sees cgroup v2 on hybrid machines too
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # Docker sets sysctls of its namespaces
}
# Refused by nspawn unless named; runc wants keyrings, Docker's cgroup v2 device filter bpf.
SYSTEM_CALLS = "add_key keyctl bpf"
RUN = Path("/run/systemd/nspawn")


def command(tag: str, folder: Path, host: HostState) -> list[str]:
    """What boots the host in `folder` and ends when it goes off."""
    name = naming.guest(tag, host.name)
    dropped = () if machine.has_sys_resource() else ("--drop-capability=CAP_SYS_RESOURCE",)
    binds = (f"--bind={folder / 'disks' / one}:{inside}" for one, inside in disk.BINDS.items())
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={folder / 'root'}",
        f"--machine={name}",
        f"--hostname={host.name}",
        "--register=no",
        "--keep-unit",
        f"--network-namespace-path={network.NAMESPACES / name}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--capability=all",
        *dropped,
        f"--system-call-filter={SYSTEM_CALLS}",
        *binds,
    ]


def forget(name: str, root: Path) -> None:
    """Remove what nspawn removes itself when it is not killed.

    That is an empty folder for mounts and a lock named after the root folder's inode, so
    `root` has to be mounted still.
    """
    with suppress(FileNotFoundError):
        (RUN / "propagate" / name).rmdir()
    with suppress(FileNotFoundError):
        stat = root.stat()
        (RUN / "locks" / f"inode-{stat.st_dev}:{stat.st_ino}").unlink()
