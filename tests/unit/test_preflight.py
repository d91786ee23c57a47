import pytest

from harbor.steps.preflight import findings
from tests.unit.builders import failed, ok, settings

GIB = 2**30


def facts(**changes):
    found = {
        "arch": ok("x86_64"),
        "os": ok("debian bookworm"),
        "init": ok("systemd"),
        "cpus": ok("4"),
        "memory": ok(str(8 * GIB)),
        "disk": ok(f"{160 * GIB} {100 * GIB}"),
        "clock": ok("1000"),
        "listening": ok('LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))'),
        "resolves": ok("10.0.0.5"),
        "addresses": ok("127.0.0.1\n10.0.0.5"),
        "uid": ok(""),
        "user": ok(""),
        "containers": ok(""),
        "data": failed(),
        "engine": ok("Docker version 20.10.24+dfsg1, build 297e128"),
        "database": ok(""),
        "own database": ok(""),
        "installed": ok(""),
        "tools": ok(""),
    }
    return {**found, **changes}


def found(wanted=None, now=1000.0, **changes):
    return [str(f) for f in findings(wanted or settings(), facts(**changes), now)]


def test_a_good_machine():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": ok("aarch64")}, "architecture: found aarch64, wanted x86_64"),
        ({"init": ok("init")}, "init: found init, wanted systemd"),
        ({"cpus": ok("1")}, "processors: found 1, wanted 2 (requirements.cpus)"),
        ({"memory": ok(str(2 * GIB))}, "memory: found 2.0 GiB, wanted 4G, 2.0 GiB more"),
        ({"disk": ok(f"{20 * GIB} {15 * GIB}")}, "disk: found 20.0 GiB, wanted 40G, 20.0 GiB more"),
        (
            {"disk": ok(f"{160 * GIB} {1 * GIB}")},
            "free disk: found 1.0 GiB, wanted 5G, 4.0 GiB more",
        ),
        ({"clock": ok("1100")}, "clock: found 100 s away from this machine's, wanted at most 60 s"),
        (
            {"engine": ok("Docker version 19.03.15, build 99e3ed8919")},
            "docker engine: found 19.03.15, wanted 20.10.10 or later",
        ),
        ({"tools": ok("flock")}, "tools: found no flock"),
        (
            {
                "listening": ok(
                    'LISTEN 0 5 127.0.0.1:1514 0.0.0.0:* users:(("rsyslogd",pid=9,fd=1))'
                )
            },
            "port 1514: found taken by rsyslogd, wanted free, for Harbor's log",
        ),
        (
            {"listening": ok("LISTEN 0 5 [::]:443 [::]:*")},
            "port 443: found taken by another program, wanted free, for https",
        ),
        ({"containers": ok("nginx\tshop\t")}, "container name nginx: found taken by project shop"),
        ({"containers": ok("redis\t\t")}, "container name redis: found taken by project (none)"),
        ({"uid": ok("alice:x:10000:10000::/:/bin/sh")}, "UID 10000: found belongs to alice"),
        ({"user": ok("harbor:x:1001:1001::/:/bin/sh")}, "user harbor: found has UID 1001"),
        ({"resolves": ok("")}, "name harbor-cache.example.com: found not resolved by the host"),
        ({"resolves": ok("10.9.9.9")}, "name harbor-cache.example.com: found is 10.9.9.9"),
        ({"database": ok("13")}, "would silently start with an empty one"),
        ({"installed": ok("2.15.3")}, "Harbor cannot go back to 2.15.2"),
        ({"installed": ok("2.11.0"), "database": ok("15")}, "upgrades from 2.12 and later only"),
    ],
)
def test_every_requirement_is_named_with_both_figures(changes, message):
    (only,) = found(**changes)

    assert message in only


def test_ports_that_harbor_itself_publishes_are_no_finding():
    listening = ok('LISTEN 0 5 0.0.0.0:443 0.0.0.0:* users:(("docker-proxy",pid=9,fd=1))')
    containers = ok("traefik\tharbor\t0.0.0.0:80->80/tcp, 0.0.0.0:443->443/tcp, :::443->443/tcp")

    assert found(listening=listening, containers=containers) == []


def test_a_port_that_another_container_publishes():
    (only,) = found(containers=ok("shop-web\tshop\t0.0.0.0:80->8000/tcp"))

    assert only == "port 80: found taken by container shop-web, wanted free, for http"


def test_a_range_of_ports_is_seen():
    said = found(containers=ok("web\tshop\t0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp"))

    assert said == ["port 80: found taken by container web, wanted free, for http"]


def test_an_engine_that_holds_the_ports_itself_is_no_finding():
    listening = ok('LISTEN 0 4096 *:443 *:* users:(("dockerd",pid=9,fd=3))')

    assert found(listening=listening, containers=ok("traefik\tharbor\t0.0.0.0:443->443/tcp")) == []


def test_a_proxy_of_docker_without_its_container_is_ours_that_restarts():
    listening = ok('LISTEN 0 5 127.0.0.1:8080 0.0.0.0:* users:(("docker-proxy",pid=9,fd=1))')

    assert found(listening=listening, containers=ok("nginx\tharbor\t")) == []


def test_an_upgrade_that_the_database_allows():
    assert found(installed=ok("2.14.4"), database=ok("15")) == []


def test_a_small_host_may_ask_for_less():
    small = settings(requirements={"cpus": 1, "memory": "1G", "disk": "10G", "free_disk": "1G"})

    assert found(small, cpus=ok("1"), memory=ok(str(GIB)), disk=ok(f"{12 * GIB} {2 * GIB}")) == []


def test_name_resolution_warns_and_does_not_stop():
    unmet = findings(settings(), facts(resolves=ok("")), 1000.0)

    assert [f.fatal for f in unmet] == [False]


EXTERNAL = {
    "host": "db.example.com",
    "username": "harbor",
    "password": {"env": "EXTERNAL_DATABASE_PASSWORD"},
}


@pytest.mark.parametrize(
    ("external", "own", "on_disk", "expected"),
    [
        (True, "1", "15", "database: found Harbor's own in use, wanted its content moved over"),
        (True, "1", "", None),  # a first deploy that never got so far
        (True, "0", "15", None),
        (False, "0", "", "database: found an external one in use, wanted its content in /data"),
        (False, "0", "15", None),
        (False, "1", "15", None),
    ],
)
def test_a_database_is_not_changed_for_an_empty_one_in_silence(external, own, on_disk, expected):
    wanted = settings(external_database=EXTERNAL) if external else settings()

    said = found(wanted, **{"own database": ok(own), "database": ok(on_disk)})

    assert said[0].startswith(expected) if expected else said == []


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("0", False),
        ("0\nlost+found", False),
        ("0\nphotos", False),
        ("1000\ndatabase\nnotes", False),  # a Harbor made by hand
        ("10000\nnotes", False),
        ("1000\nphotos", True),
    ],
)
def test_a_folder_in_use_is_not_taken_over(folder, refused):
    said = found(data=ok(folder))

    expected = [
        "data_volume /data: found of UID 1000 and in use (photos), wanted an empty folder, or Harbor's"
    ]
    assert said == (expected if refused else [])
