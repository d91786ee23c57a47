"""What `fab --list` costs, against a bare one on an empty fabfile: at most 1.3 times as much."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAB = Path(sys.executable).with_name("fab")
RUNS = 11
LIMIT = 1.3


def seconds(folder: Path) -> float:
    """One run's wall time."""
    began = time.perf_counter()
    subprocess.run([FAB, "--list"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        bare = Path(name)
        (bare / "fabfile.py").write_text(
            "from fabric import task\n\n\n@task\ndef nothing(c):\n    pass\n"
        )
        pairs = [(seconds(ROOT), seconds(bare)) for _ in range(RUNS + 1)][1:]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"fab --list: {ours:.3f} s here, {theirs:.3f} s bare, {ratio:.2f} times (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
