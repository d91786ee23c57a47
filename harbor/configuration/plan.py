"""The whole configuration: registries before projects, projects before what belongs to them."""

from harbor.configuration import projects, registries, robots, schedules, system
from harbor.configuration.calls import Plan
from harbor.configuration.state import Context


def plan(context: Context) -> Plan:
    """All calls that make Harbor what is declared, in order; empty when it is."""
    parts = (registries, system, projects, robots, schedules)
    return sum((part.plan(context) for part in parts), Plan())
