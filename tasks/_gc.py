"""Start Harbor's garbage collection now and follow it to its end."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor.configuration.schedules import GC, found_parameters
from harbor.configuration.settings import GarbageCollection
from harbor.errors import RemoteError
from harbor.prune import human
from harbor.settings import Settings
from tasks import _api
from tasks._fleet import Target

POLL_SECONDS = 1.0
DEADLINE_SECONDS = 6 * 3600
RUNNING = ("Pending", "Running", "Scheduled")
LOG_LINES = 15


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line; None: what the inventory says, or Harbor's default."""

    dry_run: bool = False
    delete_untagged: bool | None = None
    workers: int | None = None


def collect(target: Target, settings: Settings, options: Options) -> str:
    """Run it; the closing words say what was freed, or would be."""
    with _api.connected(target, settings) as api:
        api.login()
        body = {"schedule": {"type": "Manual"}, "parameters": _parameters(settings, options)}
        before = _free(api)
        location = api.start(GC.path, body, "garbage collection")
        number = int(location.rpartition("/")[2] or _latest(api))
        job = _follow(target, api, number)
        words = _words(api, job, before, dry_run=options.dry_run)
    target.result.details["garbage_collection"] = {"id": number, **_results(job)}
    return words


def _parameters(settings: Settings, options: Options) -> dict[str, Any]:
    declared = settings.harbor.configuration.garbage_collection or GarbageCollection(
        schedule="never"
    )
    untagged, workers = options.delete_untagged, options.workers or declared.workers
    parameters: dict[str, Any] = {
        "delete_untagged": declared.delete_untagged if untagged is None else untagged,
        "dry_run": options.dry_run,
    }
    return {**parameters, "workers": workers} if workers else parameters


def _latest(api: _api.Api) -> int:
    """The newest run, where Harbor did not say the number of ours."""
    newest = api.get("/system/gc", {"page": 1, "page_size": 1, "sort": "-creation_time"})
    return int(newest[0]["id"])


def _follow(target: Target, api: _api.Api, number: int) -> dict[str, Any]:
    """Wait for its end, showing the last line of its log. Raises RemoteError when it fails."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    job: dict[str, Any] = api.get(f"/system/gc/{number}")
    while job["job_status"] in RUNNING and time.monotonic() < deadline:
        target.progress(f"garbage collection {number}: {_last_line(api, number)}")
        time.sleep(POLL_SECONDS)
        job = api.get(f"/system/gc/{number}")
    if job["job_status"] != "Success":
        lines = "\n".join(f"  {line}" for line in _log(api, number)[-LOG_LINES:])
        raise RemoteError(
            f"garbage collection {number} ended with {job['job_status']}:\n{lines}",
            "`fab logs jobservice` may say more",
        )
    return job


def _log(api: _api.Api, number: int) -> list[str]:
    """The log; a run that waits for a worker has none yet."""
    try:
        return api.text(f"/system/gc/{number}/log").splitlines()
    except _api.ApiError as error:
        if error.status == 404:
            return []
        raise


def _last_line(api: _api.Api, number: int) -> str:
    lines = _log(api, number)
    return lines[-1] if lines else "waiting for a worker"


def _results(job: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("dry_run", "freed_space", "purged_blobs", "purged_manifests")
    return {key: value for key, value in found_parameters(dict(job)).items() if key in keys}


def _words(api: _api.Api, job: Mapping[str, Any], before: int, *, dry_run: bool) -> str:
    found = _results(job)
    if "freed_space" in found:
        what = f"{human(int(found['freed_space']))} in {found.get('purged_blobs', 0)} blobs"
        return f"would free {what} (dry run)" if dry_run else f"freed {what}"
    # Before 2.9 the numbers stand in the log alone.
    said = next((line for line in reversed(_log(api, int(job["id"]))) if "free" in line), "")
    if dry_run:
        return f"dry run: {said.partition('] ')[2] or 'Harbor gives no number'}"
    return f"done, {human(max(_free(api) - before, 0))} more are free"


def _free(api: _api.Api) -> int:
    """Free bytes where Harbor's data lies."""
    storage = api.get("/systeminfo/volumes")["storage"]
    return int(storage[0]["free"]) if storage else 0
