"""The image of Traefik is on the host: pulled, or sent from this machine."""

import re
from collections.abc import Mapping

from harbor.changes import Change, Run, SendFile
from harbor.errors import Refused
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command
from harbor.steps.release import DOWNLOADS
from harbor.versions import Version

NAME = "traefik"
ENGINE = "timeout 20 docker version -f '{{.Server.MinAPIVersion}} {{.Server.Version}}'"
# The first versions that negotiate the API version; before, both ask for 1.24
# (traefik CHANGELOG 2.11.31 and 3.6.1).
NEGOTIATES = {2: Version(2, 11, 31), 3: Version(3, 6, 1)}
ASKED_BEFORE = (1, 24)
NEWER = f"harbor.traefik.version: v{NEGOTIATES[3]} or later, or provider: file"


def image(settings: Settings) -> str:
    return f"traefik:{settings.harbor.traefik.version}"


def probe(settings: Settings) -> dict[str, str]:
    return {
        "image": command("docker", "image", "inspect", "-f", "{{.Id}}", image(settings)),
        "engine api": ENGINE,
    }


def engine_problem(image: str, engine: Output) -> str:
    """Why this image cannot read the engine's socket; empty where it can. `engine`: what ENGINE says."""
    found, words = re.search(r":v?(\d+)\.(\d+)(?:\.(\d+))?", image), engine.text.split()
    if not found or not engine.ok or len(words) != 2:
        return ""
    version = Version(*(int(part or 0) for part in found.groups()))
    minimum = tuple(int(part) for part in words[0].split("."))
    negotiates = NEGOTIATES.get(version.major, Version(0, 0, 0))
    if version >= negotiates or minimum <= ASKED_BEFORE:
        return ""
    return f"{image} asks the engine for API 1.24, engine {words[1]} wants {words[0]} at least"


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    """Raises Refused where this version could not talk to the engine that is there."""
    if not settings.harbor.with_traefik:
        return []
    engine = facts.get("engine api", NOT_READ)
    if settings.harbor.traefik.provider == "docker" and (
        problem := engine_problem(image(settings), engine)
    ):
        raise Refused(problem, NEWER)
    if facts.get("image", NOT_READ).ok:
        return []
    why = f"the image {image(settings)} is not on the host"
    archive = settings.harbor.traefik.image_archive
    if not archive:
        return [Run(f"{why}: pull it", command("docker", "pull", "-q", image(settings)))]
    path = f"{DOWNLOADS}/traefik.tar"
    load = f"{command('docker', 'load', '-i', path)}\n{command('rm', '-f', path)}"
    return [SendFile(f"{why}: send it", archive, path), Run(f"load {image(settings)}", load)]
