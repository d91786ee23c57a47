"""Signatures of the tarball: real gpg with a key of the test's own, and a stand-in for cosign."""

import subprocess
from types import SimpleNamespace

import pytest

from harbor.errors import Refused
from lab import machine
from tasks import _release


@pytest.fixture
def tarball(tmp_path):
    machine.prepare()  # gpg is not everywhere
    path = tmp_path / "harbor.tgz"
    path.write_bytes(b"a release")
    return path


@pytest.fixture
def signed(tmp_path, tarball, monkeypatch):
    """Sign with a new key, which takes the place of Harbor's; what `gpg_key` of the inventory is."""
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]

    def run(*words):
        return subprocess.run([*gpg, *words], check=True, capture_output=True).stdout

    run("--quick-generate-key", "signer@example.com", "ed25519")
    listed = run("--list-keys", "--with-colons").decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
    (tmp_path / "key.asc").write_bytes(run("--armor", "--export"))
    signature = run("--armor", "--detach-sign", "-o", "-", str(tarball))
    monkeypatch.setattr(_release, "GPG_FINGERPRINT", fingerprint)
    monkeypatch.setattr(_release, "_beside", lambda settings, suffix: signature)
    settings = SimpleNamespace(
        harbor=SimpleNamespace(release=SimpleNamespace(gpg_key=str(tmp_path / "key.asc")))
    )
    yield settings, SimpleNamespace(path=lambda name: name)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def test_a_signature_by_the_right_key_is_taken(signed, tarball):
    _release._gpg(*signed, tarball)


def test_an_altered_tarball_or_another_key_is_refused(signed, tarball, monkeypatch):
    content = tarball.read_bytes()
    tarball.write_bytes(content + b"!")
    with pytest.raises(Refused, match="BAD signature"):
        _release._gpg(*signed, tarball)
    tarball.write_bytes(content)
    monkeypatch.setattr(_release, "GPG_FINGERPRINT", "0" * 40)
    with pytest.raises(Refused, match="not signed by Harbor's key"):
        _release._gpg(*signed, tarball)


@pytest.mark.parametrize("status", [0, 1])
def test_cosign_is_asked_for_harbors_own_workflow(status, tmp_path, tarball, monkeypatch):
    tool = tmp_path / "cosign"
    tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\nexit {status}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(_release, "_beside", lambda settings, suffix: b"{}")

    if status:
        with pytest.raises(Refused, match="cosign"):
            _release._cosign(None, None, tarball)
    else:
        _release._cosign(None, None, tarball)

    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "verify-blob"
    assert asked[-1] == str(tarball)
    assert _release.COSIGN_IDENTITY in asked
