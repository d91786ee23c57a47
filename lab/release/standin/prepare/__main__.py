"""`python3 -m lab.release.standin.prepare COMMAND`: what `docker run goharbor/prepare:vX.Y.Z` runs."""

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.release.standin.versions import Release

from . import compose, folders, gencert, migrate, render, secret
from .settings import Flags, Rejected, Settings, load, parse, validate

REJECTED = 255


@dataclass(frozen=True)
class Places:
    """Where the wrapper mounts what; another `root` is for tests."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def bundle(self) -> Path:
        return self.root / "compose_location"

    @property
    def host(self) -> Path:
        return self.root / "hostfs"


def main(arguments: list[str], release: Release, places: Places) -> int:
    """Run one command; the result is the exit code.  Unknown options end with 2."""
    print(f"STAND-IN Harbor {release}: prepare, not the genuine one", flush=True)
    chosen = _parser(release).parse_args(arguments)
    try:
        if chosen.command == "gencert":
            gencert.write(Path(chosen.path), chosen.days)
        elif chosen.command == "migrate":
            return migrate.run(places.host, chosen, release)
        else:
            prepare(Path(chosen.conf), _flags(chosen), release, places)
    except Rejected as broken:
        print("Error happened in config validation...", flush=True)
        print(f"ERROR:root:Error: {broken}", file=sys.stderr)
        return REJECTED
    return 0


def prepare(conf: Path, flags: Flags, release: Release, places: Places) -> None:
    """Write the configuration.  The old one is deleted first, before anything is judged."""
    _clear(places.config)
    document = load(conf)
    settings = parse(document, release, flags)
    validate(settings, document, places.host)
    folders.prepare_data(places.data, settings)
    _prepare_log(places, settings)
    secret.ensure_lasting(places.data)
    folders.copy_certificate(places.data, settings, places.host)
    _copy_trust(places, settings)
    rotating = secret.rotate()
    render.write_all(places.config, settings, rotating)
    folders.write(places.bundle / "docker-compose.yml", compose.render(settings), 0, 0o644)
    print("Generated configuration file: /compose_location/docker-compose.yml")
    if not settings.https:
        print(
            "WARNING:root:WARNING: HTTP protocol is insecure. Harbor will deprecate http "
            "protocol in the future. Please make sure to upgrade to https"
        )


def _parser(release: Release) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _prepare_options(commands.add_parser("prepare", allow_abbrev=False), release)
    gencert_command = commands.add_parser("gencert", allow_abbrev=False)
    gencert_command.add_argument("-p", "--path", required=True)
    gencert_command.add_argument("-d", "--days", type=int, default=365)
    migrate_command = commands.add_parser("migrate", allow_abbrev=False)
    migrate_command.add_argument("-i", "--input", required=True)
    migrate_command.add_argument("-o", "--output")
    migrate_command.add_argument("-t", "--target")
    return parser


def _prepare_options(command: argparse.ArgumentParser, release: Release) -> None:
    command.add_argument("--conf", default="/input/harbor.yml")
    command.add_argument("--with-trivy", action="store_true")
    for feature in ("notary", "chartmuseum"):
        if release.has(f"flag-{feature}"):
            command.add_argument(f"--with-{feature}", action="store_true")


def _flags(chosen: argparse.Namespace) -> Flags:
    given = vars(chosen)
    return Flags(
        given["with_trivy"], given.get("with_notary", False), given.get("with_chartmuseum", False)
    )


def _clear(config: Path) -> None:
    """Delete every file below common/config; the folders stay."""
    for path in sorted(config.rglob("*")):
        if not path.is_dir():
            print(f"Clearing the configuration file: /config/{path.relative_to(config)}")
            path.unlink()


def _prepare_log(places: Places, settings: Settings) -> None:
    """The log folder on the host belongs to Harbor's user."""
    folder = places.host / settings.log.location.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, folders.HARBOR, folders.HARBOR)


def _copy_trust(places: Places, settings: Settings) -> None:
    """Rebuild shared/trust-certificates with what harbor.yml names, and nothing else."""
    trust = places.config / "shared" / "trust-certificates"
    shutil.rmtree(trust, ignore_errors=True)
    trust.mkdir(parents=True)
    if settings.ca_bundle:
        source = places.host / settings.ca_bundle.lstrip("/")
        shutil.copyfile(source, trust / "storage_ca_bundle.crt")


if __name__ == "__main__":
    version = Path("/opt/stand-in/VERSION").read_text().strip()
    sys.exit(main(sys.argv[1:], Release.parse(version), Places()))
