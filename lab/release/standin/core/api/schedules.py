"""Garbage collection, scan of all images, purge of the audit log: schedules and history."""

import json
from collections.abc import Callable
from typing import Any

from lab.release.standin.core import jobs, listing
from lab.release.standin.core.cron import check_cron
from lab.release.standin.core.database import Row, document
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import BASE, Call, route
from lab.release.standin.web import Response

from ._common import need_admin, number, times

SCHEDULED = ("Hourly", "Daily", "Weekly", "Custom")
GC, SCAN, PURGE = "GARBAGE_COLLECTION", "SCAN_ALL", "PURGE_AUDIT_LOG"
PATHS = {GC: "gc", SCAN: "scanAll", PURGE: "purgeaudit"}
MOST_HOURS = 240_000
Parameters = dict[str, Any]


@route("GET", "/system/gc/schedule")
def get_gc_schedule(call: Call) -> Response:
    """The schedule; an empty body when there is none."""
    return _get(call, GC)


@route("POST", "/system/gc/schedule")
@route("PUT", "/system/gc/schedule")
def set_gc_schedule(call: Call) -> Response:
    """Both replace; Manual runs it now, None removes it."""
    need_admin(call)
    schedule, parameters = _schedule(call)
    workers = parameters.get("workers", 1)
    if not isinstance(workers, int) or not 1 <= workers <= 10:
        raise ApiError(
            400,
            f"Error: Invalid number of workers:{workers}. Workers must be greater "
            "than 0 and less than or equal to 10.",
        )
    return _set(
        call, GC, schedule, parameters, lambda log: jobs.collect_garbage(call.core, parameters, log)
    )


@route("GET", "/system/gc")
def gc_history(call: Call) -> Response:
    """What ran."""
    return _history(call, GC)


@route("GET", "/system/gc/{id}")
def get_gc(call: Call) -> Response:
    """One run."""
    return Response.json(_run(_execution(call, GC)))


@route("PUT", "/system/gc/{id}", "gc-stop")
def stop_gc(call: Call) -> Response:
    """Stop one that runs."""
    jobs.stop(call.core, GC, _execution(call, GC)["id"])
    return Response()


@route("GET", "/system/gc/{id}/log")
def gc_log(call: Call) -> Response:
    """Its log."""
    return Response.text(_execution(call, GC)["log"])


@route("GET", "/system/purgeaudit/schedule", "purge-audit")
def get_purge_schedule(call: Call) -> Response:
    """The schedule; an empty body when there is none."""
    return _get(call, PURGE)


@route("POST", "/system/purgeaudit/schedule", "purge-audit")
@route("PUT", "/system/purgeaudit/schedule", "purge-audit")
def set_purge_schedule(call: Call) -> Response:
    """As for garbage collection; two parameters are mandatory."""
    need_admin(call)
    schedule, parameters = _schedule(call)
    _check_purge(call, parameters)
    return _set(
        call, PURGE, schedule, parameters, lambda log: jobs.purge_audit(call.core, parameters, log)
    )


@route("GET", "/system/purgeaudit", "purge-audit")
def purge_history(call: Call) -> Response:
    """What ran."""
    return _history(call, PURGE)


@route("GET", "/system/purgeaudit/{id}", "purge-audit")
def get_purge(call: Call) -> Response:
    """One run."""
    return Response.json(_run(_execution(call, PURGE)))


@route("PUT", "/system/purgeaudit/{id}", "purge-audit")
def stop_purge(call: Call) -> Response:
    """Stop one that runs."""
    jobs.stop(call.core, PURGE, _execution(call, PURGE)["id"])
    return Response()


@route("GET", "/system/purgeaudit/{id}/log", "purge-audit")
def purge_log(call: Call) -> Response:
    """Its log."""
    return Response.text(_execution(call, PURGE)["log"])


@route("GET", "/system/scanAll/schedule")
def get_scan_schedule(call: Call) -> Response:
    """The schedule, or an empty object."""
    _need_scanner(call)
    row = _row(call, SCAN)
    return Response.json(_rendered(row) if row else {})


@route("POST", "/system/scanAll/schedule")
def create_scan_schedule(call: Call) -> Response:
    """412 when there is one already."""
    _need_scanner(call)
    schedule, parameters = _schedule(call)
    if schedule["type"] in SCHEDULED and _row(call, SCAN):
        raise ApiError(
            412,
            "fail to set schedule for scan all as always had one, please delete it "
            "firstly then to re-schedule",
        )
    if schedule["type"] == "None":
        return Response(201)
    return _set(call, SCAN, schedule, parameters, jobs.scan_all)


