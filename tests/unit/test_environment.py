"""Secrets in .env: changed in one step, every other line as it was, for the right host."""

from pathlib import Path

import pytest

from harbor.errors import Refused
from harbor.inventory import parse_inventory
from tasks import _environment, _export
from tasks._inventory import Loaded

HARBOR = {"version": "2.15.2", "hostname": "cache.example.com", "release": {"sha256": "a" * 64}}
OIDC = {
    "mode": "oidc",
    "oidc": {"endpoint": "https://dex.example.com", "client_secret": {"env": "DEX"}},
}


def loaded(folder: Path, *hosts: str, **harbor) -> Loaded:
    values = {"hosts": {name: {"role": "harbor"} for name in hosts}, "harbor": {**HARBOR, **harbor}}
    inventory, mistakes = parse_inventory(values, "hosts.yaml")
    assert mistakes == []
    return Loaded(folder / "hosts.yaml", inventory, {})


def env(folder: Path) -> Path:
    return folder / ".env"


def test_other_lines_stay_as_they_are(tmp_path):
    env(tmp_path).write_text("# mine\n\nA=1\nB='x #y'\n")

    _environment.change(loaded(tmp_path, "h"), {"A": "2", "C": "$3", "D": None})

    assert env(tmp_path).read_text() == "# mine\n\nB='x #y'\nA=2\nC=$3\n"
    assert env(tmp_path).stat().st_mode & 0o777 == 0o600
    assert _environment.stored(loaded(tmp_path, "h")) == {"A": "2", "B": "x #y", "C": "$3"}


def test_a_new_file_is_nobody_elses(tmp_path):
    _environment.change(loaded(tmp_path, "h"), {"A": "1"})

    assert env(tmp_path).read_text() == "A=1\n"
    assert env(tmp_path).stat().st_mode & 0o777 == 0o600


def test_one_host_shares_the_name_and_several_have_their_own(tmp_path, monkeypatch):
    monkeypatch.delenv("P", raising=False)

    assert _environment.variable(loaded(tmp_path, "h-1"), "P", "h-1") == "P"
    assert _environment.variable(loaded(tmp_path, "h-1", "h-2"), "P", "h-1") == "P__H_1"
    env(tmp_path).write_text("P__H_1=x\n")
    assert _environment.variable(loaded(tmp_path, "h-1"), "P", "h-1") == "P__H_1"


def test_what_the_environment_holds_is_not_ours_to_change(tmp_path, monkeypatch):
    monkeypatch.setenv("P", "x")

    with pytest.raises(Refused, match="P is set in the environment"):
        _environment.variable(loaded(tmp_path, "h"), "P", "h")


def test_the_secret_for_dex_is_made_once(tmp_path):
    site = loaded(tmp_path, "h", configuration={"auth": OIDC})

    first, made = _export.dex_clients(site, ["h"])
    second, none = _export.dex_clients(site, ["h"])

    assert (made, none) == (["DEX"], [])
    assert first == second
    secret = _environment.stored(site)["DEX"]
    assert f"secret: {secret}" in first
    assert "- https://cache.example.com/c/oidc/callback" in first
