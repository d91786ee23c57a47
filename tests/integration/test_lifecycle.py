"""Start, stop, restart, status, logs, exec, reboot; and the store that survives all of it."""

import re
import signal
import time

import pytest

from tests.integration.operating import HARBOR_NAME, STARTED

pytestmark = pytest.mark.integration


def test_starting_what_runs_changes_nothing(site):
    before = site.containers()

    done = site.me.fab("start")

    assert "runs already, healthy" in done.text
    assert site.containers() == before


def test_status_of_a_healthy_host(site):
    found = site.json("status")["details"]["status"]

    assert {part["state"] for part in found["components"]} == {"running"}
    assert found["problems"] == {}
    assert found["harbor"]["harbor"] == "healthy"
    assert (found["version"], found["unit"]) == ("2.15.2", "active")
    assert found["certificate"]["names"] == [HARBOR_NAME]
    assert found["certificate"]["days_left"] > 300
    assert found["last_audit"]["why"] in ("deploy", "start", "stop", "restart", "prune")
    assert found["drift"] == []
    assert found["locked_by"] == {}


def test_status_names_what_is_down_and_start_mends_it(site):
    site.run("docker stop -t 1 harbor-portal")

    done = site.me.fab("status", expect=8)

    assert re.search(r"portal +exited", done.text)
    assert "inventory    1 differences" in done.text
    assert "not running: portal" in site.me.fab("start").text
    assert site.is_healthy()


def test_stop_and_start_through_the_unit(site):
    done = site.me.fab("stop")

    assert site.run("systemctl is-active harbor", check=False).strip() == "inactive"
    assert site.containers() == ""
    assert "harbor.service is active: stop it" in done.text
    assert "stopped already" in site.me.fab("stop").text

    site.me.fab("start")

    assert site.run("systemctl is-active harbor").strip() == "active"
    assert site.is_healthy()


def test_unit_and_containers_agree_again(site):
    """Somebody stopped it by hand, so the unit believes what is not so."""
    site.run("/usr/local/sbin/harbor-compose down")
    assert site.run("systemctl is-active harbor").strip() == "active"

    site.me.fab("start")

    assert site.is_healthy()


def test_what_does_not_become_healthy_shows_its_last_words(site):
    site.me.set(health_deadline=10)
    process = site.run("docker inspect -f '{{.State.Pid}}' harbor-core").strip()
    site.run(f"kill -STOP {process}")

    try:
        done = site.me.fab("start", expect=8)
    finally:
        site.run(f"kill -CONT {process}")
        site.me.set(health_deadline=None)

    assert "not healthy after 10 s" in done.text
    assert "api: no answer yet" in done.text
    site.wait_healthy()


def test_restart_of_one_service_keeps_the_containers(site):
    before = site.containers()

    site.me.fab("restart", "--service", "registry")

    assert site.containers() == before
    assert site.is_healthy()


def test_logs(site):
    site.run("curl -sS http://127.0.0.1:8080/api/v2.0/health > /dev/null")

    both = site.me.fab("logs", "--service", "core,traefik", "--tail", "5")
    found = site.me.fab(
        "logs", "--service", "core", "--since", "10m", "--grep", "GET /api/v2.0/health"
    )
    none = site.me.fab("logs", "--service", "core", "--grep", "no such line anywhere")
    for words in ((), ("--follow",)):
        broken = site.me.fab("logs", "--grep", "(open", *words, expect=3)
        assert "--grep (open: not an extended regular expression" in broken.text
    wrong = site.me.fab("logs", "--service", "nginx", expect=3)

    assert {line.split()[1] for line in both.text.splitlines() if " | " in line} == {
        "core",
        "traefik",
    }
    assert "GET /api/v2.0/health" in found.text
    assert "0 lines" in none.text
    assert "no service `nginx`" in wrong.text


def test_logs_that_follow_end_with_ctrl_c(site):
    started = site.me.start("logs", "--service", "proxy", "--follow", "--tail", "0")
    deadline = time.monotonic() + 60
    while not site.run("pgrep -f 'tail -n 0 -F'", check=False):
        assert time.monotonic() < deadline
        time.sleep(0.5)

    site.run("curl -sS http://127.0.0.1:8080/follow-me > /dev/null")
    assert started.says("follow-me")
    started.process.send_signal(signal.SIGINT)

    assert started.process.wait(timeout=30) == 0
    deadline = time.monotonic() + 30
    while site.run("pgrep -f 'tail -n 0 -F'", check=False):
        assert time.monotonic() < deadline, "the remote end goes on"
        time.sleep(0.5)


