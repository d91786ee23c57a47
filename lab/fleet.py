"""A lab: hosts that see each other, on a network of their own."""

import json
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab import (
    access,
    disk,
    dns,
    images,
    locks,
    machine,
    naming,
    network,
    paths,
    recipes,
    state,
    teardown,
)
from lab.errors import LabError
from lab.host import Host
from lab.state import HostState

DEFAULT = "default"
HOSTS_AT_MOST = 250
BUSY_SECONDS = 1800.0
GOLDEN = "golden.json"


@dataclass(frozen=True)
class HostSpec:
    """A host to make.  With `golden`, suite and layer are those of the golden disk."""

    name: str
    suite: str = "bookworm"
    layer: str = "base"
    aliases: tuple[str, ...] = ()
    golden: str | None = None


class Lab:
    """The lab of this name in this project; `with` takes it down at the end."""

    def __init__(self, name: str = DEFAULT) -> None:
        """Refer to a lab, running or not; nothing happens until `up`."""
        self.name = naming.check_host(name)
        self.folder = paths.runs() / name
        self.tag = naming.tag(self.folder)

    def __enter__(self) -> Self:
        """Hand out the lab as it is."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the lab down, whatever happened."""
        self.down()

    @property
    def ssh_config(self) -> Path:
        """An ssh client configuration (`ssh -F`) with an entry for each host and alias."""
        return self.folder / access.CONFIG

    @property
    def known_hosts(self) -> Path:
        """The host keys of all hosts, for strict checking."""
        return self.folder / access.KNOWN_HOSTS

    @property
    def key(self) -> Path:
        """The private key that every account of every host admits."""
        return self.folder / access.KEY

    @property
    def hosts(self) -> list[Host]:
        """All hosts of the lab in the order they were made."""
        return [self.host(one.name) for one in state.every(self.folder)]

    def host(self, name: str) -> Host:
        """The host of this name; LabError if there is none."""
        return Host(self.folder / "hosts" / name)

    def up(
        self,
        name: str,
        suite: str = "bookworm",
        layer: str = "base",
        aliases: Sequence[str] = (),
        golden: str | None = None,
    ) -> Host:
        """Make and boot one host; returns when ssh lets people in."""
        return self.up_all([HostSpec(name, suite, layer, tuple(aliases), golden)])[0]

    def up_all(self, specs: Iterable[HostSpec]) -> list[Host]:
        """Make and boot hosts side by side; all are known to each other by name first."""
        wanted = list(specs)
        self._check(wanted)
        machine.prepare()
        with locks.hold(locks.of_lab(self.tag), BUSY_SECONDS, shared=True) as lock:
            self._open()
            self._enter(wanted)
            hosts = [self.host(spec.name) for spec in wanted]
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(self._prepare, wanted))
                self._publish()
                list(pool.map(lambda host: host.boot(lock), hosts))
                list(pool.map(Host.wait_ssh, hosts))
        return hosts

    def alias(self, name: str, host: Host) -> None:
        """Make `name` another name of `host` in the whole lab, and of no other host."""
        naming.check_full(name)
        with self._changing():
            for one in self.hosts:
                kept = tuple(alias for alias in one.state.aliases if alias != name)
                more = (name,) if one.name == host.name else ()
                state.change(one.folder, aliases=kept + more)
        self._publish()

    def delegate(self, zone: str, host: Host) -> None:
        """Have the whole lab ask `host` (a name server) about everything in `zone`."""
        dns.delegate(self.tag, self.folder, zone, host.address)

    def golden(self, name: str, host: Host) -> None:
        """Keep a host's disk under `name`, for `up(golden=name)`; lives as long as the lab.

        The host is shut down in good order for the copy and then booted again.
        """
        target = self.folder / "golden" / naming.check_host(name)
        if target.exists():
            raise LabError(f"there is a golden disk {name} already")
        scratch = target.with_suffix(".building")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        host.shutdown()
        disk.copy(host.folder / "upper", scratch / "upper")
        disk.copy(host.folder / "disks", scratch / "disks")
        known = {
            "suite": host.state.suite,
            "layer": host.state.layer,
            "layers": [str(target / "upper"), *host.state.layers],
        }
        (scratch / GOLDEN).write_text(json.dumps(known))
        scratch.rename(target)
        host.power_on()

    def remove(self, host: Host) -> None:
        """Take one host away, its disk included; the others forget its names."""
        with locks.hold(locks.of_lab(self.tag), BUSY_SECONDS, shared=True):
            host.power_off()
            teardown.one(host.folder, host.group)
            self._publish()

    def down(self) -> None:
        """End the lab and remove every trace of it, also of one half made."""
        with locks.hold(locks.of_lab(self.tag), BUSY_SECONDS):
            teardown.everything(self.tag, self.folder)
            with suppress(FileNotFoundError):
                locks.of_lab(self.tag).unlink()
        access.withdraw(self.folder)

    def _changing(self) -> AbstractContextManager[int]:
        return locks.hold(self.folder / ".state.lock", 60)

    def _open(self) -> None:
        """The lab's folder, keys, network and name server, made where missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._changing():
            access.make_key(self.folder)
        network.up(self.tag)
        dns.serve(self.tag, self.folder)

    def _check(self, specs: list[HostSpec]) -> None:
        """LabError for what can be seen to be wrong before anything is built."""
        names = [one.name for one in state.every(self.folder)] + [spec.name for spec in specs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise LabError(f"there already: {', '.join(sorted(twice))}")
        for spec in specs:
            naming.check_host(spec.name)
            for alias in spec.aliases:
                naming.check_full(alias)
            if not spec.golden:
                recipes.find(spec.suite, spec.layer)

    def _enter(self, specs: list[HostSpec]) -> None:
        """Build what is missing, then write down the new hosts with a number each."""
        layers = self._layers(specs)
        with self._changing():
            self._check(specs)  # another process may have been quicker
            taken = {one.number for one in state.every(self.folder)}
            free = (n for n in range(network.FIRST_HOST, HOSTS_AT_MOST) if n not in taken)
            for spec, below in zip(specs, layers, strict=True):
                self._enter_one(spec, below, next(free))

    def _enter_one(self, spec: HostSpec, layers: list[str], number: int) -> None:
        suite, layer = spec.suite, spec.layer
        if spec.golden:
            known = self._golden(spec.golden)
            suite, layer = str(known["suite"]), str(known["layer"])
        new = HostState(
            naming.check_host(spec.name),
            suite,
            layer,
            tuple(layers),
            number,
            tuple(naming.check_full(alias) for alias in spec.aliases),
        )
        state.save(self.folder / "hosts" / spec.name, new)

    def _layers(self, specs: list[HostSpec]) -> list[list[str]]:
        """The folders under each host's disk; different layers are built side by side."""
        plain = {(spec.suite, spec.layer) for spec in specs if not spec.golden}
        with ThreadPoolExecutor(max_workers=4) as pool:
            built = dict(zip(plain, pool.map(lambda one: images.ensure(*one), plain), strict=True))
        return [
            list(self._golden(spec.golden)["layers"])
            if spec.golden
            else [str(folder) for folder in built[spec.suite, spec.layer]]
            for spec in specs
        ]

    def _golden(self, name: str) -> dict[str, Any]:
        file = self.folder / "golden" / name / GOLDEN
        if not file.exists():
            raise LabError(f"no golden disk {name} in the lab {self.name}")
        known: dict[str, Any] = json.loads(file.read_text())
        return known

    def _prepare(self, spec: HostSpec) -> None:
        folder = self.folder / "hosts" / spec.name
        copies = self.folder / "golden" / spec.golden / "disks" if spec.golden else None
        key = access.public_key(self.folder)
        disk.prepare(self.tag, folder, state.load(folder), key, copy_from=copies)

    def _publish(self) -> None:
        """Tell hosts, name server and ssh clients who is who."""
        with self._changing():
            dns.refresh(self.tag, self.folder)
            access.publish(self.tag, self.folder)
