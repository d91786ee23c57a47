"""Settings and facts for unit tests: valid by default, changed by keyword."""

import base64
import datetime
from typing import Any

from harbor.certificates import Certificates, create_authority
from harbor.inventory import merged
from harbor.settings import Location, Secrets, Settings, parse_harbor
from harbor.shell import Output, Secret

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
AUTHORITY = create_authority("test CA", NOW)
ADMIN, DATABASE = "Canary-Admin-1", "Canary-Database-1"
VALUES: dict[str, Any] = {
    "version": "2.15.2",
    "hostname": "harbor-cache.example.com",
    "release": {"sha256": "a" * 64},
}


def parsed(**changes: Any) -> tuple[Any, list[str]]:
    """What the settings become, and the mistakes in them."""
    values = {k: v for k, v in merged(VALUES, changes).items() if v is not None}
    return parse_harbor(values, Location("hosts.yaml", "ar-harbor-01", {}))


def settings(secrets: dict[str, str] | None = None, **changes: Any) -> Settings:
    harbor, mistakes = parsed(**changes)
    assert mistakes == []
    others = {name: Secret(value) for name, value in (secrets or {}).items()}
    return Settings(
        "ar-harbor-01",
        harbor,
        Secrets(Secret(ADMIN), Secret(DATABASE), others),
        Certificates(NOW, authority=AUTHORITY, trust=AUTHORITY.chain),
    )


def ok(text: str = "") -> Output:
    return Output(0, text)


def failed(status: int = 1) -> Output:
    return Output(status, "")


def file(content: bytes, owner: str = "root", group: str = "root", mode: int = 0o644) -> Output:
    """What `files.probe` answers for a file with this content."""
    return Output(0, f"{owner} {group} {mode:o}\n{base64.b64encode(content).decode()}")
