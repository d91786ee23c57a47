"""A lab's network: one bridge with a /24 of its own, one cable (veth pair) for each host.

The range is 198.18.0.0/15, set aside by RFC 2544 for tests of network devices, so that no
real network of the machine is hidden.  The bridge's address is itself the claim on a /24.
"""

import ipaddress
import json
from pathlib import Path
from typing import Any

from lab import locks, naming, shell
from lab.errors import LabError

RANGE = ipaddress.IPv4Network("198.18.0.0/15")
NAMESPACES = Path("/run/netns")
GUEST_INTERFACE = "eth0"
FIRST_HOST = 2


def gateway(tag: str) -> str:
    """The bridge's address; LabError when the lab has no bridge."""
    address = _address_of(naming.bridge(tag))
    if address is None:
        raise LabError("the lab's network is not up; after a restart of the machine: down, then up")
    return address


def host_address(tag: str, number: int) -> str:
    """The address of the host with this number."""
    return gateway(tag).rsplit(".", 1)[0] + f".{number}"


def up(tag: str) -> None:
    """Make the lab's bridge and let its hosts out through the machine; does nothing twice."""
    bridge = naming.bridge(tag)
    with locks.hold(locks.MACHINE, 60):
        if not _exists(bridge):
            shell.run(["ip", "link", "add", bridge, "type", "bridge"])
        if _address_of(bridge) is None:
            shell.run(["ip", "address", "add", f"{_free(tag)}/24", "dev", bridge])
        shell.run(["ip", "link", "set", bridge, "up"])
        _forward(bridge, gateway(tag))


def down(tag: str) -> None:
    """Remove namespaces, cables, bridge and rules of a lab, whichever of them exist."""
    for namespace in namespaces(tag):
        shell.attempt(["ip", "netns", "delete", namespace])
    for name in interfaces():
        if name == naming.bridge(tag) or name.startswith(naming.cables(tag)):
            shell.attempt(["ip", "link", "delete", name])
    with locks.hold(locks.MACHINE, 60):
        for table, rule in _rules(naming.bridge(tag)):
            shell.run(["iptables", "-w", "-t", table, "-D", *rule])


def plug(tag: str, host: str, number: int) -> None:
    """Give a host a fresh network namespace with `eth0` on the lab's bridge.

    Fresh for each boot: a real machine forgets its rules and bridges when it goes off.
    """
    unplug(tag, host, number)
    namespace, cable = naming.guest(tag, host), naming.cable(tag, number)
    shell.run(["ip", "netns", "add", namespace])
    shell.run(
        [
            "ip",
            "link",
            "add",
            cable,
            "type",
            "veth",
            "peer",
            "name",
            GUEST_INTERFACE,
            "netns",
            namespace,
        ]
    )
    shell.run(["ip", "link", "set", cable, "master", naming.bridge(tag), "up"])
    commands = (
        "link set lo up",
        f"link set {GUEST_INTERFACE} address {naming.hardware(tag, number)}",
        f"address add {host_address(tag, number)}/24 dev {GUEST_INTERFACE}",
        f"link set {GUEST_INTERFACE} up",
        f"route add default via {gateway(tag)}",
    )
    shell.run(["ip", "-netns", namespace, "-batch", "-"], stdin="\n".join(commands) + "\n")


def unplug(tag: str, host: str, number: int) -> None:
    """Remove a host's cable and namespace if they exist."""
    if naming.cable(tag, number) in interfaces():
        shell.attempt(["ip", "link", "delete", naming.cable(tag, number)])
    if (NAMESPACES / naming.guest(tag, host)).exists():
        shell.run(["ip", "netns", "delete", naming.guest(tag, host)])


def set_link(tag: str, number: int, *, linked: bool) -> None:
    """Pull out or plug in a host's cable, seen by the host as carrier lost or found."""
    word = "up" if linked else "down"
    shell.run(["ip", "link", "set", naming.cable(tag, number), word])


def interfaces() -> set[str]:
    """Names of all network interfaces outside."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def namespaces(tag: str) -> set[str]:
    """Names of the network namespaces of a lab's hosts."""
    return {path.name for path in NAMESPACES.glob(naming.guests(tag) + "*")}


def _exists(interface: str) -> bool:
    return interface in interfaces()


def _addresses() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shell.run(["ip", "-json", "-4", "address"]))
    return found


def _address_of(interface: str) -> str | None:
    for link in _addresses():
        if link.get("ifname") == interface and link["addr_info"]:
            return str(link["addr_info"][0]["local"])
    return None


def _free(tag: str) -> str:
    """The first address of a /24 that no interface and no route uses, from the tag on."""
    nets = list(RANGE.subnets(new_prefix=24))
    first = int(tag, 16) % len(nets)
    used = _used()
    for net in nets[first:] + nets[:first]:
        if not any(net.overlaps(one) for one in used):
            return str(net[1])
    raise LabError(f"no free /24 in {RANGE}")


def _used() -> list[ipaddress.IPv4Network]:
    routes = json.loads(shell.run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    texts = [route["dst"] for route in routes if route["dst"] != "default"]
    return [ipaddress.IPv4Network(text, strict=False) for text in texts]


def _forward(bridge: str, address: str) -> None:
    """Translate what leaves, and accept what a Docker engine outside would drop."""
    have = [rule for _, rule in _rules(bridge)]
    net = str(ipaddress.ip_network(f"{address}/24", strict=False))
    for table, rule, where in (
        ("nat", ["POSTROUTING", "-s", net, "!", "-o", bridge, "-j", "MASQUERADE"], "-A"),
        ("filter", ["FORWARD", "-i", bridge, "-j", "ACCEPT"], "-I"),
        ("filter", ["FORWARD", "-o", bridge, "-j", "ACCEPT"], "-I"),
    ):
        if rule not in have:
            shell.run(["iptables", "-w", "-t", table, where, *rule])


def _rules(bridge: str) -> list[tuple[str, list[str]]]:
    """Table and rule of all iptables rules that name the bridge."""
    return [
        (table, line.split()[1:])
        for table in ("nat", "filter")
        for line in shell.run(["iptables", "-w", "-t", table, "-S"]).splitlines()
        if line.startswith("-A ") and bridge in line.split()
    ]
