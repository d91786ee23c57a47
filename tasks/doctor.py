"""What is wrong with a Harbor host, why, and what to do about it."""

import invoke
from fabric import task


@task(
    help={
        "only": "these checks, with commas between them (default: all)",
        "json": "print one JSON document on standard output, everything else on standard error",
    }
)
def doctor(c: invoke.Context, only: str = "", json: bool = False) -> None:
    """Examine each Harbor host and name cause and cure; it never changes anything.

    Exit code 8 when something is broken, 2 when something will be.
    """
    from tasks import _doctor, _fleet

    _fleet.run_harbors(c, _doctor.examining(only), read_only=True, as_json=json)
