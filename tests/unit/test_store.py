"""The certificate store, its copy, and the steps that keep both whole."""

import subprocess

import pytest

from harbor import paths, store
from harbor.steps import store_backup, store_restore
from tests.unit.builders import failed, ok, settings

WHOLE = "yes\taa\town/fullchain.pem\nyes\tbb\town/key.pem"


def facts(found=WHOLE, copy=WHOLE, **more):
    answer = {"store": ok(found) if found else failed(), "copy": ok(copy) if copy else failed()}
    return {**answer, "folder": ok("1:2"), "mounted": ok("1:2"), **more}


class TestRestore:
    def test_fresh_host_has_nothing_to_put_back(self):
        assert store_restore.plan(settings(), facts("", "")) == []

    def test_converged(self):
        assert store_restore.plan(settings(), facts()) == []

    def test_missing_file_comes_back(self):
        (change,) = store_restore.plan(settings(), facts("yes\taa\town/fullchain.pem"))

        assert change.why.endswith("store: own/key.pem (missing)")
        assert f"cp -a {paths.STORE_COPY}/own/key.pem" in change.script

    def test_whole_folder_gone(self):
        (change,) = store_restore.plan(settings(), facts(found="", mounted=failed()))

        assert "own/fullchain.pem (missing), own/key.pem (missing)" in change.why

    def test_damaged_file_comes_back(self):
        changes = store_restore.plan(settings(), facts("no\tcc\town/key.pem", WHOLE))

        assert "own/key.pem (damaged)" in changes[0].why

    def test_damaged_copy_is_never_used(self):
        assert store_restore.plan(settings(), facts("", "no\tcc\tacme.json")) == []

    def test_traefik_with_a_deleted_folder_is_restarted(self):
        (change,) = store_restore.plan(settings(), facts(mounted=ok("1:9")))

        assert change.script == "docker restart traefik"


class TestBackup:
    def test_first_copy(self):
        (change,) = store_backup.plan(settings(), facts(copy=""))

        assert change.why == "copy of the certificate store: new own/fullchain.pem, own/key.pem"
        assert f"install -d -m 0700 {paths.BACKUPS} {paths.STORE_COPY}" in change.script

    def test_converged(self):
        assert store_backup.plan(settings(), facts()) == []

    def test_only_what_differs_is_copied(self):
        (change,) = store_backup.plan(settings(), facts(copy=WHOLE.replace("bb", "b0")))

        assert change.why.endswith("new own/key.pem")

    def test_damaged_file_does_not_replace_its_copy(self):
        assert store_backup.plan(settings(), facts(WHOLE.replace("yes\tbb", "no\tbb"))) == []

    def test_file_gone_from_the_store_stays_in_the_copy(self):
        assert store_backup.plan(settings(), facts("yes\taa\town/fullchain.pem")) == []


class TestProbe:
    """The snippet itself, run by the shell that hosts have."""

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "own").mkdir()
        make = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "1", "-subj", "/CN=a",
            "-keyout", tmp_path / "own/key.pem", "-out", tmp_path / "own/fullchain.pem",
        ]  # fmt: skip
        subprocess.run(make, check=True, capture_output=True)
        (tmp_path / "acme.json").write_text('{\n "letsencrypt": {}\n}\n')
        return tmp_path

    def read(self, folder):
        done = subprocess.run(
            ["sh", "-c", store.probe(str(folder))], capture_output=True, text=True, check=True
        )
        return store.parse(ok(done.stdout.rstrip("\n")))

    def test_whole_files(self, folder):
        found = self.read(folder)

        assert list(found) == ["acme.json", "own/fullchain.pem", "own/key.pem"]
        assert all(file.whole for file in found.values())

    @pytest.mark.parametrize("name", ["acme.json", "own/fullchain.pem", "own/key.pem"])
    @pytest.mark.parametrize("size", [0, 20])
    def test_cut_off_files(self, folder, name, size):
        path = folder / name
        path.write_bytes(path.read_bytes()[: size or None] if size else b"")

        found = self.read(folder)

        assert [file.path for file in found.values() if not file.whole] == [name]

    def test_copy_and_back(self, folder, tmp_path_factory, monkeypatch):
        monkeypatch.setattr(paths, "USER", "root")
        target = tmp_path_factory.mktemp("copy")

        script = store.copy_files(str(folder), str(target), ["own/key.pem", "acme.json"])
        subprocess.run(["sh", "-euc", script], check=True)

        assert (target / "own/key.pem").read_bytes() == (folder / "own/key.pem").read_bytes()
        assert sorted(p.name for p in target.rglob("*")) == ["acme.json", "key.pem", "own"]


def test_fingerprint_tells_names_and_contents():
    assert store.fingerprint(ok(WHOLE)) == "own/fullchain.pem=aa;own/key.pem=bb"
    assert store.fingerprint(ok(WHOLE)) != store.fingerprint(ok(WHOLE.replace("bb", "cc")))
