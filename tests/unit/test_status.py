"""The status of a host, from what it answers."""

import json

from harbor import status
from harbor.certificates import issue
from tests.unit.builders import AUTHORITY, NOW, failed, ok, settings

HEALTHY = {
    "status": "healthy",
    "components": [
        {"name": "core", "status": "healthy"},
        {"name": "database", "status": "healthy"},
    ],
}


def row(service, name, state="running", health="healthy"):
    times = "2026-11-25T01:00:00.5Z\t2026-11-25T00:30:00Z"
    return f"{service}\t/{name}\t{state}\t{health}\t{times}\t0\tgoharbor/{service}:v2.15.2"


def facts(**more):
    wanted = settings()
    rows = [row(service, name) for service, name in wanted.harbor.containers.items()]
    listed = [
        f"{service}\t{name}\trunning\tUp 1 minute\ta\tb\timage"
        for service, name in wanted.harbor.containers.items()
    ]
    return {
        "containers": ok("\n".join(listed)),
        "body": ok(json.dumps(HEALTHY)),
        "clients": ok("200"),
        "inspect": ok("\n".join(rows)),
        "version": ok("2.15.2"),
        "unit": ok("active"),
        "certificate": ok(issue(AUTHORITY, ["harbor-cache.example.com"], NOW).chain.decode()),
        "disk data": ok("1000 250"),
        "disk docker": failed(),
        "log": ok("2048"),
        "lock": failed(),
        "audit": ok(
            '{"who": "ana", "from": "vm", "when": "then", "why": "deploy", "changes": ["a"]}'
        ),
        "clock": ok("2026-11-25T00:00:00+00:00"),
        **more,
    }


def test_healthy():
    found = status.parse(settings(), facts())

    assert found.problems == {}
    assert found.harbor == {"harbor": "healthy", "core": "healthy", "database": "healthy"}
    assert found.disks == {"data": (1000, 250)}
    assert found.certificate.days_left == 397
    assert found.components[-1].service == "traefik"


def test_since_is_when_it_came_into_its_state():
    found = status.components(
        ok(row("core", "harbor-core") + "\n" + row("log", "harbor-log", "exited"))
    )

    assert [part.since for part in found] == ["2026-11-25T01:00:00", "2026-11-25T00:30:00"]


def test_as_json():
    assert (
        json.loads(json.dumps(status.parse(settings(), facts()).as_dict()))["version"] == "2.15.2"
    )


def test_lines():
    drift = ["stack: not there: core", "b", "c", "d"]

    text = "\n".join(status.lines(settings(), status.parse(settings(), facts(), drift)))

    assert "version      2.15.2, unit active" in text
    assert "harbor-cache.example.com, by CN=test CA, 397 days left" in text
    assert "data 250 B free of 1000 B (75 % used); log files 2.0 KiB" in text
    assert "lock         free" in text
    assert "last change  then deploy by ana on vm, 1 changes" in text
    assert "4 differences (`fab plan`): stack: not there: core; b; c; ..." in text


def test_nothing_there():
    wanted = settings()

    found = status.parse(wanted, {})
    text = "\n".join(status.lines(wanted, found))

    assert found.components == ()
    assert found.certificate is None
    assert "core         MISSING" in text
    assert "version      not installed, unit unknown" in text
    assert "none is shown" in text
    assert "none recorded" in text


def test_held_lock_is_shown():
    lock = ok('{"who": "ana", "from": "vm", "when": "then", "why": "deploy"}\n3')

    found = status.parse(settings(), facts(lock=lock))

    assert found.locked_by["silent_seconds"] == "3"
    assert "lock         ana on vm since then: deploy" in status.lines(settings(), found)


def test_body_that_is_no_health():
    assert status.parse(settings(), facts(body=ok("<html>"))).harbor == {"harbor": "no answer"}
    assert status.parse(settings(), facts(body=ok("[]"))).harbor == {"harbor": "no answer"}
