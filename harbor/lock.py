"""The lock of a host as it lies there: who holds it, and what an interrupted run left."""

import json

from harbor import paths
from harbor.shell import Output

# A lock is a flock: it is held while somebody has it open, whatever the files say.
HELD = f"[ -e {paths.LOCK} ] && ! flock -n {paths.LOCK} true"
AGE = f"echo $(( $(date +%s) - $(stat -c %Y {paths.LOCK}) ))"
PROBE = f"{HELD} && cat {paths.LOCK_HOLDER} && echo && {AGE}"
LEFT = f"! {{ {HELD}; }} && cat {paths.LOCK_HOLDER}"
AT_WORK = f"[ -e {paths.APPLY_LOCK} ] && ! flock -n {paths.APPLY_LOCK} true"


def holder(found: Output) -> dict[str, str]:
    """`who`, `from`, `when`, `why` and `silent_seconds` of the run that holds the host, or nothing."""
    if not found.ok:
        return {}
    return {**left(found), "silent_seconds": found.lines[-1]}


def left(found: Output) -> dict[str, str]:
    """Who wrote the holder's file, or nothing."""
    try:
        return {str(k): str(v) for k, v in json.loads(found.lines[0]).items()} if found.ok else {}
    except (ValueError, IndexError):
        return {"who": "unknown", "from": "unknown", "when": "unknown", "why": "unknown"}


def words(found: dict[str, str]) -> str:
    """A holder in one line."""
    return "{who} on {from} since {when}: {why}".format(**found)
