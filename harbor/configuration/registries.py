"""Every declared registry is there, with the declared address and credentials."""

from typing import Any

from harbor.configuration.calls import Call, Plan, differences
from harbor.configuration.settings import Registry
from harbor.configuration.state import Context, Item


def plan(context: Context) -> Plan:
    result = Plan()
    for name, wanted in context.wanted.registries.items():
        found = context.state.registries.get(name)
        result += _change(context, name, wanted, found) if found else _create(context, name, wanted)
    return result


def _create(context: Context, name: str, wanted: Registry) -> Plan:
    type_, url = wanted.as_known_by(context.state.version)
    body: dict[str, Any] = {"name": name, "type": type_, "url": url, "insecure": wanted.insecure}
    if wanted.description is not None:
        body["description"] = wanted.description
    if wanted.ca_certificate is not None:
        body["ca_certificate"] = wanted.ca_certificate
    remember = {}
    if wanted.credentials:
        secret = context.secret(wanted.credentials.password)
        username = wanted.credentials.username
        body["credential"] = {"type": "basic", "access_key": username, "access_secret": secret}
        remember = {secret_name(name): secret}
    return Plan(
        [
            Call(
                f"registry {name}",
                f"is missing: create it (type {type_}, {url})",
                "POST",
                "/registries",
                body,
                remember=remember,
                ping=name,
            )
        ]
    )


def _change(context: Context, name: str, wanted: Registry, found: Item) -> Plan:
    type_, url = wanted.as_known_by(context.state.version)
    what = f"registry {name}"
    if found["type"] != type_:
        problem = (
            f"{what}: has type {found['type']}, declared is {type_}: Harbor cannot change the type "
            "of a registry. Declare the type it has (`type` and `url`), or another name"
        )
        return Plan(problems=[problem])
    body, reasons = _fields(wanted, url, found)
    remember = {}
    if wanted.credentials:
        secret = context.secret(wanted.credentials.password)
        why = context.must_send(secret_name(name), secret)
        if why:
            reasons.append(f"password: {why}")
        if why or "access_key" in body:
            body |= {
                "credential_type": "basic",
                "access_key": wanted.credentials.username,
                "access_secret": secret,
            }
            remember = {secret_name(name): secret}
    if not reasons:
        return Plan()
    path = f"/registries/{found['id']}"
    return Plan([Call(what, "; ".join(reasons), "PUT", path, body, remember=remember, ping=name)])


def _fields(wanted: Registry, url: str, found: Item) -> tuple[dict[str, Any], list[str]]:
    present = {
        "url": found.get("url", "").rstrip("/"),
        "insecure": found.get("insecure", False),
        "description": found.get("description", ""),
        "ca_certificate": (found.get("ca_certificate") or "").strip(),
        "access_key": (found.get("credential") or {}).get("access_key", ""),
    }
    declared: dict[str, Any] = {"url": url, "insecure": wanted.insecure}
    if wanted.description is not None:
        declared["description"] = wanted.description
    if wanted.ca_certificate is not None:
        declared["ca_certificate"] = wanted.ca_certificate
    if wanted.credentials:
        declared["access_key"] = wanted.credentials.username
    changed = differences(declared, present)
    if "ca_certificate" in changed:
        changed["ca_certificate"] = "ca_certificate differs"
    return {key: declared[key] for key in changed}, list(changed.values())


def secret_name(registry: str) -> str:
    """The name of its password among the fingerprints."""
    return f"registries/{registry}"
