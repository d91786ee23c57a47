"""Harbor's API specification, as far as the project uses the API: what may be sent and answered.

`specifications/*.json` hold names and types of the operations in `USED`, taken from api/v2.0/swagger.yaml
of each release by `python -m tests.spec SWAGGER.yaml > tests/specifications/X.Y.Z.json`. A test compares
them with the specifications themselves where those lie beside the project.
"""

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "specifications"
ORIGINALS = ROOT.parent / "shared"
RELEASES = ("2.7.4", "2.15.2")
USED = (
    "GET /configurations",
    "PUT /configurations",
    "GET /projects",
    "POST /projects",
    "PUT /projects/{project_name_or_id}",
    "DELETE /projects/{project_name_or_id}",
    "GET /projects/{project_name_or_id}/members",
    "POST /projects/{project_name_or_id}/members",
    "PUT /projects/{project_name_or_id}/members/{mid}",
    "DELETE /projects/{project_name_or_id}/members/{mid}",
    "GET /quotas",
    "PUT /quotas/{id}",
    "GET /registries",
    "POST /registries",
    "PUT /registries/{id}",
    "DELETE /registries/{id}",
    "POST /registries/ping",
    "POST /retentions",
    "GET /retentions/{id}",
    "PUT /retentions/{id}",
    "GET /robots",
    "POST /robots",
    "PUT /robots/{robot_id}",
    "PATCH /robots/{robot_id}",
    "DELETE /robots/{robot_id}",
    "GET /system/gc/{gc_id}",
    "GET /system/gc/schedule",
    "POST /system/gc/schedule",
    "PUT /system/gc/schedule",
    "POST /system/oidc/ping",
    "GET /system/purgeaudit/schedule",
    "PUT /system/purgeaudit/schedule",
    "GET /system/scanAll/schedule",
    "PUT /system/scanAll/schedule",
    "GET /systeminfo",
    "GET /systeminfo/volumes",
    "GET /usergroups",
    "GET /users",
    "GET /users/current",
    "PUT /users/{user_id}/password",
)
# The API takes these and the specification does not list them
# (src/lib/config/metadata/metadatalist.go).
UNLISTED = ("pull_audit_log_disable", "pull_time_update_disable", "pull_count_update_disable")
SUCCESS = ("200", "201")


class Specification:
    """One release."""

    def __init__(self, release: str) -> None:
        self.operations: dict[str, Any] = json.loads((FOLDER / f"{release}.json").read_text())
        self._compiled = {name: _compiled(one) for name, one in self.operations.items()}

    def check_request(self, method: str, path: str, query: dict[str, Any], body: Any) -> None:
        """Fail where a request is none of the specification."""
        operation = self._find(method, path)
        unknown = set(query) - set(operation["query"])
        assert not unknown, f"{method} {path}: no parameters {unknown}"
        if "body" in operation:
            operation["body"].validate(body)
        else:
            assert not body, f"{method} {path} takes no body"

    def check_answer(self, method: str, path: str, body: Any) -> None:
        """Fail where a successful answer is none of the specification."""
        self._find(method, path)["answer"].validate(body)

    def _find(self, method: str, path: str) -> Any:
        for name, operation in self._compiled.items():
            verb, _, template = name.partition(" ")
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            exact = "{" not in template or not path.endswith(("/schedule", "/current", "/ping"))
            if verb == method and exact and re.fullmatch(pattern, path):
                return operation
        raise AssertionError(f"{method} {path} is not in the specification")


def _compiled(operation: dict[str, Any]) -> dict[str, Any]:
    """Its schemas as validators."""
    return {
        key: value if key == "query" else jsonschema.Draft202012Validator(value)
        for key, value in operation.items()
    }


@functools.cache
def specification(release: str) -> Specification:
    """The specification of one release, read once."""
    return Specification(release)


def distil(swagger: Any) -> dict[str, Any]:
    """Names and types of the operations in `USED`."""
    result = {}
    for name in USED:
        method, _, path = name.partition(" ")
        operation = swagger["paths"][path].get(method.lower())
        if operation is not None:
            result[name] = _operation(swagger, swagger["paths"][path], operation)
    return result


def _operation(swagger: Any, shared: Any, operation: Any) -> dict[str, Any]:
    parameters = [*shared.get("parameters", []), *operation.get("parameters", [])]
    resolved = [_resolved(swagger, parameter) for parameter in parameters]
    found: dict[str, Any] = {"query": sorted(p["name"] for p in resolved if p["in"] == "query")}
    for parameter in resolved:
        if parameter["in"] == "body":
            found["body"] = _schema(swagger, parameter["schema"], closed=True)
    answers = [operation["responses"][code] for code in SUCCESS if code in operation["responses"]]
    schema = _resolved(swagger, answers[0]).get("schema") if answers else None
    found["answer"] = _schema(swagger, schema, closed=False) if schema else {}
    return found


def _resolved(swagger: Any, node: Any) -> Any:
    while "$ref" in node:
        _, kind, name = node["$ref"].split("/")
        node = swagger[kind][name]
    return node


def _schema(swagger: Any, node: Any, *, closed: bool) -> dict[str, Any]:
    """JSON schema of one node. `closed`: what is not listed is a mistake of ours."""
    nullable = node.get("x-nullable") or node.get("x-isnullable") or not closed
    node = _resolved(swagger, node)
    kind = node.get("type", "object" if "properties" in node else None)
    result: dict[str, Any] = {}
    if kind:
        result["type"] = [kind, "null"] if nullable else kind
    if "properties" in node:
        result["properties"] = {
            key: _schema(swagger, value, closed=closed) for key, value in node["properties"].items()
        }
        if closed and "additionalProperties" not in node:
            result["additionalProperties"] = False
    if "items" in node:
        result["items"] = _schema(swagger, node["items"], closed=closed)
    extra = node.get("additionalProperties")
    # An `object` without properties is any value at all for the generator that Harbor uses.
    if isinstance(extra, dict) and extra and extra != {"type": "object"}:
        result["additionalProperties"] = _schema(swagger, extra, closed=closed)
    return result


def original(release: str) -> Path:
    """The specification itself, where it lies beside the project."""
    return ORIGINALS / f"harbor-swagger-v{release}.yaml"


def load(file: Path) -> Any:
    return YAML(typ="safe").load(file)


if __name__ == "__main__":
    distilled = distil(load(Path(sys.argv[1])))
    for key in UNLISTED:
        distilled["PUT /configurations"]["body"]["properties"][key] = {"type": "boolean"}
    json.dump(distilled, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
