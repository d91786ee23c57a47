"""How use-cache changes one client."""

import threading
from dataclasses import replace

import invoke

from harbor.clients import journal
from harbor.clients import plan as planning
from harbor.clients.cache import Cache
from harbor.clients.part import Part
from harbor.errors import Refused
from harbor.inventory import ClientOptions
from tasks import _clients, _fleet
from tasks._inventory import load


def use(c: invoke.Context, *, at_once: int, test: bool, plan: bool, as_json: bool) -> None:
    loaded = load()
    clients = _clients.gather(c, loaded)
    limit = threading.Semaphore(max(1, at_once))

    def work(target: _fleet.Target) -> str:
        return _use_one(target, clients, limit, test=test)

    _fleet.run(
        c,
        "client",
        work,
        loaded=loaded,
        secrets=_clients.secrets(clients),
        read_only=plan,
        as_json=as_json,
    )


def _use_one(
    target: _fleet.Target, clients: _clients.Clients, limit: threading.Semaphore, *, test: bool
) -> str:
    name = target.host.name
    source, options = clients.source(name), clients.options(name)
    _clients.say_notes(target, source.notes)
    if not source.cache.upstreams:
        raise Refused("Harbor has none of the proxy projects yet", "first: fab configure")

    def parts_of(there: planning.Found) -> list[Part]:
        parts = planning.use(source.cache, there, options)
        return parts if test else [replace(part, test="") for part in parts]

    def again() -> _clients.Look:
        return _clients.look(target, "use", options, parts_of, {})[0]

    first, _ = _clients.look(target, "use", options, parts_of, {})
    if not first.parts:
        raise Refused("no container runtime was found that can use the cache")
    _clients.say_notes(target, [note for part in first.parts for note in part.notes])
    target.result.details["runtimes"] = sorted(first.there)
    _check_trusted(target, source.cache, first.there, options)
    return _clients.bring(target, "use", again, first, limit)


def _check_trusted(
    target: _fleet.Target, cache: Cache, there: planning.Found, options: ClientOptions
) -> None:
    """Raise Refused where a runtime would not trust what it is about to be sent to."""
    parts = [p for p in planning.trust(cache, there, options) if p.files and not p.refused]
    probes = planning.file_probes(parts)
    contents = target.host.read(probes) if probes else {}
    lacking = [
        part.runtime for part in parts if journal.plan("trust", part, contents, journal.Journal())
    ]
    if lacking:
        raise Refused(
            f"{', '.join(lacking)}: does not trust the cache's certificate yet",
            "first: fab trust-cert",
        )
