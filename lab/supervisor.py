"""Boots one host: plugs it in, starts it, and again whenever it reboots.

Run as `python3 -m lab.supervisor FOLDER` by host.py, in the host's cgroup.  Python gives way
to a small shell while the host runs (3 MB rather than 20), which comes back here on a reboot.
"""

import os
import sys
from pathlib import Path

from lab import cable, cgroups, naming, network, nspawn, state

# $1 reboot's exit code, $2 python, $3 folder, then the command that boots
WATCH = r"""
reboot=$1 again=("$2" -m lab.supervisor "$3"); shift 3
"$@"
[ $? -ne "$reboot" ] || exec "${again[@]}"
"""


def boot(folder: Path) -> None:
    """Plug the host in and become the shell that runs it; does not return."""
    tag = naming.tag(folder.parent.parent)
    host = state.load(folder)
    network.plug(tag, host.name, host.number)
    cable.apply(tag, folder, host)
    group = f"{naming.guest(tag, host.name)}/machine"
    start = cgroups.command(group, nspawn.command(tag, folder, host))
    watch = ["bash", "-c", WATCH, "supervisor", str(nspawn.REBOOT), sys.executable, str(folder)]
    os.execvpe("bash", [*watch, *start], {**os.environ, **nspawn.ENVIRONMENT})


if __name__ == "__main__":
    boot(Path(sys.argv[1]))
