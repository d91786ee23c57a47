"""Where the lab keeps what it builds and what it runs."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def runs() -> Path:
    """The folder with one folder for each running lab; `LAB_RUN` overrides `.lab`."""
    return Path(os.environ.get("LAB_RUN", PROJECT / ".lab")).resolve()


def cache() -> Path:
    """The folder with what is built once; `LAB_CACHE` overrides `.lab/cache`."""
    return Path(os.environ.get("LAB_CACHE", PROJECT / ".lab" / "cache")).resolve()
