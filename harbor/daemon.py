"""docker's daemon.json as it lies on a host; we merge into it, and never replace it."""

import json
from typing import Any

from harbor import paths
from harbor.errors import Refused

# What we merge into, and the form that it must have.
FORMS = {"log-opts": dict, "registry-mirrors": list}


def parse(content: bytes) -> dict[str, Any]:
    """The settings in the file, none where it is empty. Raises Refused for any other form."""
    try:
        found = json.loads(content or b"{}")
    except ValueError as error:
        raise _refusal(f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _refusal("is no JSON object")
    for key, form in FORMS.items():
        if not isinstance(found.get(key, form()), form):
            raise _refusal(f"has {key} in another form than docker's")
    return found


def _refusal(problem: str) -> Refused:
    return Refused(
        f"{paths.DAEMON_JSON} on the host {problem}", "mend it there; nothing was changed"
    )
