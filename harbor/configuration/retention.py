"""A project's retention policy is as declared.

Harbor makes one for every new proxy project (what was pulled in the last 7 days, checked
daily), and a second one is refused: the policy that is there is changed
(src/server/v2.0/handler/project.go and retention.go, 2.4 to 2.15).
"""

import json
from typing import Any

from harbor.configuration.calls import Call, Plan
from harbor.configuration.settings import Retention, RetentionRule, Selector
from harbor.configuration.state import Context, Item


def plan(context: Context, project: str, wanted: Retention | None, found: Item | None) -> Plan:
    if wanted is None:
        return Plan()
    what = f"retention of {project}"
    if found is None:
        why = f"{_summary(wanted)}, once the project is there"
        return Plan([Call(what, why, "PUT", "/retentions/...", ready=False)])
    number = found["project_id"]
    policy = context.state.one(f"retention {number}")
    if policy is None:
        why = f"is missing: {_summary(wanted)}"
        return Plan([Call(what, why, "POST", "/retentions", _body(wanted, number, {}))])
    reasons = _reasons(wanted, policy)
    if not reasons:
        return Plan()
    path = f"/retentions/{policy['id']}"
    return Plan([Call(what, "; ".join(reasons), "PUT", path, _body(wanted, number, policy))])


def _reasons(wanted: Retention, policy: Item) -> list[str]:
    reasons = []
    declared = sorted(describe(rule) for rule in wanted.rules)
    present = sorted(describe(read_rule(rule)) for rule in policy.get("rules") or [])
    if declared != present:
        reasons.append(f"rules: {', '.join(present) or '(none)'} → {', '.join(declared)}")
    cron = schedule(policy)
    if cron != wanted.schedule:
        reasons.append(f"schedule: {cron} → {wanted.schedule}")
    return reasons


def schedule(policy: Item) -> str:
    """The policy's cron, or `never`."""
    settings = (policy.get("trigger") or {}).get("settings") or {}
    return settings.get("cron") or "never"


def _summary(wanted: Retention) -> str:
    return f"keep {', '.join(describe(rule) for rule in wanted.rules)} ({wanted.schedule})"


def describe(rule: RetentionRule) -> str:
    """One rule in words, the defaults left out; the same words mean the same rule."""
    parts = [rule.template if rule.value is None else f"{rule.template} {rule.value}"]
    for name, selector in (("repositories", rule.repositories), ("tags", rule.tags)):
        if selector != Selector(matches="**"):
            parts.append(f"{name} {selector.matches or f'other than {selector.excludes}'}")
    parts += ["tagged only"] if not rule.untagged else []
    return " ".join([*parts, *(["(disabled)"] if rule.disabled else [])])


def _body(wanted: Retention, project: int, policy: Item) -> dict[str, Any]:
    trigger = policy.get("trigger") or {}
    cron = "" if wanted.schedule == "never" else wanted.schedule
    body: dict[str, Any] = {
        "algorithm": "or",
        "rules": [_rule(rule) for rule in wanted.rules],
        "trigger": {**trigger, "kind": "Schedule", "settings": {"cron": cron}},
        "scope": {"level": "project", "ref": project},
    }
    return {"id": policy["id"], **body} if policy else body


def _rule(rule: RetentionRule) -> dict[str, Any]:
    extras = json.dumps({"untagged": rule.untagged}, separators=(",", ":"))
    return {
        "disabled": rule.disabled,
        "action": "retain",
        "template": rule.template,
        "params": {} if rule.value is None else {rule.template: rule.value},
        "tag_selectors": [{**_selector(rule.tags, "matches", "excludes"), "extras": extras}],
        "scope_selectors": {
            "repository": [_selector(rule.repositories, "repoMatches", "repoExcludes")]
        },
    }


def _selector(selector: Selector, matches: str, excludes: str) -> dict[str, str]:
    wanted = selector.matches is not None
    pattern = selector.matches if wanted else selector.excludes
    return {
        "kind": "doublestar",
        "decoration": matches if wanted else excludes,
        "pattern": pattern or "",
    }


def read_rule(found: Item) -> RetentionRule:
    """The API's rule in our terms."""
    tag = (found.get("tag_selectors") or [{}])[0]
    scopes = (found.get("scope_selectors") or {}).get("repository") or [{}]
    value = (found.get("params") or {}).get(found["template"])
    # No extras mean untagged ones too (src/lib/selector/selectors/doublestar).
    extras = json.loads(tag.get("extras") or "{}")
    return RetentionRule(
        template=found["template"],
        value=int(value) if found["template"] != "always" and value is not None else None,
        repositories=_read_selector(scopes[0]),
        tags=_read_selector(tag),
        untagged=extras.get("untagged", True),
        disabled=found.get("disabled", False),
    )


def _read_selector(found: Item) -> Selector:
    pattern = found.get("pattern", "**")
    if str(found.get("decoration", "")).lower().endswith("excludes"):
        return Selector(excludes=pattern)
    return Selector(matches=pattern)
