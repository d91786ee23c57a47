"""The command line: python3 -m lab [--name LAB] VERB ..."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from lab import recipes
from lab.console import say
from lab.errors import LabError
from lab.fleet import DEFAULT, HostSpec, Lab
from lab.host import Host

# The shipped hosts.yaml gives Harbor these names: its own, and one that mirrors Docker Hub.
HARBOR_NAMES = ("harbor-cache.example.com", "docker-io.harbor-cache.example.com")
DEFAULT_HOSTS = (
    HostSpec("ar-harbor-01", "bookworm", "base", HARBOR_NAMES),
    HostSpec("upstream", "bookworm", "registry", ("registry.upstream.test",)),
    HostSpec("ci-runner-01", "bookworm", "docker"),
    HostSpec("ci-runner-02", "trixie", "docker"),
)


def parse_spec(text: str) -> HostSpec:
    """NAME=SUITE[/LAYER][,ALIAS...] as a HostSpec; LabError when it is not of that form."""
    name, equals, rest = text.partition("=")
    disk, *aliases = rest.split(",")
    suite, _, layer = disk.partition("/")
    if not equals or suite not in recipes.SUITES:
        raise LabError(f"{text!r} is not NAME={'|'.join(recipes.SUITES)}[/LAYER][,ALIAS...]")
    return HostSpec(name, suite, layer or "base", tuple(aliases))


def up(lab: Lab, options: argparse.Namespace) -> int:
    """Make the hosts named, or those of the default lab that are missing."""
    there = {host.name for host in lab.hosts}
    specs = [parse_spec(text) for text in options.spec] or [
        spec for spec in DEFAULT_HOSTS if spec.name not in there
    ]
    start = time.monotonic()
    hosts = lab.up_all(specs)
    for host in hosts:
        say(f"{host.name} is up at {host.address}")
    say(f"{len(hosts)} hosts in {time.monotonic() - start:.1f} s; ssh -F {lab.ssh_config} HOST")
    return 0


def down(lab: Lab, options: argparse.Namespace) -> int:
    """Take hosts away, or the whole lab when none is named."""
    for name in options.host:
        lab.remove(lab.host(name))
    if not options.host:
        lab.down()
    say(f"{', '.join(options.host) or f'the lab {lab.name}'} is down")
    return 0


def status(lab: Lab, options: argparse.Namespace) -> int:
    """Print the hosts and what is done to them."""
    rows = [_row(host) for host in lab.hosts]
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(
            "{name:16} {address:15} {disk:18} {power:4} link {link:4} "
            "delay {delay_ms:g} ms loss {loss_percent:g} %  {names}".format(
                **row, disk=f"{row['suite']}/{row['layer']}", names=" ".join(row["aliases"])
            )
        )
    return 0


def ssh(lab: Lab, options: argparse.Namespace) -> int:
    """Become ssh, with the lab's keys and strict host key checking."""
    host = lab.host(options.host)
    user = ["-l", options.user] if options.user else []
    argv = ["ssh", "-F", str(lab.ssh_config), *user, host.name, *options.command]
    os.execvp("ssh", argv)


def power(lab: Lab, options: argparse.Namespace) -> int:
    """Cut or restore a host's power."""
    host = lab.host(options.host)
    if options.word in {"off", "cycle"}:
        host.power_off()
    if options.word in {"on", "cycle"}:
        host.power_on()
    return 0


def link(lab: Lab, options: argparse.Namespace) -> int:
    """Pull or plug a host's cable."""
    lab.host(options.host).link(options.word == "on")
    return 0


def delay(lab: Lab, options: argparse.Namespace) -> int:
    """Add to the round trip time of a host."""
    lab.host(options.host).delay(options.number)
    return 0


def loss(lab: Lab, options: argparse.Namespace) -> int:
    """Lose a share of the packets to a host."""
    lab.host(options.host).loss(options.number)
    return 0


def layers(_: Lab, __: argparse.Namespace) -> int:
    """Print what hosts can be made of."""
    for recipe in recipes.RECIPES.values():
        print(f"{recipe.suite}/{recipe.name:10} {recipe.about}")
    return 0


def _row(host: Host) -> dict[str, Any]:
    known = host.state
    return {
        "name": host.name,
        "address": host.address,
        "suite": known.suite,
        "layer": known.layer,
        "aliases": list(known.aliases),
        "power": "on" if host.is_on else "off",
        "link": "on" if known.linked else "off",
        "delay_ms": known.delay_ms,
        "loss_percent": known.loss_percent,
    }


def parser() -> argparse.ArgumentParser:
    """All verbs and their arguments."""
    top = argparse.ArgumentParser(prog="python3 -m lab", description="disposable Debian hosts")
    top.add_argument("--name", "-n", default=DEFAULT, help="which lab (default: %(default)s)")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(action: Callable[[Lab, argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = (action.__doc__ or "").rstrip(".")
        added = verbs.add_parser(action.__name__, help=text, description=text)
        added.set_defaults(action=action)
        return added

    verb(up).add_argument("spec", nargs="*", help="NAME=SUITE[/LAYER][,ALIAS...]")
    verb(down).add_argument("host", nargs="*")
    verb(status).add_argument("--json", action="store_true", help="for programs")
    remote = verb(ssh)
    remote.add_argument("--user", "-l", help="account (default: deploy)")
    remote.add_argument("host")
    remote.add_argument("command", nargs=argparse.REMAINDER)
    for action, words in ((power, ("off", "on", "cycle")), (link, ("off", "on"))):
        added = verb(action)
        added.add_argument("host")
        added.add_argument("word", choices=words)
    for action, unit in ((delay, "MS"), (loss, "PERCENT")):
        added = verb(action)
        added.add_argument("host")
        added.add_argument("number", type=float, metavar=unit)
    verb(layers)
    return top


def stop(*_: object) -> None:
    """Ctrl-C: end at once, whatever the threads do, because `down` copes with any half."""
    say("interrupted; `down` removes what is there")
    os._exit(130)


def main() -> int:
    """Run one verb; 1 with a line on stderr when the lab cannot."""
    options = parser().parse_args()
    if os.geteuid() != 0:
        say("needs root")
        return 1
    signal.signal(signal.SIGINT, stop)
    try:
        return int(options.action(Lab(options.name), options))
    except LabError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
