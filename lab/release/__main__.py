"""`python3 -m lab.release`: build the stand-in Harbor release and what goes with it."""

import argparse
import sys
from pathlib import Path

from lab import paths
from lab.errors import LabError
from lab.release import bundle, traefik, upstream


def main(arguments: list[str]) -> int:
    """Run one command and print the files that it wrote, one a line."""
    chosen = _parser().parse_args(arguments)
    try:
        for line in chosen.run(chosen):
            print(line)
    except (LabError, ValueError) as failed:
        print(f"lab.release: {failed}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m lab.release", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _build_command(commands)
    command = commands.add_parser("traefik", help="the genuine Traefik in an image")
    command.add_argument("--version", default=traefik.VERSION)
    _out(command)
    command.set_defaults(run=lambda chosen: [traefik.build(chosen.version, chosen.out)])
    command = commands.add_parser("all", help="all installers and the Traefik image")
    _out(command)
    command.set_defaults(
        run=lambda chosen: [
            *bundle.build(bundle.VERSIONS, chosen.out),
            traefik.build(traefik.VERSION, chosen.out),
        ]
    )
    command = commands.add_parser("upstream", help="push small images to a registry")
    command.add_argument("url", help="e.g. http://198.18.0.5:5000")
    command.set_defaults(run=lambda chosen: upstream.push_all(chosen.url))
    return parser


def _build_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("build", help="the offline installers")
    command.add_argument(
        "--version", action="append", help="default: " + ", ".join(bundle.VERSIONS)
    )
    _out(command)
    command.set_defaults(
        run=lambda chosen: bundle.build(chosen.version or bundle.VERSIONS, chosen.out)
    )


def _out(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, default=paths.runs() / "releases", help="default: %(default)s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
