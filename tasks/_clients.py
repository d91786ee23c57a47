"""What trust-cert, use-cache and their undo share: the caches, one look at a client, one change."""

import datetime
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import invoke

from harbor.changes import Run
from harbor.clients import cache as caches
from harbor.clients import journal, plan, served
from harbor.clients.cache import Cache
from harbor.clients.journal import Journal, Pending, Task
from harbor.clients.part import Part
from harbor.errors import (
    CHANGES_PENDING,
    NotConverged,
    OpsError,
    Refused,
    RemoteError,
    SettingsError,
    Unhealthy,
)
from harbor.inventory import ClientOptions, cache_of, client_options
from harbor.settings import Settings
from harbor.shell import Output, Secret, quote
from harbor.steps import tls
from tasks._fleet import Target, holder, open_host, wanted
from tasks._host import Host
from tasks._inventory import Loaded, harbor_settings


@dataclass(frozen=True)
class Source:
    """One Harbor host as it was found: its cache, its settings, and what to say about it."""

    cache: Cache
    settings: Settings
    notes: tuple[str, ...] = ()


@dataclass
class Clients:
    """The clients of a run, their options, and the caches that they use."""

    loaded: Loaded
    names: list[str]
    sources: dict[str, Source | OpsError] = field(default_factory=dict)

    def options(self, name: str) -> ClientOptions:
        return client_options(self.loaded.inventory, name)

    def source(self, name: str) -> Source:
        """The cache of one client. Raises what went wrong when its Harbor host was asked."""
        found = self.sources[str(cache_of(self.loaded.inventory, name))]
        if isinstance(found, OpsError):
            raise found
        return found

    def harbors(self) -> list[str]:
        """The Harbor hosts of these clients. Raises SettingsError where one is not clear."""
        named = {name: cache_of(self.loaded.inventory, name) for name in self.names}
        unclear = [name for name, harbor in named.items() if harbor is None]
        if unclear:
            raise SettingsError(
                f"hosts.{unclear[0]}.cache: is missing, and there is not exactly one Harbor host"
            )
        return list(dict.fromkeys(str(harbor) for harbor in named.values()))


CaOf = Callable[[Settings, bytes], bytes]


def gather(c: invoke.Context, loaded: Loaded, ca_of: CaOf | None = None) -> Clients:
    """Ask each Harbor host of the wanted clients for its CA, its certificate and its projects.

    `ca_of` may give the CA from elsewhere (settings, the CA on the host) -> PEM. What the host
    serves must belong to it.
    """
    clients = Clients(loaded, list(loaded.hosts(wanted(c), "client")))
    names = clients.harbors()
    for settings in harbor_settings(loaded, names, keep_ca=False):
        try:
            clients.sources[settings.name] = _source(c, loaded, settings, ca_of)
        except OpsError as error:
            clients.sources[settings.name] = error
    return clients


def secrets(clients: Clients) -> list[Secret]:
    return [
        s
        for one in clients.sources.values()
        if isinstance(one, Source)
        for s in one.settings.secrets.all()
    ]


def _own_ca(loaded: Loaded) -> CaOf:
    """The CA on the Harbor host, and the operator's own beside the inventory if it is another.

    Both during a change of the CA: clients trust the new one before Harbor shows it.
    """

    def both(settings: Settings, on_host: bytes) -> bytes:
        mine = loaded.folder / "ca" / "ca.crt"
        own = mine.read_bytes() if settings.harbor.tls.mode == "ca" and mine.is_file() else b""
        return own + on_host

    return both


def _source(c: invoke.Context, loaded: Loaded, settings: Settings, ca_of: CaOf | None) -> Source:
    host = open_host(c, loaded, settings.name, secrets=settings.secrets.all(), read_only=True)
    try:
        return source_of(host, loaded, settings, ca_of)
    finally:
        host.close()


