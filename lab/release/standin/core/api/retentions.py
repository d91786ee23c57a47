"""Retention policies: one for each project."""

import json
from typing import TYPE_CHECKING, Any

from lab.release.standin.core import jobs, listing
from lab.release.standin.core.cron import check_cron
from lab.release.standin.core.database import Row, document
from lab.release.standin.core.errors import ApiError, not_found
from lab.release.standin.core.routing import Call, route
from lab.release.standin.web import Response

from ._common import administered_project, need_login, number, time_text

if TYPE_CHECKING:
    from lab.release.standin.core.app import Core

MOST_RULES = 15
DEFAULT_DAYS = 7
TEMPLATES = {
    "latestPushedK": "COUNT",
    "latestPulledN": "COUNT",
    "nDaysSinceLastPush": "DAYS",
    "nDaysSinceLastPull": "DAYS",
    "always": "",
}


def create_default(core: "Core", project: Row) -> None:
    """What a new proxy project gets: keep what was pulled in the last week, daily."""
    rule = {
        "id": 1,
        "priority": 1,
        "disabled": False,
        "action": "retain",
        "template": "nDaysSinceLastPull",
        "params": {"nDaysSinceLastPull": DEFAULT_DAYS},
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "**"}],
        "scope_selectors": {
            "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
        },
    }
    _insert(
        core,
        project["project_id"],
        {
            "algorithm": "or",
            "rules": [rule],
            "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}},
            "scope": {"level": "project", "ref": project["project_id"]},
        },
    )


@route("GET", "/retentions/metadatas")
def metadatas(call: Call) -> Response:
    """The templates and selectors."""
    need_login(call)
    templates = [
        {
            "rule_template": name,
            "display_text": name,
            "action": "retain",
            "params": [{"type": "int", "unit": unit, "required": True}] if unit else [],
        }
        for name, unit in TEMPLATES.items()
    ]
    return Response.json(
        {
            "templates": templates,
            "scope_selectors": [
                {
                    "display_text": "Repositories",
                    "kind": "doublestar",
                    "decorations": ["repoMatches", "repoExcludes"],
                }
            ],
            "tag_selectors": [
                {
                    "display_text": "Tags",
                    "kind": "doublestar",
                    "decorations": ["matches", "excludes"],
                }
            ],
        }
    )


@route("POST", "/retentions")
def create(call: Call) -> Response:
    """400 when the project has one: every proxy project does."""
    need_login(call)
    policy = _policy(call)
    project_id = policy["scope"].get("ref")
    if not isinstance(project_id, int) or not call.core.database.one(
        "SELECT 1 FROM project WHERE project_id = %s", project_id
    ):
        raise ApiError(400, f"invalid Project id {project_id}")
    administered_project(call, str(project_id))
    old = call.core.database.one(
        "SELECT id FROM retention_policy WHERE project_id = %s", project_id
    )
    if old:
        raise ApiError(400, f"project {project_id} already has retention policy {old['id']}")
    made = _insert(call.core, project_id, policy)
    return Response(201, b"", {"Location": f"/api/v2.0/retentions/{made}"})


@route("GET", "/retentions/{id}")
def get(call: Call) -> Response:
    """One policy."""
    row = _row(call)
    return Response.json({"id": row["id"], **row["policy"]})


@route("PUT", "/retentions/{id}")
def update(call: Call) -> Response:
    """The whole policy anew; its project stays."""
    row = _row(call)
    policy = _policy(call)
    if policy["scope"].get("ref") != row["project_id"]:
        raise ApiError(400, "the scope of a retention policy cannot be changed")
    call.core.database.run(
        "UPDATE retention_policy SET policy = %s WHERE id = %s", document(policy), row["id"]
    )
    return Response()


@route("DELETE", "/retentions/{id}")
def delete(call: Call) -> Response:
    """The policy, and the project's mention of it."""
    row = _row(call)
    call.core.database.run("DELETE FROM retention_policy WHERE id = %s", row["id"])
    call.core.database.run(
        "UPDATE project SET metadata = metadata - 'retention_id' WHERE project_id = %s",
        row["project_id"],
    )
    return Response()


@route("POST", "/retentions/{id}/executions")
def execute(call: Call) -> Response:
    """Run it now, dry or not."""
    row = _row(call)
    dry_run = bool(call.body().get("dry_run"))
    execution = jobs.start(
        call.core,
        f"RETENTION-{row['id']}",
        "MANUAL",
        {"dry_run": dry_run},
        lambda log: jobs.retention(call.core, row, dry_run, log),
    )
    return Response(
        201, b"", {"Location": f"/api/v2.0/retentions/{row['id']}/executions/{execution}"}
    )


