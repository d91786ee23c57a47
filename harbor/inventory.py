"""The inventory: which hosts there are, how to reach them, and which groups they form."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harbor.settings import suggestion


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class SshDefaults(Section):
    """For all hosts; `~/.ssh/config`, the agent and `~/.ssh/known_hosts` are always read too."""

    config: str | None = Field(None, description="one more ssh_config file")
    known_hosts: str | None = Field(None, description="one more known_hosts file")


class Ssh(Section):
    """How to reach one host; what is left out comes from ssh_config."""

    address: str | None = Field(
        None, pattern=r"^[^@\s]+$", description="default: the host's name in this inventory"
    )
    user: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    identity_file: str | None = None
    jump: str | None = Field(
        None,
        pattern=r"^([^@\s]+@)?[^@:\s]+(:\d+)?$",
        description="[user@]host[:port] to go through",
    )


RuntimeName = Literal["docker", "containerd", "podman", "buildkit", "k3s", "gitlab-runner"]


class ClientOptions(Section):
    """How a client uses its cache."""

    runtimes: list[RuntimeName] | None = Field(None, description="default: all that are found")
    fallback: bool = Field(True, description="go to the origin when the cache fails")
    restart: Literal["safe", "always", "never"] = Field(
        "safe",
        description="of a runtime that needs it: only if no container stops by it, in any case, "
        "or not at all",
    )
    system_store: Literal["auto", "always", "never"] = Field(
        "auto", description="the CA among the system's own too: where a runtime needs it, or not"
    )


class InventoryHost(Section):
    role: Literal["harbor", "client"]
    ssh: Ssh = Ssh()
    harbor: dict[str, Any] = Field({}, description="settings of this Harbor that win over `harbor`")
    cache: str | None = Field(
        None, description="client: the Harbor host that it uses; default: the only one"
    )
    client: dict[str, Any] = Field({}, description="options of this client; they win over `client`")


class Inventory(Section):
    """hosts.yaml as a whole. Paths in it are relative to its own folder."""

    ssh: SshDefaults = SshDefaults()
    hosts: dict[str, InventoryHost] = Field(min_length=1)
    groups: dict[str, list[str]] = {}
    harbor: dict[str, Any] = Field({}, description="settings that all Harbor hosts share")
    client: dict[str, Any] = Field({}, description="options that all clients share")


def parse_inventory(values: Any, file: str) -> tuple[Inventory | None, list[str]]:
    """The inventory in `values`, or every mistake in it as `file: key: what is wrong`."""
    if not isinstance(values, Mapping):
        return None, [f"{file}: is empty or no mapping; `fab init` writes one"]
    try:
        inventory = Inventory.model_validate(values)
    except ValidationError as error:
        return None, [_explain(file, details) for details in error.errors()]
    mistakes = [*_references(inventory), *_client_mistakes(inventory)]
    return inventory, [f"{file}: {text}" for text in mistakes]


def client_options(inventory: Inventory, name: str) -> ClientOptions:
    """The options of one client. Raises pydantic.ValidationError, which parsing has ruled out."""
    return ClientOptions.model_validate(merged(inventory.client, inventory.hosts[name].client))


def cache_of(inventory: Inventory, name: str) -> str | None:
    """The Harbor host that a client uses; None where there are several and none is named."""
    harbors = [other for other, host in inventory.hosts.items() if host.role == "harbor"]
    return inventory.hosts[name].cache or (harbors[0] if len(harbors) == 1 else None)


def _client_mistakes(inventory: Inventory) -> list[str]:
    found: dict[str, None] = {}
    for name, host in inventory.hosts.items():
        try:
            client_options(inventory, name)
        except ValidationError as error:
            for details in error.errors():
                block = f"hosts.{name}.client" if details["loc"][0] in host.client else "client"
                key = f"{block}.{'.'.join(map(str, details['loc']))}"
                extra = details["type"] == "extra_forbidden"
                known = suggestion(str(details["loc"][-1]), ClientOptions.model_fields)
                found[f"{key}: unknown key{known}" if extra else f"{key}: {details['msg']}"] = None
    return list(found)


def _explain(file: str, details: Any) -> str:
    keys = [str(key) for key in details["loc"]]
    message = details["msg"]
    if details["type"] == "extra_forbidden":
        message = f"unknown key{suggestion(keys[-1], _known(keys[:-1]))}"
    elif details["type"] == "missing":
        message = "is missing"
    return f"{file}: {'.'.join(keys)}: {message}"


def _known(path: list[str]) -> list[str]:
    if path[:1] == ["hosts"]:
        return list((Ssh if path[2:] == ["ssh"] else InventoryHost).model_fields)
    return list((SshDefaults if path == ["ssh"] else Inventory).model_fields)


def _references(inventory: Inventory) -> list[str]:
    mistakes = [
        f"groups.{group}: no host `{name}`{suggestion(name, inventory.hosts)}"
        for group, names in inventory.groups.items()
        for name in names
        if name not in inventory.hosts
    ]
    for name, host in inventory.hosts.items():
        cache = inventory.hosts.get(host.cache) if host.cache else None
        if host.cache and (cache is None or cache.role != "harbor"):
            mistakes.append(f"hosts.{name}.cache: `{host.cache}` is no host with role: harbor")
    return mistakes


def select(inventory: Inventory, wanted: list[str], role: str) -> tuple[list[str], list[str]]:
    """The hosts of `role` that `wanted` (names and groups; nothing: all) means, and the mistakes."""
    if not wanted:
        return [name for name, host in inventory.hosts.items() if host.role == role], []
    names: list[str] = []
    mistakes = []
    for word in wanted:
        members = inventory.groups.get(word, [word])
        unknown = [name for name in members if name not in inventory.hosts]
        if unknown:
            known = [*inventory.hosts, *inventory.groups]
            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
            mistakes.append(f"-H {word}: no such host or group; {hint}")
        names += [name for name in members if name not in unknown]
    wrong = [name for name in names if inventory.hosts[name].role != role]
    mistakes += [f"-H {name}: has role {inventory.hosts[name].role}, not {role}" for name in wrong]
    return list(dict.fromkeys(names)), mistakes


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`shared` with the values of `own` in their place, mappings merged key by key."""
    result = dict(shared)
    for key, value in own.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result
