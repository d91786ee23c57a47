"""The log lines of Harbor's services, wherever they lie: files of the log container, or docker's.

All services but `log` and `traefik` send their lines by syslog to harbor-log, which writes a file
a service. The files outlive the containers; docker's own copy ends with them, and engines
before 20.10 keep none.
"""

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harbor.errors import SettingsError
from harbor.settings import Settings, suggestion
from harbor.shell import command, quote

MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
NO_PATTERN = 2  # as grep says it
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Prints the lines from `since` on. Syslog's own time has no year, and is UTC as the container
# is; a line without a time belongs to the one before.
SINCE = r"""awk -v since="$(date -u -d "@$s" +%Y%m%d%H%M%S)" -v now="$(date -u +%Y%m%d%H%M%S)" '
function key(    m, t) {
    if ($0 ~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T/) {
        t = substr($0, 1, 19); gsub(/[-T:]/, "", t); return t
    }
    m = index("MONTHS", $1)
    if (!m || length($1) != 3) return last
    t = sprintf("%02d%02d%s", (m + 2) / 3, $2, $3); gsub(/:/, "", t)
    return (t > substr(now, 5) ? substr(now, 1, 4) - 1 : substr(now, 1, 4)) t
}
{ last = key(); if (last >= since) { print; fflush() } }'""".replace("MONTHS", MONTHS)


@dataclass(frozen=True)
class Wanted:
    """What to show: services, from when (shell arithmetic), how many lines of each, which."""

    services: tuple[str, ...]
    since: str
    tail: int
    grep: str


def services(settings: Settings, named: str) -> tuple[str, ...]:
    """The services in `named` (commas between them; empty: all). Raises SettingsError."""
    known = settings.harbor.containers
    wanted = tuple(name for name in named.split(",") if name) or tuple(known)
    for name in wanted:
        if name not in known:
            raise SettingsError(f"no service `{name}`{suggestion(name, known)}")
    return wanted


def since(text: str) -> str:
    """`10m`, `2h`, `3d` or an ISO time (UTC unless it says otherwise) as shell text for seconds.

    Raises SettingsError for anything else.
    """
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match:
        return f"$(( $(date +%s) - {int(match[1]) * UNITS[match[2]]} ))"
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--since {text}: neither 10m, 2h, 3d nor a time like 2026-11-25T08:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return str(int(moment.timestamp()))


def read_script(settings: Settings, wanted: Wanted) -> str:
    """Shell text that prints `service TAB line` for the last lines that match."""
    parts = _first(wanted)
    for service in wanted.services:
        file, container = _places(settings, service)
        own = command("docker", "logs", "-t") + (' --since "$s"' if wanted.since else "")
        from_file = f"cat {file}" + (f" | {SINCE}" if wanted.since else "")
        parts.append(
            f"{{ if [ -s {file} ]; then {from_file}; else {own} {container} 2>&1; fi; }}"
            f"{_filter(wanted)} | tail -n {wanted.tail} | {_mark(service)}"
        )
    return "\n".join(parts)


def follow_script(settings: Settings, wanted: Wanted) -> str:
    """Shell text that prints `service TAB line` for as long as it runs."""
    parts = _first(wanted)
    for service in wanted.services:
        file, container = _places(settings, service)
        own = command("docker", "logs", "-t", "-f", "--tail", wanted.tail)
        since_file = f" | {SINCE}" if wanted.since else ""
        parts.append(
            f"{{ if [ -s {file} ]; then tail -n {wanted.tail} -F {file} 2>/dev/null{since_file}; "
            f"else {own} {container} 2>&1; fi; }}{_filter(wanted)} | {_mark(service)} &"
        )
    return "\n".join([*parts, "wait"])


def _first(wanted: Wanted) -> list[str]:
    """A pattern that grep does not understand ends the script with NO_PATTERN."""
    parts = [f"s={wanted.since}"] if wanted.since else []
    if wanted.grep:
        probe = command("grep", "-E", "-e", wanted.grep)
        parts.append(f"{probe} </dev/null; [ $? -lt 2 ] || exit {NO_PATTERN}")
    return parts


def _places(settings: Settings, service: str) -> tuple[str, str]:
    file = f"{settings.harbor.log.location}/{service}.log"
    return quote(file), quote(settings.harbor.containers[service])


def _filter(wanted: Wanted) -> str:
    return f" | grep --line-buffered -E -e {quote(wanted.grep)}" if wanted.grep else ""


def _mark(service: str) -> str:
    return command("sed", "-u", f"s/^/{service}\t/")


def merged(lines: Iterable[str], now: datetime.datetime) -> list[tuple[str, str]]:
    """(service, line) of all services in the order of their times; `now` gives syslog its year."""
    rows = [tuple(line.split("\t", 1)) for line in lines if "\t" in line]
    keyed, last = [], dict[str, str]()
    for service, text in rows:
        last[service] = moment(text, now) or last.get(service, "")
        keyed.append((last[service], service, text))
    keyed.sort(key=lambda row: row[0])
    return [(service, text) for _, service, text in keyed]


def moment(text: str, now: datetime.datetime) -> str:
    """A line's own time as a sortable text; empty if it has none."""
    if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return text[:19]
    found = re.match(r"([A-Z][a-z]{2}) +(\d+) (\d\d:\d\d:\d\d) ", text)
    if not found or found[1] not in MONTHS:
        return ""
    month = MONTHS.index(found[1]) // 3 + 1
    stamp = f"{month:02d}-{int(found[2]):02d}T{found[3]}"
    year = now.year - (stamp > now.strftime("%m-%dT%H:%M:%S"))
    return f"{year}-{stamp}"


def shown(service: str, text: str, among: Sequence[str]) -> str:
    """A line with its service before it, where there are several."""
    width = max(map(len, among), default=0)
    return f"{service.ljust(width)} | {text}" if len(among) > 1 else text