@route("GET", "/retentions/{id}/executions")
def executions(call: Call) -> Response:
    """What ran."""
    row = _row(call)
    rows = call.core.database.all(
        "SELECT * FROM execution WHERE kind = %s ORDER BY id DESC", f"RETENTION-{row['id']}"
    )
    return listing.respond(
        call.request,
        rows,
        lambda one: {
            "id": one["id"],
            "policy_id": row["id"],
            "status": _status(one["status"]),
            "trigger": one["trigger"].title(),
            "dry_run": bool(one["parameters"].get("dry_run")),
            "start_time": time_text(one["creation_time"]),
            "end_time": time_text(one["update_time"]),
        },
    )


@route("PATCH", "/retentions/{id}/executions/{eid}")
def operate(call: Call) -> Response:
    """Stop."""
    row = _row(call)
    if call.body().get("action") != "stop":
        raise ApiError(400, "action should be 'stop'")
    jobs.stop(call.core, f"RETENTION-{row['id']}", number(call.path["eid"], "eid"))
    return Response()


@route("GET", "/retentions/{id}/executions/{eid}/tasks")
def tasks(call: Call) -> Response:
    """One task for each repository that was looked at."""
    execution = _execution(call)
    found = [
        {
            "id": place + 1,
            "execution_id": execution["id"],
            "repository": name,
            "job_id": "",
            "status": execution["status"],
            "status_code": 3,
            "status_revision": 0,
            "start_time": time_text(execution["creation_time"]),
            "end_time": time_text(execution["update_time"]),
            **counts,
        }
        for place, (name, counts) in enumerate(
            execution["parameters"].get("repositories", {}).items()
        )
    ]
    return listing.respond(call.request, found, lambda one: one)


@route("GET", "/retentions/{id}/executions/{eid}/tasks/{tid}")
def task_log(call: Call) -> Response:
    """The log: the stand-in has one for the whole execution."""
    return Response.text(_execution(call)["log"])


def _row(call: Call) -> Row:
    need_login(call)
    wanted = number(call.path["id"], "id")
    row = call.core.database.one("SELECT * FROM retention_policy WHERE id = %s", wanted)
    if row is None:
        raise not_found("retention policy", wanted)
    administered_project(call, str(row["project_id"]))
    return row


def _execution(call: Call) -> Row:
    row = _row(call)
    wanted = number(call.path["eid"], "eid")
    execution = call.core.database.one(
        "SELECT * FROM execution WHERE kind = %s AND id = %s", f"RETENTION-{row['id']}", wanted
    )
    if execution is None:
        raise not_found("execution", wanted)
    return execution


def _status(status: str) -> str:
    return {"Success": "Succeed", "Running": "InProgress"}.get(status, status)


def _insert(core: "Core", project_id: int, policy: dict[str, Any]) -> int:
    made = core.database.insert(
        "INSERT INTO retention_policy (project_id, policy) VALUES (%s, %s) RETURNING id",
        project_id,
        document(policy),
    )
    core.database.run(
        "UPDATE project SET metadata = metadata || %s WHERE project_id = %s",
        document({"retention_id": str(made["id"])}),
        project_id,
    )
    return int(made["id"])


def _policy(call: Call) -> dict[str, Any]:
    """The policy of the body after Harbor's checks."""
    body = call.body()
    scope = body.get("scope") or {}
    if scope.get("level") != "project":
        raise ApiError(400, f"scope {scope.get('level')} is not support")
    rules = body.get("rules") or []
    if len(rules) > MOST_RULES:
        raise ApiError(400, f"only {MOST_RULES} rules are allowed at most")
    _check_rules(rules)
    trigger = body.get("trigger") or {}
    cron = (trigger.get("settings") or {}).get("cron", "")
    if trigger.get("kind") == "Schedule" and cron:
        check_cron(cron, "scheduled tag retention")
    return {
        "algorithm": body.get("algorithm", "or"),
        "rules": rules,
        "trigger": trigger,
        "scope": scope,
    }


def _check_rules(rules: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for place, rule in enumerate(rules):
        if rule.get("template") not in TEMPLATES:
            raise ApiError(400, f"rule template {rule.get('template')} is not known")
        text = json.dumps(
            {key: value for key, value in rule.items() if key != "id"}, sort_keys=True
        )
        if text in seen:
            raise ApiError(409, f"rule {place} is conflict with rule {seen[text]}")
        seen[text] = place
        rule["id"] = place
