"""Every check: silent on a healthy host, and its one finding on a host with that fault."""

import datetime
import json

import pytest

from harbor import doctor, store
from harbor.certificates import create_authority, issue
from harbor.doctor.cache import budget_words
from harbor.doctor.model import Facts
from harbor.errors import SettingsError
from tests.unit.builders import ADMIN, AUTHORITY, DATABASE, NOW, failed, ok, settings

NAME = "harbor-cache.example.com"
URL = f"https://{NAME}"
HEALTH = {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]}
REGISTRIES = [{"id": 1, "name": "quay", "type": "docker-registry", "url": "https://quay.io"}]
PROJECTS = [{"name": "proxy.quay.io", "registry_id": 1}, {"name": "library", "registry_id": 0}]


def answered(body, code=200):
    return ok(f"{json.dumps(body)}\n{code}")


def certificate(names=(NAME,), days=0, authority=AUTHORITY):
    return ok(issue(authority, list(names), NOW - datetime.timedelta(days=days)).chain.decode())


def inspect(service="core", state="running", since="2026-11-24T00:00:00", restarts=0):
    return f"{service}\t/{service}\t{state}\thealthy\t{since}Z\t{since}Z\t{restarts}\timage"


def healthy():
    containers = settings().harbor.containers
    listed = [f"{s}\t{n}\trunning\tUp\taa\tbb\timage" for s, n in containers.items()]
    pair = ok("yes\taa\town/fullchain.pem\nyes\tbb\town/key.pem")
    return {
        "containers": ok("\n".join(listed)),
        "body": ok(json.dumps(HEALTH)),
        "clients": ok("200"),
        "inspect": ok(inspect()),
        "time": ok("2026-11-25T00:00:00+00:00"),
        "out of step": ok(),
        "config": ok("aa"),
        "edge": ok("bb"),
        "compose": ok("2.26.1"),
        "socket": ok("660 root:docker"),
        "tcp": ok(),
        "socket users": ok("/traefik"),
        "challenge": ok(
            f'HTTP/2 401\nwww-authenticate: Bearer realm="{URL}/service/token",service="x"'
        ),
        "nginx.conf": ok("proxy_set_header X-Forwarded-Proto $x_forwarded_proto;"),
        "redirects": ok(f"200 0 {URL}/ 0"),
        "https block": failed(),
        "traefik": ok(
            'traefik:v3.7.15 ["--entrypoints.https.transport.respondingtimeouts.readtimeout=1800s",'
            '"--providers.docker=true"]'
        ),
        "published": ok("127.0.0.1:8080->8080/tcp, 0.0.0.0:443->443/tcp"),
        "engine api": ok("1.24 26.1.5"),
        "folder": ok("1:2"),
        "mounted": ok("1:2"),
        "certificate": certificate(),
        "verified": ok("    Verify return code: 0 (ok)"),
        "store": pair,
        "copy": pair,
        "owners": ok(),
        "unreadable": ok(),
        "readable": ok(),
        "not approved": ok(),
        "envrc": ok(),
        "enabled": ok("enabled"),
        "unit state": ok("active"),
        "log port": ok(),
        "log listener": ok("docker-proxy"),
        "log container": ok("running"),
        "database": ok("18"),
        "installed": ok("2.15.2"),
        "lock left": failed(),
        "lock held": failed(),
        "at work": failed(),
        "pushed": failed(),
        "changed by hand": ok(),
        "resolves": ok("198.18.0.2"),
        "operator resolves": ok("198.18.0.2"),
        "addresses": ok("127.0.0.1\n198.18.0.2"),
        "seconds": ok("1000"),
        "operator seconds": ok("1003"),
        "data": ok(f"{100 * 2**30} {50 * 2**30}"),
        "docker": ok(f"{100 * 2**30} {50 * 2**30}"),
        "grown": ok(str(7 * 2**30)),
        "api user": answered({"username": "admin"}),
        "api registries": answered(REGISTRIES),
        "api projects": answered(PROJECTS),
        "reached": ok("401 https://quay.io"),
        "api gc": answered({"schedule": {"type": "Custom", "cron": "0 0 3 * * *"}}),
        "budget": ok(
            "HTTP/1.1 200 OK\nratelimit-limit: 100;w=21600\nratelimit-remaining: 76;w=21600"
        ),
    }


