"""What stops Harbor, what it needs to start, and whose lock is whose."""

import pytest

from harbor import lifecycle, lock
from harbor.errors import Refused
from harbor.steps import images
from tests.unit.builders import failed, ok, settings

ROW = "core\tharbor-core\trunning\tUp\ta\tb\timage"
LOADED = "LoadState=loaded\nActiveState={}"


def facts(unit="active", containers=ROW):
    return {"containers": ok(containers), "state": ok(LOADED.format(unit)), "compose": ok()}


class TestStop:
    def test_the_unit_first(self):
        (change,) = lifecycle.stop(facts())

        assert change.why == "harbor.service is active: stop it"
        assert change.script.startswith("systemctl stop harbor.service")

    def test_then_what_runs_beside_it(self):
        (change,) = lifecycle.stop(facts(unit="inactive"))

        assert change.why == "remove the containers harbor-core"
        assert change.script == "/usr/local/sbin/harbor-compose down --remove-orphans"

    def test_stopped(self):
        assert lifecycle.stop(facts("inactive", "")) == []

    def test_without_a_unit(self):
        found = {**facts(), "state": ok("LoadState=not-found\nActiveState=inactive")}

        assert [change.why for change in lifecycle.stop(found)] == [
            "remove the containers harbor-core"
        ]

    def test_failed_unit_is_stopped_too(self):
        assert "is failed" in lifecycle.stop(facts("failed", ""))[0].why


def test_nothing_deployed():
    with pytest.raises(Refused, match="not installed"):
        lifecycle.must_be_installed({"compose": failed()})


def test_execute_quotes_every_word():
    script = lifecycle.execute("core", ["sh", "-c", "echo $HOME; rm 'x'"])

    assert script.startswith(
        "env DIRENV_LOG_FORMAT= /usr/local/sbin/harbor-compose exec -T core sh -c "
    )
    assert """'echo $HOME; rm '"'"'x'"'"''""" in script


class TestImages:
    def facts(self, lacking="", archive="/opt/harbor/harbor.v2.15.2.tar.gz"):
        return {"lacking": ok(lacking), "installed": ok("2.15.2"), "archive": ok(archive)}

    def test_all_there(self):
        assert images.plan(settings(), self.facts()) == []

    def test_loaded_again_from_the_archive(self):
        (change,) = images.plan(settings(), self.facts("goharbor/harbor-core:v2.15.2"))

        assert change.why == "not loaded: goharbor/harbor-core:v2.15.2"
        assert "docker load -i /opt/harbor/harbor.v2.15.2.tar.gz" in change.script

    def test_no_archive(self):
        with pytest.raises(Refused, match="no archive to load from"):
            images.plan(settings(), self.facts("goharbor/harbor-core:v2.15.2", archive=""))

    def test_not_installed_is_not_its_business(self):
        assert images.plan(settings(), {"lacking": failed()}) == []


class TestLock:
    HELD = '{"who": "ana", "from": "vm", "when": "then", "why": "deploy"}'

    def test_held(self):
        found = lock.holder(ok(f"{self.HELD}\n12"))

        assert found["silent_seconds"] == "12"
        assert lock.words(found) == "ana on vm since then: deploy"

    def test_free(self):
        assert lock.holder(failed()) == {}
        assert lock.left(failed()) == {}

    def test_a_file_that_was_cut_off(self):
        assert (
            lock.words(lock.left(ok('{"who": "an'))) == "unknown on unknown since unknown: unknown"
        )
