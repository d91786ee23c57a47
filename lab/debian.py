"""A minimal Debian by mmdebstrap, from its own default mirrors."""

from collections.abc import Sequence
from pathlib import Path

from lab import shell

# A mirror of the coming Debian that stands still for a while is good enough for a lab.
OLD_IS_FINE = "--aptopt=Acquire::Check-Valid-Until false"
OPTIONS = ("--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", OLD_IS_FINE)
# mmdebstrap names its pipes to dash, which knows descriptors of one digit only: all of them have
# to be free, whatever those who started us left open.
ONE_DIGIT_FREE = 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$@"'


def bootstrap(
    suite: str,
    target: Path,
    packages: Sequence[str],
    *options: str,
    inside: Sequence[str] = (),
    seconds: float,
) -> None:
    """Write it with `packages` to `target`, an empty folder or a tarball; `inside` runs it.

    Raises LabError with the end of what apt said.
    """
    wanted = [*OPTIONS, *options, f"--include={','.join(packages)}", suite, str(target)]
    free = ["sh", "-c", ONE_DIGIT_FREE, "sh"]
    shell.run([*inside, *free, "mmdebstrap", *wanted], timeout=seconds)