def test_healthy_host():
    assert doctor.examine(settings(), doctor.CHECKS, healthy()) == []
    assert doctor.exit_code([]) == 0


def test_every_snippet_is_known_to_the_tests():
    extra = {"operator resolves", "operator seconds"}
    unread = {"unit"}  # read for the reasons of a deploy, not by a check

    assert set(doctor.probe(settings(), doctor.CHECKS)) - unread == set(healthy()) - extra


FAULTS = [
    ("health", "error", {"clients": ok("502")}, f"{URL} answers 502"),
    (
        "restarts",
        "error",
        {"inspect": ok(inspect(state="restarting"))},
        "core starts over and over",
    ),
    (
        "restarts",
        "error",
        {"inspect": ok(inspect(restarts=4, since="2026-11-24T23:50:00"))},
        "(4 times, running)",
    ),
    ("secrets in step", "error", {"out of step": ok("core")}, "pulls answer unauthorized"),
    ("configuration in step", "warning", {"config": ok("a2")}, "made from an older configuration"),
    ("compose version", "error", {"compose": failed()}, "no docker compose"),
    ("compose version", "error", {"compose": ok("1.25.0-1")}, "compose 1.25.0-1 cannot read"),
    ("docker.sock", "error", {"socket": ok("666 root:docker")}, "mode 666"),
    ("docker.sock", "error", {"tcp": ok("0.0.0.0:2375")}, "listens on 0.0.0.0:2375"),
    (
        "docker.sock",
        "warning",
        {"socket users": ok("/traefik\n/portainer")},
        "mounted in portainer",
    ),
    (
        "token realm",
        "error",
        {"challenge": ok('Www-Authenticate: Bearer realm="http://harbor/service/token"')},
        "clients are sent to http://harbor/service/token",
    ),
    (
        "token realm",
        "error",
        {"challenge": ok("HTTP/2 404")},
        "sends no challenge, but: HTTP/2 404",
    ),
    (
        "forwarded scheme",
        "error",
        {"nginx.conf": ok("  proxy_set_header X-Forwarded-Proto $scheme;")},
        "replaces X-Forwarded-Proto",
    ),
    ("redirect loop", "error", {"redirects": ok(f"308 5 {URL}/ 47")}, "redirected for ever"),
    ("https block", "error", {"https block": ok("7:https:")}, "line 7: an https block"),
    ("read timeout", "warning", {"traefik": ok("traefik:v3.7.15 []")}, "not set, so 60 s"),
    (
        "read timeout",
        "warning",
        {"traefik": ok('traefik:v3.7.15 ["--x.respondingTimeouts.readTimeout=30s"]')},
        "set to 30 s",
    ),
    (
        "certificate folder",
        "error",
        {"mounted": ok("1:9")},
        "a certificate folder that was deleted",
    ),
    (
        "certificate name",
        "error",
        {"certificate": certificate(["other.example.com"])},
        "other.example.com",
    ),
    ("certificate name", "error", {"certificate": failed()}, "no certificate is shown on port 443"),
    (
        "certificate issuer",
        "error",
        {"certificate": certificate(authority=create_authority("TRAEFIK DEFAULT CERT", NOW))},
        "its own default certificate",
    ),
    (
        "certificate issuer",
        "error",
        {"certificate": certificate(authority=create_authority("(STAGING) Bogus", NOW))},
        "a test CA",
    ),
    (
        "certificate chain",
        "error",
        {"verified": ok("Verify return code: 20 (unable to get local issuer certificate)")},
        "unable to get local issuer certificate",
    ),
    ("certificate expiry", "warning", {"certificate": certificate(days=380)}, "ends in 17 days"),
    ("certificate expiry", "error", {"certificate": certificate(days=395)}, "ends in 2 days"),
    ("certificate expiry", "error", {"certificate": certificate(days=400)}, "ended on 2026-11-22"),
    (
        "certificate store",
        "error",
        {"store": ok("yes\taa\town/fullchain.pem")},
        "own/key.pem is missing",
    ),
    (
        "certificate store",
        "error",
        {"store": ok("no\taa\tacme.json"), "copy": failed()},
        "damaged, and no copy: acme.json",
    ),
    (
        "certificate store",
        "warning",
        {"copy": failed()},
        "no present copy in /var/backups/harbor-cache",
    ),
    (
        "owners",
        "error",
        {"owners": ok("0:0 /data/registry/docker")},
        "/data/registry/docker belongs to 0:0",
    ),
    ("owners", "error", {"owners": ok("0:0 /data/database/pg18")}, "runs as 999"),
    (
        "owners",
        "error",
        {"unreadable": ok("0:0 /opt/harbor/common/config/core/env")},
        "cannot be read by user harbor",
    ),
    (
        "readable secrets",
        "error",
        {"readable": ok("/opt/harbor/harbor.yml")},
        "everybody on the host",
    ),
    (".envrc", "error", {"not approved": ok("harbor")}, "not approved for harbor"),
    (".envrc", "error", {"envrc": failed()}, "is missing"),
    ("boot order", "error", {"enabled": failed()}, "harbor.service is not enabled"),
    ("boot order", "error", {"unit state": ok("failed")}, "harbor.service is failed"),
    ("boot order", "error", {"log listener": ok("rsyslogd")}, "port 1514 belongs to rsyslogd"),
    ("boot order", "error", {"log port": failed()}, "nothing answers on 127.0.0.1:1514"),
    ("database version", "error", {"database": ok("14")}, "would silently start with an empty one"),
    (
        "database version",
        "error",
        {"database": ok("15")},
        "is PostgreSQL 15, Harbor 2.15.2 runs 18",
    ),
    (
        "lock",
        "warning",
        {"lock left": ok('{"who": "ana", "from": "vm", "when": "then", "why": "deploy"}')},
        "did not come to its end: ana on vm since then: deploy",
    ),
    ("lock", "warning", {"at work": ok()}, "still at work"),
    ("history", "warning", {"changed by hand": ok(" M docker-compose.yml")}, "docker-compose.yml"),
    ("name resolution", "warning", {"resolves": ok()}, "the host cannot resolve"),
    ("name resolution", "warning", {"resolves": ok("192.0.2.1")}, "the host resolves"),
    ("name resolution", "warning", {"operator resolves": failed()}, "this machine cannot resolve"),
    ("name resolution", "warning", {"operator resolves": ok("192.0.2.9")}, "this machine resolves"),
    ("clock", "error", {"seconds": ok("900")}, "-103 s from this machine's"),
    ("disk", "warning", {"data": ok("100 12")}, "88 % full"),
    ("disk", "error", {"docker": ok("100 3")}, "disk of Docker's images is 97 % full"),
    ("disk", "warning", {"grown": ok(str(28 * 2**30))}, "full in 12 days"),
    ("disk", "error", {"grown": ok(str(100 * 2**30))}, "full in 3 days"),
    ("admin password", "error", {"api user": answered({}, 401)}, "refuses the admin password"),
    (
        "registry types",
        "warning",
        {"api registries": answered([{**REGISTRIES[0], "type": "quay"}])},
        "registry quay has type quay, which Harbor 2.15.2 does not take",
    ),
    ("upstreams", "error", {"reached": ok("000 https://quay.io")}, "cannot reach https://quay.io"),
    (
        "upstreams",
        "warning",
        {"api registries": answered([{**REGISTRIES[0], "status": "unhealthy"}])},
        "Harbor calls registry quay",
    ),
    ("garbage collection", "warning", {"api gc": answered({})}, "what proxy.quay.io let go stays"),
    (
        "Docker Hub budget",
        "warning",
        {"budget": ok("RateLimit-Limit: 100;w=1\nRateLimit-Remaining: 7;w=1")},
        "pull 7 of 100",
    ),
    (
        "Docker Hub budget",
        "error",
        {"budget": ok("ratelimit-limit: 100\nratelimit-remaining: 0")},
        "pull 0 of 100",
    ),
]


