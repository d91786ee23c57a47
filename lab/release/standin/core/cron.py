"""Harbor's cron expressions: six fields, seconds first, UTC."""

import re

from .errors import ApiError

FIELD = re.compile(
    r"(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?"
    r"(,(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?)*"
)


def check_cron(text: str, what: str) -> None:
    """ApiError 400 unless `text` has six fields and the first is 0."""
    fields = text.split()
    if not text:
        reason = "empty cron string"
    elif len(fields) != 6:
        reason = f"expected exactly 6 fields, found {len(fields)}: {text}"
    elif fields[0] != "0":
        reason = "the 1st field (indicating Seconds of time) of the cron setting must be 0"
    elif not all(FIELD.fullmatch(field) for field in fields):
        reason = f"failed to parse: {text}"
    else:
        return
    raise ApiError(400, f"invalid cron string for {what}: {text}, error: {reason}")
