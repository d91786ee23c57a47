"""What Harbor's jobservice runs: garbage collection, retention, purge of the audit log.

Schedules are stored and shown but nothing runs by itself; a test starts what it wants to see.
"""

import fnmatch
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .client import Client, Unreachable
from .database import Row, Unavailable, document
from .redisclient import RedisError

if TYPE_CHECKING:
    from .app import Core

Parameters = dict[str, Any]


class Log:
    """The lines of one execution."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._lines.append(f"{stamp} [INFO] {line}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


Work = Callable[[Log], Parameters]


def start(core: "Core", kind: str, trigger: str, parameters: Parameters, work: Work) -> int:
    """Run `work` in a thread; what it returns is added to the execution's parameters."""
    row = core.database.insert(
        "INSERT INTO execution (kind, trigger, status, parameters) VALUES (%s, %s, 'Running', %s)"
        " RETURNING id",
        kind,
        trigger,
        document(parameters),
    )
    threading.Thread(target=_run, args=(core, row["id"], parameters, work), daemon=True).start()
    return int(row["id"])


def stop(core: "Core", kind: str, number: int) -> None:
    """Mark an execution that runs as stopped."""
    core.database.run(
        "UPDATE execution SET status = 'Stopped', update_time = now() WHERE kind = %s AND id = %s"
        " AND status = 'Running'",
        kind,
        number,
    )


def collect_garbage(core: "Core", parameters: Parameters, log: Log) -> Parameters:
    """Delete untagged artifacts (if asked to) and the blobs that nothing refers to."""
    dry_run = bool(parameters.get("dry_run"))
    log(f"start garbage collection, dry run: {dry_run}")
    untagged = _untagged(core) if parameters.get("delete_untagged") else []
    gone = [row["id"] for row in untagged]
    blobs = _unreferenced(core, gone)
    for row in untagged:
        log(f"untagged artifact {row['digest']}")
    freed = sum(blob["size"] for blob in blobs)
    log(f"{len(blobs)} blobs eligible for deletion, the GC could free up {freed} bytes")
    if not dry_run:
        core.database.run("DELETE FROM artifact WHERE id = ANY(%s)", gone)
        for blob in blobs:
            _delete_blob(core, blob, log)
        core.forget_registry_cache()
        log(f"the GC job actual frees up {freed} bytes")
    log("success to run gc in job")
    if not core.release.has("gc-freed-space"):
        return {}
    return {"freed_space": freed, "purged_blobs": len(blobs), "purged_manifests": len(untagged)}


def purge_audit(core: "Core", parameters: Parameters, log: Log) -> Parameters:
    """Delete old rows of the audit log."""
    before = datetime.now(UTC) - timedelta(hours=int(parameters["audit_retention_hour"]))
    if parameters.get("dry_run"):
        found = core.database.all("SELECT id FROM audit_log WHERE op_time < %s", before)
        log(f"Purge audit job would delete {len(found)} rows")
        return {}
    deleted = core.database.run("DELETE FROM audit_log WHERE op_time < %s", before)
    log(f"Purge {deleted} rows of audit logs")
    return {}


def scan_all(log: Log) -> Parameters:
    """Nothing is scanned."""
    log("the stand-in has no scanner; nothing was scanned")
    return {}


def retention(core: "Core", policy: Row, dry_run: bool, log: Log) -> Parameters:
    """Delete the artifacts that no rule of the policy keeps."""
    counts: dict[str, dict[str, int]] = {}
    rules = [rule for rule in policy["policy"]["rules"] if not rule.get("disabled")]
    repositories = core.database.all(
        "SELECT * FROM repository WHERE project_id = %s ORDER BY name", policy["project_id"]
    )
    for repository in repositories:
        artifacts = _with_tags(core, repository)
        kept: set[int] = set()
        for rule in rules:
            if _matches(rule["scope_selectors"]["repository"], _short(repository), "repo"):
                kept |= _kept(rule, artifacts)
        counts[repository["name"]] = {"total": len(artifacts), "retained": len(kept)}
        for artifact in artifacts:
            if artifact["id"] not in kept:
                log(
                    f"{'would delete' if dry_run else 'delete'} {repository['name']}"
                    f"@{artifact['digest']}"
                )
        if rules and not dry_run:
            core.database.run(
                "DELETE FROM artifact WHERE repository_id = %s AND NOT id = ANY(%s)",
                repository["id"],
                list(kept),
            )
    return {"repositories": counts}