@pytest.mark.parametrize(("check", "severity", "faults", "words"), FAULTS)
def test_exactly_this_finding(check, severity, faults, words):
    facts = {**healthy(), **faults}

    (finding,) = doctor.examine(settings(), doctor.CHECKS, facts)

    assert (finding.check, finding.severity) == (check, severity)
    assert words in finding.cause
    assert finding.cure
    assert doctor.exit_code([finding]) == {"error": 8, "warning": 2}[severity]


def test_an_engine_that_holds_the_containers_ports_does_not_listen_itself():
    faults = {"tcp": ok("*:443\n127.0.0.1:8080")}  # `userland-proxy: false`

    assert doctor.examine(settings(), doctor.CHECKS, {**healthy(), **faults}) == []


def test_traefiks_file_that_is_still_empty_is_not_damaged():
    faults = {"store": ok(f"no\t{store.EMPTY}\tacme.json"), "copy": failed()}

    assert doctor.examine(settings(), doctor.CHECKS, {**healthy(), **faults}) == []


def test_every_check_is_broken_here():
    broken = {check for check, *_ in FAULTS}

    # An engine that is too new, and a push that failed, have tests of their own.
    assert {check.name for check in doctor.CHECKS} - broken == {"engine API"}


@pytest.mark.parametrize(
    ("image", "minimum", "provider", "found"),
    [
        ("traefik:v3.0.4", "1.44", "docker", 1),
        ("traefik:v3.6.1", "1.44", "docker", 0),
        ("traefik:v2.11.30", "1.44", "docker", 1),
        ("traefik:v2.11.31", "1.44", "docker", 0),
        ("traefik:v3.0.4", "1.24", "docker", 0),
        ("traefik:v3.0.4", "1.44", "file", 0),
    ],
)
def test_engine_api(image, minimum, provider, found):
    words = (
        f'{image} ["readtimeout=0s", "respondingtimeouts.readtimeout=0s", "providers.{provider}"]'
    )
    facts = {**healthy(), "traefik": ok(words), "engine api": ok(f"{minimum} 29.0.1")}

    findings = doctor.examine(settings(), doctor.CHECKS, facts)

    assert [finding.check for finding in findings] == ["engine API"] * found


