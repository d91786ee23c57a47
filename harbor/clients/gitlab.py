"""GitLab runner: jobs of the docker executor pull by the host's docker; docker:dind needs files.

A dind service has a dockerd of its own that sees none of the host's files, so config.toml mounts
a daemon.json and the CAs into every container. The runner reads a changed file by itself.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harbor import files
from harbor.clients.cache import Cache
from harbor.clients.part import Part, ca_files
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.shell import NOT_READ, Output

NAME = "gitlab-runner"
CONFIG = "/etc/gitlab-runner/config.toml"
OURS = "/etc/gitlab-runner/harbor-cache"
DAEMON_JSON = f"{OURS}/daemon.json"
CERTS = f"{OURS}/certs.d"
TABLE = "[runners.docker]"


@dataclass(frozen=True)
class Facts:
    config: Output


def probe() -> dict[str, str]:
    return {"installed": "command -v gitlab-runner", "config": files.probe(CONFIG)}


def parse(outputs: Mapping[str, Output]) -> Facts | None:
    config = outputs.get("config", NOT_READ)
    return Facts(config) if outputs.get("installed", NOT_READ).ok and config.ok else None


def trust(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    return Part(NAME, ca_files(CERTS, cache.hosts, cache.ca))


def use(cache: Cache, facts: Facts, options: ClientOptions) -> Part:
    urls = [f"https://{u.mirror}" for u in cache.upstreams if u.origin == "docker.io" and u.mirror]
    if not urls:
        error = Refused(
            "gitlab-runner: docker:dind needs a mirror at the root of a host name",
            "set harbor.mirrors.docker.io.name",
        )
        return Part(NAME, refused=error)
    text = files.content(facts.config).decode()
    try:
        content = with_volumes(text, volumes(cache)).encode()
    except Refused as error:
        return Part(NAME, refused=error)
    daemon = (json.dumps({"registry-mirrors": urls}, indent=2) + "\n").encode()
    return Part(
        NAME,
        (
            ManagedFile(DAEMON_JSON, daemon),
            files.keeping(CONFIG, content, facts.config, shows="nothing"),
        ),
        check=f"gitlab-runner list --config {CONFIG} >/dev/null 2>&1",
        notes=("jobs pull by the host's docker; dind services get the mirror by a mounted file",),
    )


def reload(facts: Facts) -> str:
    """Nothing: the runner reads a changed file within seconds."""
    return ""


def volumes(cache: Cache) -> list[str]:
    """What every container of the docker executor gets mounted."""
    certificates = [f"{CERTS}:/etc/docker/certs.d:ro"] if cache.ca else []
    return [f"{DAEMON_JSON}:/etc/docker/daemon.json:ro", *certificates]


def with_volumes(text: str, wanted: list[str]) -> str:
    """config.toml with `wanted` among the volumes of every docker executor. Raises Refused."""
    before = tomllib.loads(text)
    parts = re.split(r"(?m)^(?=[ \t]*\[)", text)
    changed = "".join(
        _volumes_of(part, wanted) if part.lstrip().startswith(TABLE) else part for part in parts
    )
    if _parsed(changed) != _expected(before, wanted):
        raise Refused(
            f"{CONFIG} is written in a way that cannot be changed safely",
            f"add to `volumes` of each {TABLE}: {json.dumps(wanted)}",
        )
    return changed


def _volumes_of(part: str, wanted: list[str]) -> str:
    found = re.search(r"(?ms)^([ \t]*)volumes[ \t]*=[ \t]*\[(.*?)\]", part)
    if not found:
        return part.rstrip("\n") + f"\n    volumes = {json.dumps(wanted)}\n"
    present = tomllib.loads(f"v = [{found[2]}]")["v"]
    missing = [volume for volume in wanted if volume not in present]
    if not missing:
        return part
    line = f"{found[1]}volumes = {json.dumps([*present, *missing])}"
    return part[: found.start()] + line + part[found.end() :]


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _expected(before: Mapping[str, Any], wanted: list[str]) -> dict[str, Any]:
    runners = []
    for runner in before.get("runners", []):
        docker = runner.get("docker")
        if docker is not None:
            present = docker.get("volumes", [])
            more = [volume for volume in wanted if volume not in present]
            docker = {**docker, "volumes": [*present, *more]}
            runner = {**runner, "docker": docker}  # noqa: PLW2901 -- a changed copy of this one
        runners.append(runner)
    return {**before, "runners": runners} if runners else dict(before)
