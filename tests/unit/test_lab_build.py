"""A build of the lab that fails once is tried again from an empty folder."""

import pytest

from lab import debian, shell
from lab.errors import LabError


def failing(monkeypatch, target, times):
    """Let mmdebstrap leave half a tree and fail so often; the list of its calls."""
    calls = []

    def run(argv, timeout):
        assert list(target.iterdir()) == []
        calls.append(argv)
        (target / "half").touch()
        if len(calls) <= times:
            raise LabError("apt download failed")

    monkeypatch.setattr(shell, "run", run)
    return calls


def test_two_failures_are_no_failure(monkeypatch, tmp_path):
    calls = failing(monkeypatch, tmp_path, 2)

    debian.bootstrap("bookworm", tmp_path, ["curl"], seconds=1)

    assert len(calls) == 3


def test_the_third_is_told(monkeypatch, tmp_path):
    failing(monkeypatch, tmp_path, 3)

    with pytest.raises(LabError, match="apt download failed"):
        debian.bootstrap("bookworm", tmp_path, ["curl"], seconds=1)
