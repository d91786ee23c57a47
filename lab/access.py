"""How people and tools log in: a key for the lab, an ssh_config and a known_hosts."""

from pathlib import Path

from lab import disk, network, paths, shell, state
from lab.state import HostState

KEY, CONFIG, KNOWN_HOSTS = "id_ed25519", "ssh_config", "known_hosts"
DEFAULT_LAB = "default"


def make_key(folder: Path) -> None:
    """A key pair for the lab, unless it has one."""
    if not (folder / f"{KEY}.pub").exists():
        (folder / KEY).unlink(missing_ok=True)
        shell.run(
            [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                f"lab {folder.name}",
                "-f",
                str(folder / KEY),
            ]
        )


def public_key(folder: Path) -> str:
    """The lab's public key, one line."""
    return (folder / f"{KEY}.pub").read_text().strip()


def publish(tag: str, folder: Path) -> None:
    """Write ssh_config and known_hosts for all hosts; for the default lab at fixed paths too."""
    hosts = [
        one for one in state.every(folder) if (folder / "hosts" / one.name / "root").is_mount()
    ]
    known = "".join(_known(tag, folder, host) for host in hosts)
    state.replace_text(folder / KNOWN_HOSTS, known)
    state.replace_text(folder / CONFIG, "".join(_entry(tag, folder, host) for host in hosts))
    for name in _fixed(folder):
        link = paths.runs() / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(folder.name) / name)


def withdraw(folder: Path) -> None:
    """Remove the fixed paths of a default lab that is down."""
    for name in _fixed(folder):
        (paths.runs() / name).unlink(missing_ok=True)


def _fixed(folder: Path) -> tuple[str, ...]:
    return (CONFIG, KNOWN_HOSTS, KEY) if folder.name == DEFAULT_LAB else ()


def _known(tag: str, folder: Path, host: HostState) -> str:
    names = ",".join((host.name, *host.aliases, network.host_address(tag, host.number)))
    return f"{names} {disk.host_key(folder / 'hosts' / host.name)}\n"


def _entry(tag: str, folder: Path, host: HostState) -> str:
    return (
        f"Host {' '.join((host.name, *host.aliases))}\n"
        f"    HostName {network.host_address(tag, host.number)}\n"
        f"    User deploy\n"
        f"    IdentityFile {folder / KEY}\n"
        f"    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {folder / KNOWN_HOSTS}\n"
        f"    StrictHostKeyChecking yes\n\n"
    )
