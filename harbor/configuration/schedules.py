"""Garbage collection, purge of the audit log and scans run when they are declared to."""

import json
from typing import Any, NamedTuple

from harbor.configuration.calls import Call, Plan, differences
from harbor.configuration.settings import AuditPurge, GarbageCollection, Scheduled
from harbor.configuration.state import Context, Item
from harbor.versions import Version

# From here on the audit log knows types of events (src/server/v2.0/handler/purge.go).
EVENT_TYPES = Version(2, 13, 0)


class Job(NamedTuple):
    """A thing with a schedule; `key` is that of its answer."""

    name: str
    key: str
    path: str


GC = Job("garbage collection", "gc", "/system/gc/schedule")
PURGE = Job("audit purge", "purge", "/system/purgeaudit/schedule")
SCAN = Job("scan", "scan", "/system/scanAll/schedule")


def plan(context: Context) -> Plan:
    wanted, version = context.wanted, context.state.version
    collection, purge, scan = wanted.garbage_collection, wanted.audit_purge, wanted.scan
    result = Plan()
    if collection:
        result += _one(context, GC, collection, gc_parameters(collection))
    if purge:
        result += _one(context, PURGE, purge, purge_parameters(purge, version))
    if scan:
        result += _one(context, SCAN, scan, {})
    return result


def _one(context: Context, job: Job, wanted: Scheduled, parameters: dict[str, Any]) -> Plan:
    found = context.state.one(job.key) or {}
    cron = schedule(found)
    reasons = [f"schedule: {cron} → {wanted.schedule}"] if cron != wanted.schedule else []
    if wanted.schedule == "never":
        body: dict[str, Any] = {"schedule": {"type": "None", "cron": ""}}
    else:
        if cron != "never":
            present = _comparable(found_parameters(found))
            reasons += differences(_comparable(parameters), present).values()
        body = {"schedule": {"type": "Custom", "cron": wanted.schedule}}
    if parameters:
        body["parameters"] = parameters
    return Plan([Call(job.name, "; ".join(reasons), "PUT", job.path, body)]) if reasons else Plan()


def schedule(found: Item) -> str:
    """The cron of an answer, or `never`."""
    timing = found.get("schedule") or {}
    return timing.get("cron") or "never" if timing.get("type") != "None" else "never"


def found_parameters(found: Item) -> dict[str, Any]:
    """The parameters of an answer; the API gives them as JSON in a text."""
    text = found.get("job_parameters") or "{}"
    parsed: dict[str, Any] = json.loads(text)
    return {**parsed, **(found.get("parameters") or {})}


def _comparable(parameters: dict[str, Any]) -> dict[str, Any]:
    """Lists in text in one order."""
    return {
        key: ",".join(sorted(value.split(","))) if isinstance(value, str) else value
        for key, value in parameters.items()
    }


def gc_parameters(wanted: GarbageCollection) -> dict[str, Any]:
    parameters: dict[str, Any] = {"delete_untagged": wanted.delete_untagged, "dry_run": False}
    if wanted.workers is not None:
        parameters["workers"] = wanted.workers
    return parameters


def purge_parameters(wanted: AuditPurge, version: Version) -> dict[str, Any]:
    """Operations up to 2.12, types of events from 2.13 on."""
    what = {"include_operations": ",".join(wanted.operations)}
    if version >= EVENT_TYPES:
        what = {"include_event_types": ",".join(f"{o}_artifact" for o in wanted.operations)}
    return {"audit_retention_hour": wanted.keep_hours, "dry_run": False, **what}
