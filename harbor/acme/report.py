"""What `fab cert` says of one host."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from harbor.acme import ledger
from harbor.acme import traefik as acme
from harbor.acme.stored import Stored
from harbor.certificates import RENEW_BEFORE_DAYS
from harbor.settings import Settings


@dataclass(frozen=True)
class Certificate:
    """The served certificate; `renewal` is the day from which on it is renewed, empty if it is not."""

    issuer: str
    names: list[str]
    serial: str
    begins: str
    ends: str
    days_left: int
    renewal: str
    renewed_by: str
    orders_this_week: int
    next_order_allowed: str


def of(
    settings: Settings, served: Stored, orders: Iterable[str], now: datetime.datetime
) -> Certificate:
    """`orders`: the lines of the host's ledger."""
    leaf = served.leaf
    week = _week(settings, served.names, orders, now)
    own = leaf.not_valid_after_utc - datetime.timedelta(days=RENEW_BEFORE_DAYS)
    renewal, by = {
        "acme": (f"{served.renewal:%Y-%m-%d %H:%M}", "Traefik"),
        "ca": (f"{own:%Y-%m-%d}", "fab deploy"),
        "files": ("", "new files at tls.certificate and tls.key"),
    }[settings.harbor.tls.mode]
    return Certificate(
        issuer=leaf.issuer.rfc4514_string(),
        names=served.names,
        serial=served.serial,
        begins=f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M}",
        ends=f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M}",
        days_left=(leaf.not_valid_after_utc - now).days,
        renewal=renewal,
        renewed_by=by,
        orders_this_week=week[0],
        next_order_allowed=f"{week[1]:%Y-%m-%d %H:%M}" if week[1] else "",
    )


def _week(
    settings: Settings, names: list[str], orders: Iterable[str], now: datetime.datetime
) -> tuple[int, datetime.datetime | None]:
    """How many were issued for these names, and from when another is allowed; None: now."""
    if not settings.harbor.acme:
        return 0, None
    file, events = acme.store_file(settings.harbor.acme.directory), ledger.parse(orders)
    issued = ledger.issued_this_week(events, file, names, now)
    return len(issued), ledger.allowed_from(events, file, names, now)


def lines(found: Certificate) -> list[str]:
    """For people; times are UTC."""
    renewal = f"{found.renewal} by {found.renewed_by}" if found.renewal else found.renewed_by
    orders = f"{found.orders_this_week} of {ledger.DUPLICATES} this week"
    if found.next_order_allowed:
        orders += f", the next is allowed from {found.next_order_allowed}"
    return [
        f"issuer   {found.issuer}",
        f"names    {', '.join(found.names)}",
        f"serial   {found.serial}",
        f"valid    {found.begins} to {found.ends}, {found.days_left} days left",
        f"renewal  {renewal}",
        f"orders   {orders}",
    ]