def source_of(host: Host, loaded: Loaded, settings: Settings, ca_of: CaOf | None = None) -> Source:
    """The cache of one Harbor host as that host shows it. Raises Refused for a foreign certificate."""
    ca_of = ca_of or _own_ca(loaded)
    bare = caches.of(settings.harbor, b"", caches.all_projects(settings.harbor))
    answers = host.read(_questions(settings, bare))
    ca = served.bundle(
        ca_of(settings, answers["ca"].text.encode() if answers["ca"].ok else b""), now=_now()
    )
    if ca:
        check_served(bare.hosts, answers, ca, f"{settings.name} itself")
    projects = _public_projects(bare, answers)
    cache = caches.of(settings.harbor, ca, projects)
    missing = [u for u in bare.upstreams if u.project not in projects]
    return Source(cache, settings, tuple(_missing(u) for u in missing))


def _missing(upstream: caches.Upstream) -> str:
    return (
        f"{upstream.origin}: left out, Harbor has no public project {upstream.project} "
        "(`fab configure`)"
    )


def _questions(settings: Settings, cache: Cache) -> dict[str, str]:
    name, port = served.split(cache.host)
    local = f"127.0.0.1:{settings.harbor.public_https_port}"
    ca_file = tls.ca_path(settings)
    ask = {
        f"project {u.project}": served.ask(
            f"https://{cache.host}/api/v2.0/projects",
            connect_to=f"{name}:{port}:{local}",
            ca_file=ca_file,
            data=(f"q=name={u.project}", "public=true"),
        )
        for u in cache.upstreams
    }
    shown = {f"served {host}": served.probe(host, connect=local) for host in cache.hosts}
    return {"ca": f"cat {quote(ca_file)}", **ask, **shown}


def _public_projects(cache: Cache, answers: Mapping[str, Output]) -> set[str]:
    """Raises Unhealthy where Harbor does not answer: then nothing is known of its projects."""
    found = set()
    for upstream in cache.upstreams:
        answer = answers[f"project {upstream.project}"]
        if not answer.ok:
            raise Unhealthy(f"Harbor does not answer at {cache.host}", "fab status; fab start")
        for project in json.loads(answer.text or "[]") or []:
            if str((project.get("metadata") or {}).get("public")) == "true":
                found.add(project["name"])
    return found


def check_served(
    hosts: Iterable[str], answers: Mapping[str, Output], ca: bytes, where: str
) -> None:
    """Raise Refused when a host shows a certificate that `ca` does not cover, seen from `where`."""
    trusted = served.certificates(ca.decode())
    for host in hosts:
        answer = answers[f"served {host}"]
        if answer.status == 127:
            continue  # no openssl there: the pull test will tell
        problem = served.problem(
            served.certificates(answer.text), trusted, served.split(host)[0], _now()
        )
        if problem:
            raise Refused(
                f"{host} {problem}, seen from {where}",
                "nothing was changed; `fab start` if Harbor is stopped, `fab doctor` if not; else find "
                "out who answers there",
            )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# -- one client ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A client as it was found: runtimes, what is ours, and what is pending by runtime."""

    there: plan.Found
    journals: Mapping[str, Journal]
    parts: list[Part]
    pending: Mapping[str, Pending]


PartsOf = Callable[[plan.Found], list[Part]]


def look(
    target: Target, task: Task, options: ClientOptions, parts_of: PartsOf, more: Mapping[str, str]
) -> tuple[Look, Mapping[str, Output]]:
    """Read a client and plan; `more` snippets travel along. Two round trips, no change."""
    outputs = target.host.read(plan.probe() | dict(more))
    there = plan.found(outputs, options)
    parts = parts_of(there)
    contents = target.host.read(plan.file_probes(parts)) if plan.file_probes(parts) else {}
    known = plan.journals(outputs, task)
    pending = {}
    for part in parts:
        if part.refused is None:
            left = journal.plan(task, part, contents, known[part.runtime])
            if left:
                pending[part.runtime] = left
    return Look(there, known, parts, pending), outputs


