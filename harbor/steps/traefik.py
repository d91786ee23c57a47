"""The image of Traefik is on the host: pulled, or sent from this machine."""

from collections.abc import Mapping

from harbor.changes import Change, Run, SendFile
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command
from harbor.steps.release import DOWNLOADS

NAME = "traefik"


def image(settings: Settings) -> str:
    return f"traefik:{settings.harbor.traefik.version}"


def probe(settings: Settings) -> dict[str, str]:
    return {"image": command("docker", "image", "inspect", "-f", "{{.Id}}", image(settings))}


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    if not settings.harbor.with_traefik or facts.get("image", NOT_READ).ok:
        return []
    why = f"the image {image(settings)} is not on the host"
    archive = settings.harbor.traefik.image_archive
    if not archive:
        return [Run(f"{why}: pull it", command("docker", "pull", "-q", image(settings)))]
    path = f"{DOWNLOADS}/traefik.tar"
    load = f"{command('docker', 'load', '-i', path)}\n{command('rm', '-f', path)}"
    return [SendFile(f"{why}: send it", archive, path), Run(f"load {image(settings)}", load)]
