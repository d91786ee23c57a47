"""`python3 -m lab.release.standin.core`: the core's container."""

from pathlib import Path

from lab.release.standin import web
from lab.release.standin.versions import Release

from . import api
from .app import Core
from .configuration import Environment, database_parameters
from .postgres import Postgres


def main() -> None:
    """Serve API, token service and registry on port 8080."""
    api.load()
    release = Release.parse(Path("/opt/stand-in/VERSION").read_text().strip())
    core = Core(release, Environment.read(), Postgres(**database_parameters()))
    core.start()
    print(f"STAND-IN core {release.build} serves on 8080", flush=True)
    web.serve(core.answer, 8080, quiet=["/api/v2.0/ping"])


if __name__ == "__main__":
    main()