def bring(
    target: Target, task: Task, again: Callable[[], Look], first: Look, limit: threading.Semaphore
) -> str:
    """Apply what is pending, one runtime after the other, each undone by itself if it fails.

    Raises the first error after every runtime had its turn.
    """
    errors = [part.refused for part in first.parts if part.refused]
    if target.host.read_only:
        _show(target, first)
    elif first.pending:
        with limit, target.host.lock(holder(f"{task} cache"), target.progress):
            errors += _apply_all(target, again)
    for error in errors[1:]:
        target.report.error(target.host.name, error)
    if errors:
        raise errors[0]
    if not target.result.changes:
        return "no changes"
    if target.host.read_only:
        target.result.code = CHANGES_PENDING
        return f"{len(target.result.changes)} to change"
    return f"{len(target.result.changes)} changed"


def _apply_all(target: Target, again: Callable[[], Look]) -> list[OpsError]:
    """One look before each change: a restart may follow from what the change before it did."""
    errors: list[OpsError] = []
    tried: set[tuple[str, str]] = set()
    failed: set[str] = set()
    while True:
        left = {name: p for name, p in again().pending.items() if name not in failed}
        if not left:
            return errors
        name, pending = next(iter(left.items()))
        if (name, pending.change.why) in tried:
            errors.append(NotConverged(f"{name}: applied, and still pending: {pending.change.why}"))
            failed.add(name)
            continue
        tried.add((name, pending.change.why))
        try:
            apply(target, name, pending.change, pending.reasons)
        except RemoteError as error:
            errors.append(error)
            failed.add(name)


def apply(target: Target, name: str, change: Run, reasons: Iterable[str]) -> None:
    """Run one change and report each of its reasons."""
    target.progress(f"{name}: {change.why}")
    target.host.apply([change], lambda _: None, target.progress)
    for reason in reasons:
        target.report.change(target.host.name, name, Run(reason, ""), sign="+")
        target.result.changes.append({"step": name, "why": reason})


def _show(target: Target, found: Look) -> None:
    for name, pending in found.pending.items():
        for write in pending.writes:
            target.report.change(target.host.name, name, write, sign="~")
        for reason in pending.reasons:
            if reason not in {write.why for write in pending.writes}:
                target.report.change(target.host.name, name, Run(reason, ""), sign="~")
            target.result.changes.append({"step": name, "why": reason})


def refuse_while_used(target: Target) -> None:
    """Raise Refused where the cache is in use: it could not be reached without its CA."""
    known = plan.journals(target.host.read(plan.probe()), "use")
    if any(not one.empty for one in known.values()):
        raise Refused("use-cache is in effect here and needs the CA", "first: fab unuse-cache")


def undo(target: Target, task: Task, options: ClientOptions, *, force: bool) -> str:
    """Put every file of this task back, runtime by runtime. Returns the closing words."""
    outputs = target.host.read(plan.probe())
    there, known = plan.found(outputs, options), plan.journals(outputs, task)
    changes = {
        name: change
        for name, mine in known.items()
        if (
            change := journal.undo(
                task, name, plan.undo_reload(task, name, there), mine, force=force
            )
        )
    }
    if not changes:
        return "no changes"
    with target.host.lock(holder(f"undo {task}"), target.progress):
        for name, change in changes.items():
            apply(target, name, change, change.why.split("; "))
    return f"{len(target.result.changes)} changed"


def say_notes(target: Target, notes: Iterable[str]) -> None:
    for note in notes:
        target.say(f"note: {note}")
        target.result.details.setdefault("notes", []).append(note)


def ca_from_file(path: Path) -> CaOf:
    """The CA in a file of the operator's. Raises SettingsError when it holds none."""
    try:
        pem = path.read_bytes()
        certificates = served.certificates(pem.decode())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None
    if not certificates:
        raise SettingsError(f"{path}: holds no PEM certificate")
    return lambda _settings, _on_host: pem