@route("PUT", "/system/scanAll/schedule")
def update_scan_schedule(call: Call) -> Response:
    """Replace it, make it, or remove it with None."""
    _need_scanner(call)
    schedule, parameters = _schedule(call)
    if schedule["type"] == "Manual":
        raise ApiError(400, "fail to update scan all schedule as wrong schedule type: Manual")
    return _set(call, SCAN, schedule, parameters, jobs.scan_all)


def _need_scanner(call: Call) -> None:
    need_admin(call)
    if not call.core.environment.with_trivy:
        raise ApiError(412, "no scanner is configured, it's not possible to scan")


def _schedule(call: Call) -> tuple[dict[str, Any], Parameters]:
    body = call.body()
    schedule = body.get("schedule")
    if not isinstance(schedule, dict) or not schedule.get("type"):
        raise ApiError(400, "schedule cann't be empty")
    if schedule["type"] not in (*SCHEDULED, "Manual", "None"):
        raise ApiError(422, f"schedule.type in body should be one of {SCHEDULED}")
    if schedule["type"] in SCHEDULED:
        check_cron(schedule.get("cron") or "", "scheduled job")
    return schedule, body.get("parameters") or {}


def _set(
    call: Call,
    kind: str,
    schedule: dict[str, Any],
    parameters: Parameters,
    work: Callable[[jobs.Log], Parameters],
) -> Response:
    """Store, remove or run; the answer is 201 for POST and 200 for PUT."""
    database = call.core.database
    headers = {}
    if schedule["type"] == "Manual":
        execution = jobs.start(call.core, kind, "MANUAL", parameters, work)
        headers["Location"] = f"{BASE}/system/{PATHS[kind]}/{execution}"
    elif schedule["type"] == "None":
        database.run("DELETE FROM schedule WHERE kind = %s", kind)
    else:
        stored = {"type": schedule["type"], "cron": schedule["cron"]}
        database.run(
            "INSERT INTO schedule (kind, schedule, parameters) VALUES (%s, %s, %s)"
            " ON CONFLICT (kind) DO UPDATE SET schedule = excluded.schedule,"
            " parameters = excluded.parameters, update_time = now()",
            kind,
            document(stored),
            document(parameters),
        )
    return Response(201 if call.request.method == "POST" else 200, b"", headers)


def _get(call: Call, kind: str) -> Response:
    need_admin(call)
    row = _row(call, kind)
    if row is None:
        return Response(200, b"", {"Content-Type": "application/json"})
    return Response.json(
        {
            "id": row["id"],
            "job_name": kind,
            "job_kind": "SCHEDULE",
            "job_parameters": json.dumps(row["parameters"]),
            "schedule": row["schedule"],
            "job_status": "Pending",
            "deleted": False,
            **times(row),
        }
    )


def _row(call: Call, kind: str) -> Row | None:
    return call.core.database.one("SELECT * FROM schedule WHERE kind = %s", kind)


def _rendered(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": "Pending",
        "schedule": row["schedule"],
        "parameters": row["parameters"],
        **times(row),
    }


def _history(call: Call, kind: str) -> Response:
    need_admin(call)
    rows = call.core.database.all("SELECT * FROM execution WHERE kind = %s ORDER BY id DESC", kind)
    return listing.respond(call.request, rows, _run)


def _run(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "job_name": row["kind"],
        "job_kind": row["trigger"],
        "job_parameters": json.dumps(row["parameters"]),
        "schedule": {"type": row["trigger"].title()},
        "job_status": row["status"],
        "deleted": False,
        **times(row),
    }


def _execution(call: Call, kind: str) -> Row:
    need_admin(call)
    wanted = number(call.path["id"], "id")
    row = call.core.database.one(
        "SELECT * FROM execution WHERE kind = %s AND id = %s", kind, wanted
    )
    if row is None:
        raise not_found("execution", wanted)
    return row


def _check_purge(call: Call, parameters: Parameters) -> None:
    if not parameters:
        raise ApiError(400, "schedule parameter cann't be empty")
    if "audit_retention_hour" not in parameters:
        raise ApiError(400, "audit_retention_hour should provide")
    if int(parameters["audit_retention_hour"]) > MOST_HOURS:
        raise ApiError(400, f"audit_retention_hour should be less than {MOST_HOURS}")
    newer = call.core.release.has("audit-event-types")
    wanted = "include_event_types" if newer else "include_operations"
    if wanted not in parameters:
        raise ApiError(400, f"{wanted} should provide")
