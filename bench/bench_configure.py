"""How `fab configure` grows: 10, 50 and 200 projects on 10 to 50 registries, on a lab host.

It needs root, makes a Harbor of its own, and takes it down. A run without changes must make few
requests, no write, and end within `LIMIT` seconds.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lab import Lab  # noqa: E402
from tests.integration.configured import Site  # noqa: E402

SIZES = ((10, 10), (50, 20), (200, 50))
FEWEST = 10  # a project never changes its registry: only these have projects
LIMIT = 5.0
LIMIT_ONE_BY_ONE = 20.0  # retention is read project by project


def declared(projects: int, registries: int, *, retention: bool) -> dict[str, Any]:
    """So many proxy projects on so many registries."""
    # Not the 7 days that Harbor itself gives to a proxy project.
    rule = {"schedule": "daily", "rules": [{"template": "nDaysSinceLastPull", "value": 14}]}
    own = {"retention": rule} if retention else {}
    return {
        "registries": {f"r{n}": {"upstream": "quay.io"} for n in range(registries)},
        "projects": {
            f"proxy.p{n}": {"registry": f"r{n % FEWEST}", "public": True, "quota": -1, **own}
            for n in range(projects)
        },
    }


def run(site: Site, values: dict[str, Any]) -> tuple[float, float, dict[str, int]]:
    """Seconds on the wall, seconds of the host's own part, requests by kind."""
    began = time.monotonic()
    done = site.configure(values, "--json")
    wall = time.monotonic() - began
    (host,) = json.loads(done.text[done.text.index("{") :])["hosts"]
    return wall, host["seconds"], host["details"]["requests"]


def measure(site: Site, projects: int, registries: int, *, retention: bool) -> bool:
    """One line: the run that makes it, the run that finds nothing to do."""
    values = declared(projects, registries, retention=retention)
    first, _, made = run(site, values)
    again, inner, none = run(site, values)
    print(
        f"{projects:4} projects, {registries:2} registries{', retention' if retention else '':11}: "
        f"first {first:6.1f} s, {made['reads']:4} reads, {made['writes']:3} writes; "
        f"again {again:5.1f} s ({inner:4.1f} s on the host), {none['reads']:3} reads, "
        f"{none['writes']} writes"
    )
    return none["writes"] == 0 and inner <= (LIMIT_ONE_BY_ONE if retention else LIMIT)


def main() -> int:
    for what in ("build", "traefik"):
        subprocess.run([sys.executable, "-m", "lab.release", what], cwd=ROOT, check=True)
    with Lab("bench-configure") as lab, tempfile.TemporaryDirectory() as folder:
        site = Site(lab, Path(folder), "2.15.2", client=False)
        site.prepare()
        site.me.fab("deploy")
        good = [measure(site, p, r, retention=False) for p, r in SIZES]
        good.append(measure(site, *SIZES[-1], retention=True))
        site.close()
    print(f"limits where nothing changes: no write, {LIMIT} s, {LIMIT_ONE_BY_ONE} s with retention")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
