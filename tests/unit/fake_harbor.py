"""A Harbor in memory, as far as the planner's calls need one. Every request is checked against
the specification of its release; what it answers is what the real one is known to answer."""

import json
import re
from typing import Any

from harbor.configuration.calls import Call
from harbor.configuration.state import Read
from harbor.shell import Secret
from harbor.versions import Version
from tasks._api import revealed
from tests.spec import specification

DEFAULTS = {
    "auth_mode": "db_auth",
    "robot_name_prefix": "robot$",
    "quota_per_project_enable": True,
    "oidc_endpoint": "",
    "oidc_verify_cert": True,
    "oidc_auto_onboard": False,
    "session_timeout": 60,
}
WEEK = {
    "template": "nDaysSinceLastPull",
    "action": "retain",
    "disabled": False,
    "params": {"nDaysSinceLastPull": 7},
    "tag_selectors": [
        {
            "kind": "doublestar",
            "decoration": "matches",
            "pattern": "**",
            "extras": '{"untagged":true}',
        }
    ],
    "scope_selectors": {
        "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
    },
}


class FakeHarbor:
    def __init__(self, version: str = "2.15.2") -> None:
        self.version = Version.parse(version)
        self.specification = specification("2.7.4" if self.version < (2, 8, 0) else "2.15.2")
        self.registries: list[dict[str, Any]] = []
        self.projects: list[dict[str, Any]] = []
        self.quotas: list[dict[str, Any]] = []
        self.retentions: list[dict[str, Any]] = []
        self.members: dict[int, list[dict[str, Any]]] = {}
        self.robots: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.users = [{"user_id": 1, "username": "admin"}]
        self.settings: dict[str, Any] = dict(DEFAULTS)
        self.schedules: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.requests: list[str] = []
        self._number = 0

    # -- what is read ---------------------------------------------------------------

    def answer(self, read: Read) -> Any:
        self.requests.append(f"GET {read.path}")
        query = {**read.params, **({"page": 1, "page_size": 100} if read.whole else {})}
        self.specification.check_request("GET", read.path, query, None)
        return self._answer(read)

    def _answer(self, read: Read) -> Any:
        lists = {
            "/registries": self.registries,
            "/projects": self.projects,
            "/quotas": self.quotas,
            "/users": self.users,
            "/usergroups": self.groups,
        }
        path = read.path
        if path in lists:
            return [dict(item) for item in lists[path]]
        if path == "/configurations":
            return {k: {"value": v, "editable": True} for k, v in self.settings.items()}
        if path == "/robots":
            return self._robots(str(read.params.get("q", "")))
        if path.startswith("/system/"):
            return self.schedules.get(path.split("/")[2], {})
        if match := re.fullmatch(r"/retentions/(\d+)", path):
            return next(r for r in self.retentions if r["id"] == int(match[1]))
        if match := re.fullmatch(r"/projects/(\d+)/members", path):
            return self.members[int(match[1])]
        raise AssertionError(f"unexpected read: {path}")

    def _robots(self, query: str) -> list[dict[str, Any]]:
        match = re.fullmatch(r"Level=project,ProjectID=(\d+)", query)
        number = int(match[1]) if match else None
        return [robot for robot in self.robots if robot["project"] == number]

    # -- what is changed ------------------------------------------------------------

    def make(self, call: Call) -> None:
        assert call.ready, f"not ready: {call}"
        self.requests.append(f"{call.method} {call.path}")
        body = json.loads(json.dumps(revealed(call.body)))
        self.specification.check_request(call.method, call.path, {}, body)
        for pattern, handler in self._handlers().items():
            if match := re.fullmatch(pattern, f"{call.method} {call.path}"):
                handler(body, *map(int, match.groups()))
                return
        raise AssertionError(f"unexpected call: {call.method} {call.path}")

    def _handlers(self) -> dict[str, Any]:
        return {
            r"POST /registries": self._add_registry,
            r"PUT /registries/(\d+)": self._change_registry,
            r"DELETE /registries/(\d+)": lambda _, n: self._drop(self.registries, "id", n),
            r"POST /projects": self._add_project,
            r"PUT /projects/(\d+)": self._change_project,
            r"DELETE /projects/(\d+)": lambda _, n: self._drop(self.projects, "project_id", n),
            r"PUT /quotas/(\d+)": lambda body, n: self._one(self.quotas, n).update(body),
            r"POST /retentions": self._add_retention,
            r"PUT /retentions/(\d+)": lambda body, n: self._one(self.retentions, n).update(body),
            r"POST /projects/(\d+)/members": self._add_member,
            r"PUT /projects/(\d+)/members/(\d+)": self._change_member,
            r"DELETE /projects/(\d+)/members/(\d+)": lambda _, p, n: self._drop(
                self.members[p], "id", n
            ),
            r"PUT /configurations": self._configure,
            r"POST /robots": self._add_robot,
            r"PUT /robots/(\d+)": lambda body, n: self._one(self.robots, n).update(body),
            r"PATCH /robots/(\d+)": self._robot_secret,
            r"DELETE /robots/(\d+)": lambda _, n: self._drop(self.robots, "id", n),
            r"PUT /system/gc/schedule": lambda body: self._schedule("gc", body),
            r"PUT /system/purgeaudit/schedule": lambda body: self._schedule("purgeaudit", body),
            r"PUT /system/scanAll/schedule": lambda body: self._schedule("scanAll", body),
        }

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _one(self, items: list[dict[str, Any]], number: int) -> dict[str, Any]:
        return next(item for item in items if item["id"] == number)

    def _drop(self, items: list[dict[str, Any]], key: str, number: int) -> None:
        items[:] = [item for item in items if item[key] != number]

    def _add_registry(self, body: dict[str, Any]) -> None:
        credential = body.pop("credential", {})
        number = self._next()
        if credential:
            self.secrets[body["name"]] = credential["access_secret"]
            credential = {**credential, "access_secret": "*****"}
        self.registries.append({"id": number, **body, "credential": credential})

    def _change_registry(self, body: dict[str, Any], number: int) -> None:
        found = self._one(self.registries, number)
        if "access_secret" in body:
            self.secrets[found["name"]] = body.pop("access_secret")
            found["credential"] = {"type": body.pop("credential_type"), "access_secret": "*****"}
            found["credential"]["access_key"] = body.pop("access_key")
        found.update(body)

    def _add_project(self, body: dict[str, Any]) -> None:
        number = self._next()
        project = {
            "project_id": number,
            "name": body["project_name"],
            "registry_id": body.get("registry_id", 0),
            "metadata": {"public": "false", **body["metadata"]},
            "repo_count": 0,
        }
        self.projects.append(project)
        self.members[number] = [{"id": 1, "entity_name": "admin", "entity_type": "u", "role_id": 1}]
        hard = {"storage": body.get("storage_limit") or -1}
        self.quotas.append({"id": self._next(), "ref": {"id": number}, "hard": hard})
        if project["registry_id"]:
            self._add_retention(
                {
                    "rules": [WEEK],
                    "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}},
                    "scope": {"level": "project", "ref": number},
                }
            )

    def _change_project(self, body: dict[str, Any], number: int) -> None:
        found = next(p for p in self.projects if p["project_id"] == number)
        found["metadata"].update(body["metadata"])

    def _add_retention(self, body: dict[str, Any]) -> None:
        number = self._next()
        self.retentions.append({"id": number, **body})
        project = next(p for p in self.projects if p["project_id"] == body["scope"]["ref"])
        assert "retention_id" not in project["metadata"], "Harbor answers 400 to a second one"
        project["metadata"]["retention_id"] = str(number)

    def _add_member(self, body: dict[str, Any], project: int) -> None:
        user = body.get("member_user")
        group = body.get("member_group", {})
        name = user["username"] if user else group.get("group_name")
        if "ldap_group_dn" in group:
            name = group["ldap_group_dn"].split(",")[0].removeprefix("cn=")
            self.groups.append({"id": self._next(), "group_name": name, **group})
        self.members[project].append(
            {
                "id": self._next(),
                "entity_name": name,
                "entity_type": "u" if user else "g",
                "role_id": body["role_id"],
            }
        )

    def _change_member(self, body: dict[str, Any], project: int, number: int) -> None:
        self._one(self.members[project], number).update(body)

    def _configure(self, body: dict[str, Any]) -> None:
        for key, value in body.items():
            if key.endswith(("_secret", "_password")):
                self.secrets[key] = value
            else:
                self.settings[key] = value

    def _add_robot(self, body: dict[str, Any]) -> None:
        project = None
        name = body["name"]
        if body["level"] == "project":
            space = body["permissions"][0]["namespace"]
            project = next(p for p in self.projects if p["name"] == space)["project_id"]
            name = f"{space}+{name}"
        full = f"{self.settings['robot_name_prefix']}{name}"
        self.robots.append({"id": self._next(), **body, "name": full, "project": project})

    def _robot_secret(self, body: dict[str, Any], number: int) -> None:
        self.secrets[self._one(self.robots, number)["name"]] = body["secret"]

    def _schedule(self, key: str, body: dict[str, Any]) -> None:
        if body["schedule"]["type"] == "None":
            self.schedules.pop(key, None)
            return
        found: dict[str, Any] = {"schedule": body["schedule"]}
        if "parameters" in body:
            found["job_parameters"] = json.dumps({"redis_url_reg": "x", **body["parameters"]})
        self.schedules[key] = found


def secret_of(values: dict[str, str]) -> Any:
    """What `Secrets.of` is in a run."""
    return lambda reference: Secret(values[reference.env])
