"""A host's disk: its layers with an overlay of its own, and what makes it itself.

Docker, containerd and podman get folders of a real file system: on an overlay Docker would
fall back to copying (its `vfs` driver) without a word.
"""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from lab import machine, network, shell, state
from lab.state import HostState

BINDS = {
    "docker": "/var/lib/docker",
    "containerd": "/var/lib/containerd",
    "containers": "/var/lib/containers",
}
ACCOUNTS = {"root": (0, "root"), "deploy": (1000, "home/deploy"), "careful": (1001, "home/careful")}
RUNTIME = "/usr/local/sbin/lab-runc"
RUNTIME_NAME = "lab-runc"
# Without CAP_SYS_RESOURCE crun cannot raise RLIMIT_MEMLOCK, which it does for cgroups.
PODMAN_CONFIG = """# Written by the lab, on machines that lack CAP_SYS_RESOURCE.
[containers]
cgroups = "disabled"
pids_limit = 0
"""
# `docker run --privileged` asks for every capability; one that the machine itself lacks makes
# runc fail.  This runtime strikes it from the container's OCI config before it is created.
RUNTIME_SCRIPT = r"""#!/bin/sh
# Written by the lab, on machines that lack CAP_SYS_RESOURCE: runc without that capability.
bundle=.
previous=
for argument; do
    case $previous in -b | --bundle) bundle=$argument ;; esac
    case $argument in --bundle=*) bundle=${argument#--bundle=} ;; esac
    previous=$argument
done
if [ -f "$bundle/config.json" ]; then
    sed -i 's/"CAP_SYS_RESOURCE",//g; s/,"CAP_SYS_RESOURCE"//g' "$bundle/config.json"
fi
exec runc "$@"
"""


def prepare(tag: str, folder: Path, host: HostState, key: str, *, copy_from: Path | None) -> None:
    """Mount a new host's disk in `folder`/root and give it its own identity.

    `key` is the public key that may log in; `copy_from` holds the container data to start with.
    """
    for name in BINDS:
        source = copy_from / name if copy_from else None
        _fill(folder / "disks" / name, source)
    mount(folder, host)
    root = folder / "root"
    _identify(root, host)
    _admit(root, key)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text(f"nameserver {network.gateway(tag)}\n")
    if not machine.has_sys_resource():
        _install_runtime(root)
        _relieve_podman(root)


def mount(folder: Path, host: HostState) -> None:
    """Mount a host's overlay unless it is."""
    root = folder / "root"
    if root.is_mount():
        return
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(host.layers)},upperdir={folder}/upper,workdir={folder}/work"
    shell.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)])


def host_key(folder: Path) -> str:
    """The public ssh host key of a prepared host: type and key, without a comment."""
    text = (folder / "root/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    return " ".join(text.split()[:2])


def copy(source: Path, target: Path) -> None:
    """Copy a tree with owners, times, links and the overlay's own attributes."""
    shell.run(["cp", "--archive", "--reflink=auto", str(source), str(target)])


def _fill(target: Path, source: Path | None) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source:
        copy(source, target)
    else:
        target.mkdir()


def _identify(root: Path, host: HostState) -> None:
    """Machine id, host name and ssh host key, none of them shared with another host."""
    _write(root / "etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
    _write(root / "etc/hostname", host.name + "\n")
    key = root / "etc/ssh/ssh_host_ed25519_key"
    for old in root.glob("etc/ssh/ssh_host_*"):
        old.unlink()
    shell.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key)])


def _admit(root: Path, key: str) -> None:
    """Let the lab's key into every account."""
    for owner, home in ACCOUNTS.values():
        file = root / home / ".ssh" / "authorized_keys"
        _write(file, key + "\n", 0o600)
        shutil.chown(file, owner, owner)


def _install_runtime(root: Path) -> None:
    """Make the reduced runc Docker's default, whether Docker is there yet or comes later."""
    script = root / RUNTIME.lstrip("/")
    _write(script, RUNTIME_SCRIPT, 0o755)
    config = root / "etc/docker/daemon.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(config.read_text()) if config.exists() else {}
    known["default-runtime"] = RUNTIME_NAME
    known.setdefault("runtimes", {})[RUNTIME_NAME] = {"path": RUNTIME}
    _write(config, json.dumps(known, indent=2) + "\n")


def _relieve_podman(root: Path) -> None:
    """Keep podman, where it is installed, from limits that this machine cannot set."""
    config = root / "etc/containers/containers.conf"
    if config.parent.is_dir() and not config.exists():
        _write(config, PODMAN_CONFIG)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state.replace_text(path, text, mode)
