"""What a host's cable does to packets: delay and loss, on arrival at the host."""

import sys
from contextlib import suppress
from pathlib import Path

from lab import cgroups, naming, network, shell, waiting
from lab.paths import PROJECT
from lab.state import HostState

QUEUE = 4242
CHAIN = "PREROUTING"


def apply(tag: str, folder: Path, host: HostState) -> None:
    """Make the cable of a plugged host as its state says, whatever it was before."""
    network.set_link(tag, host.number, linked=host.linked)
    group = f"{naming.guest(tag, host.name)}/delay"
    cgroups.kill(group)
    for rule in _present(tag, host):
        _iptables(tag, host, "-D", *rule)
    if host.delay_ms:
        _start_delay(tag, folder, host, group)
    for rule in _wanted(host):
        _iptables(tag, host, "-A", CHAIN, "-i", network.GUEST_INTERFACE, *rule)


def _wanted(host: HostState) -> list[list[str]]:
    rules = []
    if host.loss_percent:
        share = str(host.loss_percent / 100)
        rules += [["-m", "statistic", "--mode", "random", "--probability", share, "-j", "DROP"]]
    if host.delay_ms:
        rules += [["-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass"]]
    return rules


def _present(tag: str, host: HostState) -> list[list[str]]:
    """Our rules: nothing else of a host matches arrival on eth0 in the raw table."""
    listed = _iptables(tag, host, "-S", CHAIN).splitlines()
    mine = f"-i {network.GUEST_INTERFACE} "
    return [line.split()[1:] for line in listed if line.startswith("-A") and mine in line]


def _iptables(tag: str, host: HostState, *arguments: str) -> str:
    return _inside(tag, host, ["iptables", "-w", "-t", "raw", *arguments])


def _inside(tag: str, host: HostState, argv: list[str]) -> str:
    namespace = network.NAMESPACES / naming.guest(tag, host.name)
    return shell.run(["nsenter", f"--net={namespace}", *argv])


def _start_delay(tag: str, folder: Path, host: HostState, group: str) -> None:
    namespace = network.NAMESPACES / naming.guest(tag, host.name)
    cgroups.daemon(
        group,
        [
            "env",
            f"PYTHONPATH={PROJECT}",
            "nsenter",
            f"--net={namespace}",
            sys.executable,
            "-m",
            "lab.delay",
            str(QUEUE),
            str(host.delay_ms),
        ],
        folder / "delay.log",
    )
    waiting.until(lambda: _listens(group), 10, f"the delay to begin, see {folder / 'delay.log'}")


def _listens(group: str) -> bool:
    """Whether our queue is bound: until then the rule lets packets pass at once."""
    for pid in cgroups.processes(group):
        with suppress(FileNotFoundError):
            listed = Path(f"/proc/{pid}/net/netfilter/nfnetlink_queue").read_text()
            return any(line.split()[0] == str(QUEUE) for line in listed.splitlines())
    return False