def test_push_that_failed():
    wanted = settings(
        history={"remote": "git@git.example.com:a.git", "host_key": "ssh-ed25519 AAAA"}
    )
    facts = {**healthy(), "pushed": ok("abc failed\nPermission denied\nfatal")}

    (finding,) = doctor.examine(wanted, doctor.CHECKS, facts)

    assert "Permission denied / fatal" in finding.cause


def test_worst_first():
    facts = {**healthy(), "copy": failed(), "clients": ok("502")}

    assert [f.severity for f in doctor.examine(settings(), doctor.CHECKS, facts)] == [
        "error",
        "warning",
    ]


def test_a_host_that_answers_nothing_is_no_crash():
    assert doctor.exit_code(doctor.examine(settings(), doctor.CHECKS, {})) == 8


def test_chosen():
    assert [check.name for check in doctor.chosen("disk, lock")] == ["disk", "lock"]
    assert doctor.chosen("") == doctor.CHECKS
    with pytest.raises(SettingsError, match=r"no check `dsk`; did you mean `disk`"):
        doctor.chosen("dsk")


def test_no_secret_in_an_argument():
    """The password stands in a here-document only: what a shell feeds to standard input."""
    for text in doctor.probe(settings(), doctor.CHECKS).values():
        outside = [line for line in text.splitlines() if not line.startswith("user = ")]
        assert ADMIN not in "\n".join(outside)
        assert DATABASE not in text


def test_no_snippet_changes_anything():
    """Words that write; a doctor that needs one of them is no doctor."""
    writes = ("rm ", "mv ", "chown ", "chmod ", "docker start", "docker restart", "tee ", "touch ")
    for key, text in doctor.probe(settings(), doctor.CHECKS).items():
        assert not [word for word in writes if f" {word}" in f" {text}"], key


def test_budget_in_words():
    assert budget_words(Facts(healthy())) == "Docker Hub budget: 76 of 100"
    assert budget_words(Facts({})) == ""
