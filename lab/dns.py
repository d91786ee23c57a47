"""Names of a lab: the hosts files inside, and a name server on the bridge for containers.

Containers do not read their host's /etc/hosts, so every guest's resolv.conf points at a
dnsmasq of the lab that knows the same names and asks the machine's resolver for the rest.
"""

import os
import signal
from pathlib import Path

from lab import cgroups, locks, naming, network, state

HOSTS_FILE = "names"
ZONES_FILE = "zones"
HOSTS_HEAD = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


def lines(tag: str, run: Path) -> str:
    """The names of all hosts of a lab in the form of hosts(5)."""
    return "".join(
        f"{network.host_address(tag, one.number)} {' '.join((one.name, *one.aliases))}\n"
        for one in state.every(run)
    )


def refresh(tag: str, run: Path) -> None:
    """Tell every host of a lab, and its name server, the names as they are now."""
    known = lines(tag, run)
    state.replace_text(run / HOSTS_FILE, known)
    for one in state.every(run):
        etc = run / "hosts" / one.name / "root" / "etc"
        if etc.is_dir():
            state.replace_text(etc / "hosts", HOSTS_HEAD + known)
    for pid in cgroups.processes(naming.services(tag)):
        os.kill(pid, signal.SIGHUP)


def serve(tag: str, run: Path) -> None:
    """Start the lab's name server unless it runs."""
    with locks.hold(run / ".names.lock", 30):
        if cgroups.processes(naming.services(tag)):
            return
        for file in (HOSTS_FILE, ZONES_FILE):
            (run / file).touch()
        cgroups.daemon(
            naming.services(tag),
            [
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-hosts",
                "--user=root",
                f"--addn-hosts={run / HOSTS_FILE}",
                f"--servers-file={run / ZONES_FILE}",
                f"--listen-address={network.gateway(tag)}",
                "--bind-interfaces",
                "--except-interface=lo",
                "--pid-file=",
                "--log-facility=-",
                "--no-negcache",
            ],
            run / "names.log",
        )


def delegate(tag: str, run: Path, zone: str, address: str) -> None:
    """Have the name server ask `address` about everything in `zone`."""
    file = run / ZONES_FILE
    state.replace_text(file, f"{file.read_text()}server=/{naming.check_full(zone)}/{address}\n")
    refresh(tag, run)
