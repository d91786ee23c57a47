"""Runs one host: plugs it in, boots it, boots it again when it reboots.

Started as `python3 -m lab.supervisor FOLDER` by host.py, in the host's cgroup.
"""

import os
import subprocess
import sys
from pathlib import Path

from lab import cable, cgroups, disk, machine, naming, network, state
from lab.state import HostState

REBOOT = 133  # systemd-nspawn's exit code when the guest asked for a reboot
ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # the guest sees cgroup v2 on hybrid machines too
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # Docker sets sysctls of its namespaces
}
# Refused by nspawn unless named; runc wants keyrings, Docker's cgroup v2 device filter bpf.
SYSTEM_CALLS = "add_key keyctl bpf"


def supervise(folder: Path) -> int:
    """Boot the host in `folder` until it goes off; its last exit code."""
    tag = naming.tag(folder.parent.parent)
    code = REBOOT
    while code == REBOOT:
        host = state.load(folder)
        network.plug(tag, host.name, host.number)
        cable.apply(tag, folder, host)
        code = subprocess.call(_nspawn(tag, folder, host), env={**os.environ, **ENVIRONMENT})
    return code


def _nspawn(tag: str, folder: Path, host: HostState) -> list[str]:
    name = naming.guest(tag, host.name)
    dropped = () if machine.has_sys_resource() else ("--drop-capability=CAP_SYS_RESOURCE",)
    binds = (f"--bind={folder / 'disks' / one}:{inside}" for one, inside in disk.BINDS.items())
    return cgroups.command(f"{name}/machine", [
        "systemd-nspawn", "--quiet", "--boot", f"--directory={folder / 'root'}",
        f"--machine={name}", f"--hostname={host.name}",
        "--register=no", "--keep-unit", f"--network-namespace-path={network.NAMESPACES / name}",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
        "--capability=all", *dropped, f"--system-call-filter={SYSTEM_CALLS}", *binds,
    ])


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
