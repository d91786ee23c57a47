"""The orders of a host: what the CA issued and what was tried, and whether another is allowed.

The file on the host is the memory. One line an event: seconds since 1970, a tab, the serial
number (`-` for an order that we asked for), a tab, the store's file (one a CA), a tab, the names
in alphabetical order with commas. The host itself notes what Traefik renews on its own.

Let's Encrypt's limits (letsencrypt.org/docs/rate-limits): five certificates for exactly the same
names in seven days, five failed validations of a name in an hour.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from harbor.errors import Refused

DUPLICATES, FAILURES = 5, 5
WEEK, HOUR = datetime.timedelta(days=7), datetime.timedelta(hours=1)
ASKED = "-"


@dataclass(frozen=True)
class Event:
    """A certificate that was issued, or (`serial` is `-`) an order that we asked for."""

    time: datetime.datetime
    serial: str
    file: str
    names: frozenset[str]

    @property
    def issued(self) -> bool:
        return self.serial != ASKED


def parse(lines: Iterable[str]) -> list[Event]:
    """The events, the oldest first; a line that a power cut left half written is passed over."""
    rows = [line.split("\t") for line in lines]
    found = [
        Event(
            datetime.datetime.fromtimestamp(int(row[0]), datetime.UTC),
            row[1],
            row[2],
            frozenset(row[3].split(",")),
        )
        for row in rows
        if len(row) == 4 and row[0].isdigit()
    ]
    return sorted(found, key=lambda event: event.time)


def asked(file: str, names: Iterable[str], now: datetime.datetime) -> str:
    """The line for an order that we are about to ask for."""
    return "\t".join([str(int(now.timestamp())), ASKED, file, ",".join(sorted(names))])


def issued_this_week(
    events: Iterable[Event], file: str, names: Iterable[str], now: datetime.datetime
) -> list[Event]:
    """The certificates for exactly these names that this CA issued in the last seven days."""
    wanted = frozenset(names)
    return [
        event
        for event in events
        if event.issued and (event.file, event.names) == (file, wanted) and event.time > now - WEEK
    ]


def allowed_from(
    events: list[Event], file: str, names: Iterable[str], now: datetime.datetime
) -> datetime.datetime | None:
    """When the CA would issue for these names again; None where it would now."""
    names = list(names)
    duplicates = issued_this_week(events, file, names, now)
    if len(duplicates) >= DUPLICATES:
        return duplicates[-DUPLICATES].time + WEEK
    failed = _failed(events, file, frozenset(names), now)
    return failed[-FAILURES].time + HOUR if len(failed) >= FAILURES else None


def _failed(
    events: list[Event], file: str, names: frozenset[str], now: datetime.datetime
) -> list[Event]:
    """The orders of the last hour that were followed by no certificate."""
    own = [e for e in events if (e.file, e.names) == (file, names) and e.time > now - HOUR]
    last_issued = max((e.time for e in own if e.issued), default=now - HOUR)
    return [e for e in own if not e.issued and e.time > last_issued]


def check(events: list[Event], file: str, names: Iterable[str], now: datetime.datetime) -> None:
    """Raise Refused, with the date, where another order would run into a limit of the CA."""
    names = list(names)
    if when := allowed_from(events, file, names, now):
        raise Refused(
            f"another order for {', '.join(names)} would run into the CA's limit "
            f"({DUPLICATES} for the same names in 7 days, {FAILURES} failures in an hour)",
            f"allowed from {when:%Y-%m-%d %H:%M} UTC; nothing was ordered. If the store was "
            "lost, put it back from a backup and `fab deploy`",
        )
