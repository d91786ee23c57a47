"""Disposable Debian hosts on one machine: systemd-nspawn on overlay mounts.

Everything here needs root and the standard library only.  `python3 -m lab` is the command
line, `docs/lab.md` the page for people, and these names are the Python API:

    from lab import HostSpec, Lab

    with Lab("mine") as lab:
        cache, runner = lab.up_all([
            HostSpec("cache-01", suite="bookworm", aliases=("harbor-cache.example.com",)),
            HostSpec("runner-01", suite="trixie", layer="docker"),
        ])
        print(runner.run("getent hosts harbor-cache.example.com").stdout)
"""

from lab.errors import LabError
from lab.fleet import HostSpec, Lab
from lab.host import Host

__all__ = ["Host", "HostSpec", "Lab", "LabError"]
