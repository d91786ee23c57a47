"""How long `fab trust-cert` takes on 50 docker clients, each a lab host of its own, in parallel.

It needs root and about 10 GB of memory, makes a Harbor of its own, and takes all down. Every
client is changed by the first run and none by the second.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lab import HostSpec, Lab  # noqa: E402
from tests.integration.operator import operator  # noqa: E402

HARBOR_NAME = "harbor-cache.example.com"
CLIENTS = tuple(f"client-{number:02}" for number in range(50))


def main() -> int:
    for what in ("build", "traefik"):
        subprocess.run([sys.executable, "-m", "lab.release", what], cwd=ROOT, check=True)
    with Lab("bench-trust") as lab, tempfile.TemporaryDirectory() as folder:
        lab.up_all(
            [
                HostSpec("cache", "bookworm", "docker", (HARBOR_NAME,)),
                *(HostSpec(name, "bookworm", "docker") for name in CLIENTS),
            ]
        )
        me = operator(Path(folder), lab, "cache", clients=CLIENTS, docker={"source": "present"})
        me.fab("deploy")
        first, again = me.fab("trust-cert"), me.fab("trust-cert")
        changed = len(first.changes)
        print(
            f"{len(CLIENTS)} clients: first {first.seconds:.1f} s, {changed} changes; "
            f"again {again.seconds:.1f} s, {len(again.changes)} changes"
        )
        return 0 if changed >= len(CLIENTS) and not again.changes else 1


if __name__ == "__main__":
    sys.exit(main())
