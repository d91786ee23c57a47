"""Which runtimes a client has, and what trusting or using the cache means for all of them."""

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from harbor.clients import buildkit, containerd, containers, docker, gitlab, journal, k3s, system
from harbor.clients.cache import Cache
from harbor.clients.journal import Task
from harbor.clients.part import Part
from harbor.files import probe as probe_file
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output

# The system's store first: docker's containerd store is restarted after it has the CA.
RUNTIMES: dict[str, ModuleType] = {
    module.NAME: module
    for module in (system, docker, containerd, containers, buildkit, k3s, gitlab)
}
USABLE = {name: module for name, module in RUNTIMES.items() if module is not system}
# What reads its file only when it starts; the others reload.
RESTARTED = (containerd.NAME, buildkit.NAME, k3s.NAME)
TASKS: tuple[Task, ...] = ("trust", "use", "login")
Found = dict[str, Any]


def probe() -> dict[str, str]:
    """Everything that must be known to say what is there and what is ours."""
    facts = {
        f"{name}\x1f{key}": snippet
        for name, module in RUNTIMES.items()
        for key, snippet in module.probe().items()
    }
    ours = {f"{task}\x1f{name}": journal.probe(task, name) for task in TASKS for name in RUNTIMES}
    return facts | ours


def found(outputs: Mapping[str, Output], options: ClientOptions) -> Found:
    """Runtime -> its facts, for the runtimes that are there and wanted."""
    result = {}
    for name, module in RUNTIMES.items():
        facts = module.parse(_of(outputs, name))
        if facts is not None and _wanted(name, facts, options):
            result[name] = facts
    return result


def _of(outputs: Mapping[str, Output], name: str) -> dict[str, Output]:
    start = f"{name}\x1f"
    return {key.removeprefix(start): o for key, o in outputs.items() if key.startswith(start)}


def _wanted(name: str, facts: Any, options: ClientOptions) -> bool:
    if name == system.NAME:
        return True
    if options.runtimes is not None:
        return name in options.runtimes
    # Every docker host has a containerd, which is docker's own affair until somebody else uses it.
    return name != containerd.NAME or bool(facts.used)


def journals(outputs: Mapping[str, Output], task: Task) -> dict[str, journal.Journal]:
    """Runtime -> what the client remembers of this task."""
    return {name: journal.parse(outputs.get(f"{task}\x1f{name}", NOT_READ)) for name in RUNTIMES}


def undo_reload(task: Task, name: str, there: Found) -> str:
    """How a runtime comes to see that files are as they were; nothing for one that is gone."""
    if name not in there or (task == "trust" and name != system.NAME) or task == "login":
        return ""
    return str(RUNTIMES[name].reload(there[name]))


def trust(cache: Cache, there: Found, options: ClientOptions) -> list[Part]:
    """What trusting the cache means here; the system's store only where a runtime needs it."""
    parts = []
    for name, facts in there.items():
        if name != system.NAME:
            parts.append(RUNTIMES[name].trust(cache, facts, options))
        elif system_store_needed(cache, there, options):
            parts.append(system.trust(cache, facts, options))
        else:
            parts.append(system.nothing(facts))
    return parts


def system_store_needed(cache: Cache, there: Found, options: ClientOptions) -> bool:
    """Whether a runtime found here looks for CAs in the system's store alone."""
    if options.system_store != "auto":
        return options.system_store == "always"
    engine = there.get(docker.NAME)
    return engine is not None and docker.needs_system_store(cache, engine)


def use(cache: Cache, there: Found, options: ClientOptions) -> list[Part]:
    """What using the cache means for every runtime found."""
    parts = [
        module.use(cache, there[name], options) for name, module in USABLE.items() if name in there
    ]
    return [_without_restart(part) if options.restart == "never" else part for part in parts]


def _without_restart(part: Part) -> Part:
    """The same for a client where nothing may be restarted: the files wait for somebody's restart."""
    if part.runtime not in RESTARTED or not part.reload:
        return part
    note = f"{part.runtime} was not restarted (restart: never): until it is, it reads no new file"
    return replace(part, loaded=True, reload="", notes=(*part.notes, note))


def file_probes(parts: list[Part]) -> dict[str, str]:
    """Snippets for the present state of all files of these parts, by path."""
    return {file.path: probe_file(file.path) for part in parts for file in part.files}