def _run(core: "Core", number: int, parameters: Parameters, work: Work) -> None:
    log = Log()
    try:
        parameters = parameters | work(log)
        status = "Success"
    except (Unavailable, Unreachable, RedisError) as failed:
        log(f"failed: {failed}")
        status = "Error"
    core.database.run(
        "UPDATE execution SET status = CASE status WHEN 'Running' THEN %s ELSE status END,"
        " parameters = %s, log = %s, update_time = now() WHERE id = %s",
        status,
        document(parameters),
        log.text(),
        number,
    )


def _untagged(core: "Core") -> list[Row]:
    """Artifacts without a tag that are no part of an index."""
    return core.database.all(
        "SELECT a.* FROM artifact a WHERE NOT EXISTS (SELECT 1 FROM tag t WHERE"
        " t.artifact_id = a.id) AND NOT EXISTS (SELECT 1 FROM artifact i,"
        " jsonb_array_elements(i.children) c WHERE i.repository_id = a.repository_id"
        " AND c->>'digest' = a.digest)"
    )


def _unreferenced(core: "Core", without: list[int]) -> list[Row]:
    """Old blobs that no artifact but those in `without` refers to."""
    age = timedelta(hours=core.switches.windows().blob_age_hours)
    return core.database.all(
        "SELECT * FROM blob WHERE update_time < %s AND digest NOT IN"
        " (SELECT digest FROM artifact WHERE NOT id = ANY(%s) UNION"
        " SELECT jsonb_array_elements_text(blobs) FROM artifact WHERE NOT id = ANY(%s))",
        datetime.now(UTC) - age,
        without,
        without,
    )


def _delete_blob(core: "Core", blob: Row, log: Log) -> None:
    client = Client(core.environment.registryctl_url)
    headers = {"Authorization": f"Harbor-Secret {core.environment.jobservice_secret}"}
    if "manifest" in blob["content_type"] or "index" in blob["content_type"]:
        for row in core.database.all("SELECT name FROM repository"):
            path = f"/api/registry/{row['name']}/manifests/{blob['digest']}"
            client.open("DELETE", path, headers).close()
    answered = client.open("DELETE", f"/api/registry/blob/{blob['digest']}", headers)
    answered.close()
    if answered.status in (200, 404):
        core.database.run("DELETE FROM blob WHERE digest = %s", blob["digest"])
        log(f"delete blob from storage: {blob['digest']}")
    else:
        log(f"blob {blob['digest']} not deleted: registryctl answered {answered.status}")


def _with_tags(core: "Core", repository: Row) -> list[Row]:
    return core.database.all(
        "SELECT a.*, coalesce(array_agg(t.name) FILTER (WHERE t.name IS NOT NULL), '{}') AS tags"
        " FROM artifact a LEFT JOIN tag t ON t.artifact_id = a.id WHERE a.repository_id = %s"
        " GROUP BY a.id",
        repository["id"],
    )


def _short(repository: Row) -> str:
    return str(repository["name"]).partition("/")[2]


def _matches(selectors: list[dict[str, Any]], name: str, prefix: str = "") -> bool:
    """Whether a name passes all selectors: `matches` or `excludes` with a doublestar pattern."""
    for selector in selectors:
        pattern = selector["pattern"].strip("{}")
        hit = any(fnmatch.fnmatchcase(name, one.replace("**", "*")) for one in pattern.split(","))
        excludes = selector["decoration"] == ("repoExcludes" if prefix else "excludes")
        if hit == excludes:
            return False
    return True


def _kept(rule: dict[str, Any], artifacts: list[Row]) -> set[int]:
    """The artifacts that one rule keeps."""
    selectors = rule["tag_selectors"]
    untagged = any(
        "untagged" in str(one.get("extras", "")) and "true" in one["extras"] for one in selectors
    )
    chosen = [
        one
        for one in artifacts
        if any(_matches(selectors, tag) for tag in one["tags"]) or (untagged and not one["tags"])
    ]
    value = int(next(iter((rule.get("params") or {}).values()), 0))
    return {one["id"] for one in _by_template(rule["template"], value, chosen)}


def _by_template(template: str, value: int, chosen: list[Row]) -> list[Row]:
    never = datetime.fromtimestamp(0, UTC)
    since = datetime.now(UTC) - timedelta(days=value)
    if template == "latestPushedK":
        return sorted(chosen, key=lambda one: one["push_time"], reverse=True)[:value]
    if template == "latestPulledN":
        return sorted(chosen, key=lambda one: one["pull_time"] or never, reverse=True)[:value]
    if template == "nDaysSinceLastPush":
        return [one for one in chosen if one["push_time"] >= since]
    if template == "nDaysSinceLastPull":
        return [one for one in chosen if (one["pull_time"] or one["push_time"]) >= since]
    return chosen
