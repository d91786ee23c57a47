"""API v2.0, one module for each part; importing a module registers its routes."""

import importlib

MODULES = (
    "audits",
    "configurations",
    "projects",
    "quotas",
    "registries",
    "repositories",
    "retentions",
    "robots",
    "schedules",
    "system",
    "users",
)


def load() -> None:
    """Register all routes."""
    for name in MODULES:
        importlib.import_module(f"{__name__}.{name}")
