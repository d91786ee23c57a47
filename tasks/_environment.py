"""Change secrets in the inventory's `.env`: in one step, 0600, every other line as it was."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from harbor.errors import Refused
from tasks._inventory import Loaded

NEXT = "__NEXT"  # a new secret that may not be in force yet


def file_of(loaded: Loaded) -> Path:
    return loaded.folder / ".env"


def stored(loaded: Loaded) -> dict[str, str]:
    """What stands in `.env` itself, whatever the environment says."""
    values = dotenv_values(file_of(loaded), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def variable(loaded: Loaded, name: str, host: str) -> str:
    """The name under which this host's secret stands, or has to: its own where hosts could differ.

    Refused where the environment holds it: that wins over `.env`, and is not ours to change.
    """
    own = f"{name}__{''.join(c if c.isalnum() else '_' for c in host.upper())}"
    harbors = [h for h in loaded.inventory.hosts.values() if h.role == "harbor"]
    chosen = own if own in stored(loaded) or len(harbors) > 1 else name
    for held in (own, name):
        if held in os.environ:
            raise Refused(
                f"{held} is set in the environment, which wins over .env",
                "unset it, and keep the secret in .env",
            )
    return chosen


def change(loaded: Loaded, values: Mapping[str, str | None]) -> None:
    """Set these names, or take them out (None)."""
    file = file_of(loaded).resolve()  # a link stays one
    lines = file.read_text().splitlines() if file.is_file() else []
    kept = [line for line in lines if line.split("=")[0].strip() not in values]
    kept += [f"{name}={value}" for name, value in values.items() if value is not None]
    staged = file.with_name(".env.new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write("\n".join(kept) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    staged.replace(file)
