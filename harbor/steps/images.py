"""The images of the installed release are there: whoever pruned them while Harbor was stopped."""

from collections.abc import Mapping

from harbor import paths
from harbor.changes import Change, Run
from harbor.errors import Refused
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output
from harbor.steps import release

NAME = "images"


def probe(settings: Settings) -> dict[str, str]:
    return {
        "installed": release.probe(settings)["installed"],
        "lacking": f"[ -s {release.IMAGES} ] && "
        "timeout 20 docker image ls --format '{{.Repository}}:{{.Tag}}' | "
        f"sort | comm -13 - {release.IMAGES}",
        "archive": f"ls {paths.INSTALL}/harbor.v*.tar.gz",
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    lacking = facts.get("lacking", NOT_READ)
    if not lacking.lines:
        return []
    why = f"not loaded: {', '.join(lacking.lines)}"
    version = facts.get("installed", NOT_READ).text.strip()
    if not version or release.archive(version) not in facts.get("archive", NOT_READ).lines:
        raise Refused(f"{why}; and no archive to load from", "`fab deploy` brings the release")
    return [Run(why, release.load(version), timeout=1800)]
