"""Checks of the machine: names, clock, disk."""

from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.prune import human
from harbor.settings import Settings
from harbor.shell import quote
from harbor.steps import preflight

GROWTH_DAYS = 7
FULL_PERCENT, NEARLY_FULL_PERCENT = 95, 85
SOON_DAYS, WARN_DAYS = 7, 30
PRUNE = "fab prune; retention and garbage collection (fab configure); or a larger disk"


def _names_probe(settings: Settings) -> dict[str, str]:
    found = preflight.probe(settings)
    name = quote(settings.harbor.url_host)
    return {
        "resolves": f"getent ahosts {name} | awk '{{print $1}}' | sort -u",
        "addresses": found["addresses"],
    }


def _names(settings: Settings, facts: Facts) -> Found:
    """`operator resolves`: what this machine says, put among the facts by the task."""
    name, own = settings.harbor.url_host, set(facts.text("addresses").split())
    by_host = set(facts.text("resolves").split())
    by_us = set(facts.text("operator resolves").split())
    cure = f"a DNS record {name} -> an address of the host"
    found = []
    for who, seen in (("the host", by_host), ("this machine", by_us)):
        if not seen:
            found.append((WARNING, f"{who} cannot resolve {name}", cure))
        elif not seen & (own | (by_host if who == "this machine" else set())):
            shown = ", ".join(sorted(seen))
            found.append(
                (WARNING, f"{who} resolves {name} to {shown}, not an address of the host", cure)
            )
    return found


def _clock_probe(_: Settings) -> dict[str, str]:
    return {"seconds": "date +%s"}


def _clock(settings: Settings, facts: Facts) -> Found:
    """`operator seconds`: this machine's clock when the facts were read, put there by the task."""
    here, there = facts.text("operator seconds"), facts.text("seconds")
    if not (here and there):
        return []
    skew = int(there) - int(float(here))
    if abs(skew) <= settings.harbor.requirements.clock_skew:
        return []
    cause = f"the host's clock is {skew:+d} s from this machine's: tokens are refused"
    return [(ERROR, cause, "apt-get install chrony, or: timedatectl set-ntp true")]


def _disk_probe(settings: Settings) -> dict[str, str]:
    data = quote(settings.harbor.data_volume)
    size = "df -PB1 {} | awk 'NR==2 {{print $2, $4}}'"
    return {
        "data": size.format(data),
        "docker": "d=$(timeout 20 docker info --format '{{.DockerRootDir}}') && "
        + size.format('"$d"'),
        "grown": f"timeout 30 find {data}/registry -type f -mtime -{GROWTH_DAYS} -printf '%s\\n' | "
        "awk '{s += $1} END {printf \"%.0f\\n\", s}'",
    }


def _disk(settings: Settings, facts: Facts) -> Found:
    data = settings.harbor.data_volume
    full = _full(f"the disk of {data}", facts.text("data"))
    if facts.text("docker") != facts.text("data"):
        full += _full("the disk of Docker's images", facts.text("docker"))
    return full or _forecast(facts)


def _full(what: str, sizes: str) -> Found:
    parts = sizes.split()
    if len(parts) != 2 or int(parts[0]) == 0:
        return []
    total, free = int(parts[0]), int(parts[1])
    used = 100 - free * 100 // total
    if used < NEARLY_FULL_PERCENT:
        return []
    severity = ERROR if used >= FULL_PERCENT else WARNING
    return [(severity, f"{what} is {used} % full, {human(free)} free", PRUNE)]


def _forecast(facts: Facts) -> Found:
    """How long the free space lasts when the cache grows on as it did in the last week."""
    parts, grown = facts.text("data").split(), facts.text("grown")
    a_day = int(grown) // GROWTH_DAYS if grown.isdecimal() else 0
    if len(parts) != 2 or a_day == 0:
        return []
    days = int(parts[1]) // a_day
    if days >= WARN_DAYS:
        return []
    severity = ERROR if days < SOON_DAYS else WARNING
    cause = f"the cache grows by {human(a_day)} a day: the disk is full in {days} days"
    return [(severity, cause, PRUNE)]


CHECKS = (
    Check(
        "name resolution", "Does the name lead to the host, here and there?", _names_probe, _names
    ),
    Check("clock", "Do both clocks agree?", _clock_probe, _clock),
    Check("disk", "How long does the disk last?", _disk_probe, _disk),
)
