"""A minimal Debian by mmdebstrap, from its own default mirrors."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import shell
from lab.console import say
from lab.errors import LabError

OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    "--dpkgopt=force-unsafe-io",
    '--aptopt=Acquire::Retries "10"',
)
TRIES = 3


def bootstrap(
    suite: str,
    target: Path,
    packages: Sequence[str],
    *options: str,
    inside: Sequence[str] = (),
    seconds: float,
) -> None:
    """Write it with `packages` to `target`, an empty folder or a tarball; `inside` runs it.

    Raises LabError when it fails three times: in cold runs a download was seen to fail that apt
    itself did not try again.
    """
    wanted = (*OPTIONS, *options, f"--include={','.join(packages)}", suite, str(target))
    for left in reversed(range(TRIES)):
        try:
            shell.run([*inside, "mmdebstrap", *wanted], timeout=seconds)
        except LabError as failed:
            if not left:
                raise
            say(f"once more, for {failed}")
            _empty(target)
        else:
            return


def _empty(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
        target.mkdir()
    else:
        target.unlink(missing_ok=True)
