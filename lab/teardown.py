"""Removing a lab from whatever state it is in, found by its tag and its folder alone."""

import shutil
from pathlib import Path

from lab import cgroups, naming, network, nspawn, shell, waiting

MOUNTS = Path("/proc/self/mounts")


def everything(tag: str, folder: Path) -> None:
    """Kill, unplug, unmount and delete; each part may be there or not."""
    for group in cgroups.named(naming.guests(tag)) | cgroups.named(naming.services(tag)):
        cgroups.kill(group)
    network.down(tag)
    for host in (folder / "hosts").glob("*"):
        nspawn.forget(naming.guest(tag, host.name), host / "root")
    # A mount stays busy until the kernel has taken the dead guests' namespaces apart.
    waiting.until(lambda: _unmounted(folder), 30, f"mounts under {folder} to go")
    if folder.exists():
        shutil.rmtree(folder)


def one(folder: Path, group: str) -> None:
    """Unmount and delete what a host without power has in `folder`."""
    nspawn.forget(group, folder / "root")
    waiting.until(lambda: _unmounted(folder), 30, f"mounts under {folder} to go")
    shutil.rmtree(folder)


def mounts(folder: Path) -> list[str]:
    """Mount points below `folder`, the innermost first."""
    points = [line.split()[1] for line in MOUNTS.read_text().splitlines()]
    return [point for point in reversed(points) if Path(point).is_relative_to(folder)]


def _unmounted(folder: Path) -> bool:
    for point in mounts(folder):
        shell.attempt(["umount", point])
    return not mounts(folder)
