"""The reference of all settings: `python -m harbor.reference > docs/settings.md`."""

import sys
from collections.abc import Iterator
from typing import Any

from harbor.schema import schema

HEAD = """# Settings

Written by `python -m harbor.reference`; change the descriptions in `harbor/settings.py` and its
neighbours. Paths of this machine are relative to the inventory's folder. `{env: NAME}` names a
secret in `.env`. `hosts.NAME.harbor` wins over `harbor`, key by key.
"""


def reference() -> str:
    """Markdown: one table for each section of the inventory, in the order of the code."""
    whole = schema()
    definitions = whole["$defs"]
    lines = [HEAD, *_section("hosts.yaml", whole)]
    for title, name in (
        ("ssh", "SshDefaults"),
        ("hosts.NAME", "InventoryHost"),
        ("hosts.NAME.ssh", "Ssh"),
    ):
        lines += _section(title, definitions[name])
    lines += _tree("harbor", definitions["Harbor"], definitions)
    return "\n".join(lines)


def _tree(path: str, section: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    yield from _section(path, section)
    for key, field in section["properties"].items():
        for name in _references(field):
            inner = definitions[name]
            if "properties" in inner and name != "FromEnvironment":
                yield from _tree(f"{path}.{key}", inner, definitions)


def _section(title: str, section: dict[str, Any]) -> Iterator[str]:
    about = section.get("description", "").split("\n\n")[0].replace("\n", " ")
    yield f"\n## {title}\n"
    if about:
        yield f"{about}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in section["properties"].items():
        required = key in section.get("required", [])
        default = "required" if required else _shown(field.get("default", ""))
        meaning = field.get("description", "").replace("\n", " ").replace("|", "\\|")
        yield f"| `{key}` | {_kind(field)} | {default} | {meaning} |"


def _shown(value: Any) -> str:
    if value in ("", None, [], {}) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(field: dict[str, Any]) -> str:
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    return " or ".join(dict.fromkeys(_one_kind(option) for option in options))


def _one_kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return "`{env: NAME}`" if name == "FromEnvironment" else "section"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}"
    kind = str(field.get("type", "any"))
    return {"object": "mapping", "integer": "number"}.get(kind, kind)


def _references(field: dict[str, Any]) -> list[str]:
    """The sections that a field is, or that its mapping or list holds."""
    places = [field, *field.get("anyOf", [])]
    places += [inner for place in places for inner in _held(place)]
    return [place["$ref"].rpartition("/")[2] for place in places if "$ref" in place]


def _held(field: dict[str, Any]) -> list[dict[str, Any]]:
    held = [field.get("items"), field.get("additionalProperties")]
    # Mappings whose keys have a pattern.
    held += field.get("patternProperties", {}).values()
    return [inner for inner in held if isinstance(inner, dict)]


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
