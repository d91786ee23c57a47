"""The work of `fab prune` on one host: look, show, ask, remove by id, prove."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harbor import paths, prune, store
from harbor.changes import Run
from harbor.errors import OpsError, Refused
from harbor.prune import Engine, Item, Plan, human
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output
from harbor.steps import health, store_backup
from tasks import _converge
from tasks._fleet import Target, holder
from tasks._lifecycle import apply

REMOVAL_SECONDS = 1800


@dataclass(frozen=True)
class Look:
    """One reading of a host: its engine, its certificate store, its health."""

    facts: Mapping[str, Output]
    engine: Engine
    plan: Plan

    @property
    def store(self) -> str:
        return store.fingerprint(self.facts.get("store", NOT_READ))

    @property
    def free(self) -> int:
        return int(self.facts.get("root", NOT_READ).text or 0)


def pruning(keep: int, *, dry_run: bool, yes: bool) -> Callable[[Target, Settings], str]:
    """Show what would go, and unless it is a dry run, ask and remove it."""

    def work(target: Target, settings: Settings) -> str:
        releases_kept = keep or settings.harbor.prune.keep
        look = _look(target, settings, releases_kept)
        _refuse_unless_whole(settings, look)
        target.result.details["prune"] = look.plan.as_dict()
        _show(target, look.plan)
        if not look.plan.going:
            return "nothing to remove"
        told = f"{len(look.plan.going)} things, at least {human(look.plan.size)}"
        if dry_run:
            return f"would remove {told}"
        if not yes and not target.report.ask(target.host.name, f"Remove these {told}?"):
            return "nothing removed: the answer was no"
        with target.host.lock(holder("prune"), target.progress):
            return _remove(target, settings, look, releases_kept)

    return work


def _look(target: Target, settings: Settings, keep: int) -> Look:
    snippets = {**health.probe(settings), **prune.probe(settings), **store_backup.probe(settings)}
    facts = target.host.read(snippets, timeout=300)
    try:
        engine = prune.parse(facts)
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"the engine's answer was not understood: {error}") from None
    return Look(facts, engine, prune.plan(settings, engine, prune.releases(settings, facts, keep)))


def _refuse_unless_whole(settings: Settings, look: Look) -> None:
    """While something of Harbor is down, what it needs looks unused."""
    down = health.problems(settings, look.facts)
    stopped = [name for name in prune.stopped_of_ours(look.engine) if name not in down]
    if not down and not stopped:
        return
    lines = [f"  {name}: {' '.join(reason.split())}" for name, reason in sorted(down.items())]
    lines += [f"  container {name} does not run" for name in stopped]
    present = prune.releases(settings, look.facts, 1).present
    lost = prune.endangered(settings, look.engine, present)
    if lost:
        lines += [
            "Docker's own prune would take now, for want of a container:",
            *(f"  {name}" for name in lost),
        ]
    raise Refused(
        "Harbor is not whole, and what is down would look unused:\n" + "\n".join(lines),
        "`fab start`, or `fab doctor`; there is no way to force this",
    )


def _show(target: Target, plan: Plan) -> None:
    for sign, items, style in (("-", plan.going, "yellow"), ("=", plan.staying, "")):
        for item in items:
            size = human(item.size).rjust(10)
            short = item.id.removeprefix("sha256:")[:12]
            target.say(f"{sign} {size}  {item.kind} {short}  {item.title}: {item.reason}", style)


def _remove(target: Target, settings: Settings, shown: Look, keep: int) -> str:
    before = _look(target, settings, keep)
    _refuse_unless_whole(settings, before)
    if before.engine.version != shown.engine.version:
        raise Refused("the engine is another one than was read: nothing was removed")
    saved = store_backup.plan(settings, before.facts)
    if saved:
        apply(target, "store copy", saved)
    wanted, changed = prune.confirmed(shown.plan, before.plan)
    for item in changed:
        target.say(f"kept: {item.kind} {item.title} is not the same any more", "yellow")
    removed, refused = _run(target, wanted)
    for item, reason in refused:
        target.say(f"kept by the engine: {item.kind} {item.title}: {reason}", "yellow")
    after = _look(target, settings, keep)
    _prove(target, settings, before, after)
    return _report(target, removed, before, after)


def _run(target: Target, wanted: list[Item]) -> tuple[list[Item], list[tuple[Item, str]]]:
    target.progress(f"removing {len(wanted)} things")
    if not wanted:
        return [], []
    script = f"set +e\n{prune.removal_script(wanted)}"
    said = prune.parse_removal(target.host.read_write(script, REMOVAL_SECONDS).stdout)
    answers = [(item, said.get(number, "no answer")) for number, item in enumerate(wanted)]
    removed = [item for item, reason in answers if not reason]
    return removed, [(item, reason) for item, reason in answers if reason]


def _prove(target: Target, settings: Settings, before: Look, after: Look) -> None:
    """The certificate store and every named volume are what they were, or this is an error."""
    lost = [
        name
        for name, identity in prune.named_volumes(before.engine).items()
        if prune.named_volumes(after.engine).get(name) != identity
    ]
    if lost:
        raise OpsError(f"named volumes are gone or new: {', '.join(lost)}; nothing here did that")
    if before.store == after.store:
        return
    files = [file.path for file in store.parse(before.facts["store"]).values() if file.whole]
    script = store.copy_files(paths.STORE_COPY, store.folder(settings), files)
    apply(target, "store", [Run("the certificate store differs: put back from the copy", script)])
    raise OpsError("the certificate store had changed during the prune, and was put back")


def _report(target: Target, removed: list[Item], before: Look, after: Look) -> str:
    freed = after.free - before.free
    target.result.changes += [
        {"step": "prune", "why": f"{item.kind} {item.title}: {item.reason}"} for item in removed
    ]
    target.result.details["removed"] = {
        "items": [dataclasses.asdict(item) for item in removed],
        "bytes": sum(item.size for item in removed),
        "freed_on_disk": freed,
    }
    _converge.audit(target, "prune")
    return f"removed {len(removed)}, {human(max(freed, 0))} came free; store and volumes unchanged"
