"""Run one piece of work on every host that a task means, and report each host by itself."""

import datetime
import getpass
import os
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import invoke
from fabric import Config

from harbor.errors import OpsError
from harbor.inventory import InventoryHost
from harbor.settings import Settings
from harbor.shell import Secret
from tasks._connect import Connection, connect_config
from tasks._host import Host
from tasks._inventory import Loaded, harbor_settings, load
from tasks._report import Report, Result

PARALLEL = 20


@dataclass(frozen=True)
class Target:
    """One host of a run: its connection, what the inventory says of it, and where to report."""

    host: Host
    entry: InventoryHost
    report: Report
    result: Result

    def say(self, text: str, style: str = "") -> None:
        self.report.line(self.host.name, text, style)

    def progress(self, text: str) -> None:
        self.report.progress(self.host.name, text)


Work = Callable[[Target], str]


def wanted(c: invoke.Context) -> list[str]:
    """The names given with `-H`."""
    return list(c.config.get("wanted", []))


def open_host(
    c: invoke.Context, loaded: Loaded, name: str, *, secrets: Iterable[Secret] = (), read_only: bool
) -> Host:
    """The host `name` of the inventory; it connects at its first command."""
    entry, ssh = loaded.inventory.hosts[name], loaded.inventory.ssh
    configs = [loaded.path(ssh.config)] if ssh.config else []
    known_hosts = (loaded.path(ssh.known_hosts),) if ssh.known_hosts else ()
    base = c.config if isinstance(c.config, Config) else Config()
    config = connect_config([path for path in configs if path.is_file()], base)
    gateway = None
    if entry.ssh.jump:
        gateway = Connection(entry.ssh.jump, config=config, known_hosts=known_hosts)
    kwargs = {}
    if entry.ssh.identity_file:
        kwargs["key_filename"] = str(loaded.path(entry.ssh.identity_file))
    connection = Connection(
        entry.ssh.address or name,
        user=entry.ssh.user,
        port=entry.ssh.port,
        gateway=gateway,
        config=config,
        connect_kwargs=kwargs,
        known_hosts=known_hosts,
    )
    return Host(name, connection, secrets=list(secrets), read_only=read_only)


def run(
    c: invoke.Context,
    role: str,
    work: Work,
    *,
    loaded: Loaded | None = None,
    secrets: Iterable[Secret] = (),
    read_only: bool = False,
    one_by_one: bool = False,
    as_json: bool = False,
) -> None:
    """`work` on every host of `role` that `-H` means; ends the run with the hosts' exit code.

    `one_by_one`: a rolling change, which stops at the first host that fails.
    """
    loaded = loaded or load()
    entries = loaded.hosts(wanted(c), role)
    secrets = list(secrets)
    with Report(secrets, as_json=as_json) as report:
        targets = [
            Target(
                open_host(c, loaded, name, secrets=secrets, read_only=read_only),
                entry,
                report,
                Result(name),
            )
            for name, entry in entries.items()
        ]
        if one_by_one:
            for target in targets:
                if _one(target, work).code not in (0, 2):
                    break
        else:
            with ThreadPoolExecutor(PARALLEL) as pool:
                list(pool.map(lambda target: _one(target, work), targets))
    code = report.finish([target.result for target in targets])
    if code:
        raise invoke.Exit("", code)


def run_harbors(
    c: invoke.Context,
    work: Callable[[Target, Settings], str],
    *,
    read_only: bool = False,
    one_by_one: bool = False,
    as_json: bool = False,
) -> None:
    """`run` on Harbor hosts, each with its settings, which are all checked before any connection."""
    loaded = load()
    names = list(loaded.hosts(wanted(c), "harbor"))
    settings = {s.name: s for s in harbor_settings(loaded, names, keep_ca=not read_only)}
    run(
        c,
        "harbor",
        lambda target: work(target, settings[target.host.name]),
        loaded=loaded,
        secrets=[secret for one in settings.values() for secret in one.secrets.all()],
        read_only=read_only,
        one_by_one=one_by_one,
        as_json=as_json,
    )


def _one(target: Target, work: Work) -> Result:
    result, began = target.result, time.monotonic()
    try:
        result.status = work(target)
    except OpsError as error:
        result.status, result.code = "failed", error.code
        result.error = str(error)
        target.report.error(target.host.name, error)
    finally:
        target.progress("")
        result.seconds = round(time.monotonic() - began, 2)
        result.remote_commands = target.host.remote_commands
        target.host.close()
    return result


def holder(why: str) -> dict[str, str]:
    """Who locks a host: for the lock itself and for the audit log."""
    return {
        "who": _user(),
        "from": socket.gethostname(),
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "why": why,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"UID {os.getuid()}"
