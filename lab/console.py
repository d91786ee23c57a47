"""What the lab tells people."""

import sys


def say(message: str) -> None:
    """One line on stderr, so that stdout stays for data."""
    print(f"lab: {message}", file=sys.stderr, flush=True)