def test_a_status_that_is_watched_ends_with_ctrl_c(site):
    site.wait_healthy()
    started = site.me.start("status", "--watch")
    assert started.says("core .*healthy")
    site.run("docker stop -t 1 harbor-portal")
    assert started.says("portal .*exited")
    site.run("docker start harbor-portal")
    site.wait_healthy()
    started.process.send_signal(signal.SIGINT)

    assert started.process.wait(timeout=30) in (0, 8)


def test_exec(site):
    assert "redis_version" in site.me.fab("exec", "redis", "redis-cli info server").text
    assert "ended with status 3" in site.me.fab("exec", "core", "sh -c 'exit 3'", expect=6).text


class TestStoreSurvives:
    """The proof: whatever is done to Docker, the certificate store is what it was."""

    def check(self, site, before):
        assert site.store() == before

    @pytest.mark.parametrize(
        "words",
        [("stop",), ("start",), ("restart",), ("deploy",), ("prune", "--yes")],
        ids=" ".join,
    )
    def test_our_commands(self, site, words):
        before = site.store()

        site.me.fab(*words)

        self.check(site, before)

    def test_harbors_own_installer(self, site):
        before = site.store()

        site.run("cd /opt/harbor && direnv exec . ./install.sh 2>&1")

        self.check(site, before)
        site.me.fab("deploy")
        self.check(site, before)

    def test_compose_down_with_volumes(self, site):
        before = site.store()
        compose = "docker compose" if site.suite == "trixie" else "docker-compose"

        site.run(f"cd /opt/harbor && direnv exec . {compose} down -v 2>&1")

        self.check(site, before)
        site.me.fab("start")
        self.check(site, before)

    def test_system_prune_while_stopped(self, site):
        """Every image goes with it: start loads them again."""
        before = site.store()
        site.me.fab("stop")

        site.run("docker system prune -a --volumes -f")

        self.check(site, before)
        assert site.run("docker image ls -q") == ""
        assert "not loaded: goharbor/" in site.me.fab("start").text
        self.check(site, before)
        assert site.is_healthy()

    def test_power_cut(self, site, record_property):
        before = site.store()

        site.host.power_off()
        site.host.power_on()
        seconds = site.wait_healthy()

        self.check(site, before)
        in_order(site)
        record_property("seconds", round(seconds))

    @pytest.mark.parametrize(
        "damage",
        [
            "rm -rf /data/certificates",
            "rm /data/certificates/own/key.pem",
            "truncate -s 30 /data/certificates/acme.json",
            ": > /data/certificates/own/fullchain.pem",
        ],
    )
    def test_start_puts_back_what_is_gone(self, site, damage):
        before = site.store()

        site.run(damage)
        done = site.me.fab("start")

        assert "put back from the copy of the certificate store" in done.text
        self.check(site, before)
        assert "healthy" in site.me.fab("status").text
        assert "no changes" in site.me.fab("plan").text


def in_order(site):
    """The log first, core behind all that it needs, and what needs core behind it."""
    names = [line.rpartition("/")[2] for line in site.run(STARTED).splitlines()]
    names.remove("traefik")  # needs none of them
    core = names.index("harbor-core")
    assert names[0] == "harbor-log"
    assert {"harbor-db", "redis", "registry"} <= set(names[:core])
    assert {"harbor-jobservice", "nginx"} <= set(names[core:])


def test_a_traefik_that_may_not_read_the_engines_socket_is_told_at_once(site):
    site.run("chgrp root /var/run/docker.sock; docker restart -t 1 traefik")
    try:
        failed = site.me.fab("deploy", expect=8)
    finally:
        site.run("chgrp docker /var/run/docker.sock; docker restart -t 1 traefik")
    site.wait_healthy()

    assert "Traefik may not read the engine's socket" in failed.text
    assert failed.seconds < 30  # and not the deadline of 300


def test_reboot(site, record_property):
    site.host.reboot()
    seconds = site.wait_healthy()

    record_property("seconds", round(seconds))
    in_order(site)
    assert site.run("systemctl is-active harbor").strip() == "active"
    assert "no changes" in site.me.fab("plan").text
