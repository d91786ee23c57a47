"""A healthy host has no finding; each thing that is broken on it has exactly its own."""

import datetime
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harbor.certificates import KeyPair, create_authority, issue
from harbor.shell import Secret
from tests.integration.operating import HARBOR_NAME
from tests.integration.operator import FAB, ROOT, Done, Operator, ask
from tests.integration.web import Handler, played

pytestmark = pytest.mark.integration

CONFIG = "/opt/harbor/common/config"
COMPOSE = "/usr/local/sbin/harbor-compose"
PLUGIN = "/usr/local/lib/docker/cli-plugins/docker-compose"
# A plugin that docker finds before the distribution's, and a clock ten minutes ahead: the hosts
# of the lab have one kernel, whose clock cannot be set for one of them.
OLD_PLUGIN = """#!/bin/sh
[ "$1" = docker-cli-plugin-metadata ] || exec echo 1.17.0
echo '{"SchemaVersion": "0.1.0", "Vendor": "lab", "Version": "1.17.0"}'
"""
CLOCK_AHEAD = """#!/bin/sh
[ "$*" = +%s ] && exec /usr/bin/date -d '+600 seconds' +%s
exec /usr/bin/date "$@"
"""


class KnowsTheName(Operator):
    """An operator whose machine resolves the name of the cache: its own /etc/hosts, by a mount."""

    address = ""

    def fab(self, *words, expect=0, **env):
        names = self.folder / "hosts"
        names.write_text(f"127.0.0.1 localhost\n{self.address} {HARBOR_NAME}\n")
        self.write()
        began = time.monotonic()
        script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", names, FAB, *words],
            cwd=ROOT, env=self.environment(**env), stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, done.stdout
        return Done(done.returncode, done.stdout, time.monotonic() - began)


@pytest.fixture(scope="module")
def me(site):
    found = KnowsTheName(site.me.folder, site.lab, site.me.values, site.me.secrets)
    found.address = site.host.address
    return found


def findings(me, *words):
    """Check -> causes, of one doctor run; and its exit code."""
    done = me.fab("doctor", *words, expect=None)
    found = {}
    for line in done.text.splitlines():
        _, _, rest = line.partition(" ")
        severity, _, what = rest.partition(": ")
        if severity in ("error", "warning", "info"):
            name, _, cause = what.partition(": ")
            found.setdefault(name, []).append(cause)
    return found, done.code


@contextmanager
def broken(site, breaks: str, heals: str) -> Iterator[None]:
    site.run(breaks)
    try:
        yield
    finally:
        site.run(heals)


def test_healthy_host(site, me):
    assert findings(me) == ({}, 0)


def test_it_changes_nothing(site, me):
    listed = "find /opt/harbor /data/certificates /var/lib/harbor-cache -printf '%p %T@ %C@ %m\\n' | sort"
    before = site.run(listed), site.containers()

    findings(me)

    assert (site.run(listed), site.containers()) == before


# Faults that do not disturb each other: one run of doctor has to name them all, and no more.
TOGETHER = {
    "readable secrets": (
        "chmod o+r /opt/harbor/harbor.yml /data/secret/keys/secretkey",
        "chmod o-r /opt/harbor/harbor.yml /data/secret/keys/secretkey",
        "/opt/harbor/harbor.yml",
    ),
    "owners": (
        "install -d -o root /data/registry/wrong; chown root /opt/harbor/common/config/core/env",
        "rmdir /data/registry/wrong; chown harbor /opt/harbor/common/config/core/env",
        "/data/registry/wrong belongs to 0:0",
    ),
    ".envrc": (
        "mv /home/harbor/.local/share/direnv/allow /home/harbor/allow",
        "mv /home/harbor/allow /home/harbor/.local/share/direnv/allow",
        "not approved for harbor",
    ),
    "https block": (
        "cp -a /opt/harbor/harbor.yml /root/kept.yml; printf 'https:\\n  port: 443\\n' >> /opt/harbor/harbor.yml",
        "mv -f /root/kept.yml /opt/harbor/harbor.yml",
        "though Traefik ends TLS",
    ),
    "forwarded scheme": (
        (
            f"cp -a {CONFIG}/nginx/nginx.conf /root/nginx.conf; "
            f"echo '# proxy_set_header X-Forwarded-Proto $scheme;' >> {CONFIG}/nginx/nginx.conf"
        ),
        f"cat /root/nginx.conf > {CONFIG}/nginx/nginx.conf",
        "replaces X-Forwarded-Proto",
    ),
    "history": ("true", "true", "common/config/nginx/nginx.conf"),
    "lock": (
        (
            'echo \'{"who": "ana", "from": "vm", "when": "then", "why": "deploy"}\' '
            "> /var/lib/harbor-cache/lock.json"
        ),
        "rm /var/lib/harbor-cache/lock.json",
        "did not come to its end: ana on vm",
    ),
    "boot order": (
        "systemctl disable -q harbor.service",
        "systemctl enable -q harbor.service",
        "is not enabled",
    ),
    "docker.sock": (
        "chmod 666 /var/run/docker.sock",
        "chmod 660 /var/run/docker.sock",
        "mode 666",
    ),
    "certificate store": (
        "mv /var/backups/harbor-cache/certificates /root/copy",
        "mv /root/copy /var/backups/harbor-cache/certificates",
        "no present copy in /var/backups",
    ),
    "database version": (
        "install -d -o 999 /data/database/pg99; echo 99 > /data/database/pg99/PG_VERSION",
        "rm -r /data/database/pg99",
        "PostgreSQL 99",
    ),
    "disk": (
        (
            "install -d -o 10000 /data/registry/docker; truncate -s 4T /data/registry/docker/sparse; "
            "chown 10000 /data/registry/docker/sparse"
        ),
        "rm /data/registry/docker/sparse",
        "full in 0 days",
    ),
    "name resolution": (
        f"sed -i 's/{HARBOR_NAME}//' /etc/hosts; echo '192.0.2.1 {HARBOR_NAME}' >> /etc/hosts",
        f"sed -i '/{HARBOR_NAME}/d' /etc/hosts; echo \"$ADDRESS {HARBOR_NAME}\" >> /etc/hosts",
        "the host resolves harbor-cache.example.com to 192.0.2.1",
    ),
    "secrets in step": (
        f"cp -a {CONFIG}/core/env /root/core.env; sed -i 's/^CORE_SECRET=.*/CORE_SECRET=other/' {CONFIG}/core/env",
        f"cp -a /root/core.env {CONFIG}/core/env",
        "pulls answer unauthorized",
    ),
    "configuration in step": ("true", "true", "made from an older configuration"),
    "compose version": (
        f"install -D /dev/stdin {PLUGIN} <<'@end'\n{OLD_PLUGIN}@end",
        f"rm -r {PLUGIN}",
        "compose 1.17.0 cannot read the file of Harbor",
    ),
    "clock": (
        f"install /dev/stdin /usr/local/bin/date <<'@end'\n{CLOCK_AHEAD}@end",
        "rm /usr/local/bin/date",
        "s from this machine's: tokens are refused",
    ),
}


def test_faults_on_disk_have_each_its_finding(site, me):
    heals = "\n".join(reversed([heal for _, heal, _ in TOGETHER.values()]))
    with broken(
        site,
        "\n".join(fault for fault, _, _ in TOGETHER.values()),
        f"ADDRESS={site.host.address}\n{heals}",
    ):
        found, code = findings(me)

    assert code == 8
    assert set(found) == set(TOGETHER)
    for name, (_, _, words) in TOGETHER.items():
        assert any(words in cause for cause in found[name]), (name, found[name])
    assert findings(me) == ({}, 0)


def test_token_realm(site, me):
    change = f"cp -a {CONFIG}/core/env /root/core.env; sed -i 's|^EXT_ENDPOINT=.*|EXT_ENDPOINT=http://harbor.local|' {CONFIG}/core/env"
    again = f"cp -a /root/core.env {CONFIG}/core/env; {COMPOSE} up -d 2>&1"
    with broken(site, f"{change}; {COMPOSE} up -d 2>&1", again):
        site.wait_healthy()
        found, code = findings(me)

    assert code == 8
    assert list(found) == ["token realm"]
    assert "for a token, not to https://harbor-cache.example.com" in found["token realm"][0]
    site.wait_healthy()


def wait_answer(site, status):
    site.run(
        f"for i in $(seq 60); do [ \"$(curl -sSk --max-time 5 -o /dev/null -w '%{{http_code}}' --resolve "
        f'{HARBOR_NAME}:443:127.0.0.1 https://{HARBOR_NAME}/)" = {status} ] && exit 0; sleep 0.5; '
        "done; exit 1"
    )


def test_redirect_loop(site, me):
    conf = f"{CONFIG}/nginx/nginx.conf"
    # Not for the container's own health check, which Traefik's docker provider heeds.
    loop = "if ($http_x_forwarded_host) { return 308 https://$host$request_uri; }"
    change = f"cp -a {conf} /root/nginx.conf; sed -i '0,/server *{{/s||server {{ {loop}|' {conf}"
    with broken(
        site,
        f"{change}; docker restart -t 1 nginx",
        f"cat /root/nginx.conf > {conf}; docker restart -t 1 nginx",
    ):
        site.wait_healthy()  # until then Traefik drops the route once more
        wait_answer(site, "308")
        found, _ = findings(me)

    assert "is redirected for ever" in found["redirect loop"][0]
    # The API and the challenge are redirected as well; nothing else is wrong.
    assert set(found) <= {"redirect loop", "health", "token realm", "history"}
    site.wait_healthy()


def test_restarts(site, me):
    kill = "kill -9 $(docker inspect -f '{{.State.Pid}}' harbor-portal); sleep 1.5\n"
    with broken(site, kill * 3, f"{COMPOSE} up -d --force-recreate --no-deps portal 2>&1"):
        site.wait_healthy()
        found, code = findings(me)

    assert (list(found), code) == (["restarts"], 8)
    assert "portal starts over and over (3 times, running)" in found["restarts"][0]
    site.wait_healthy()


def test_read_timeout(site, me):
    override = "/opt/harbor/docker-compose.override.yml"
    with broken(
        site,
        f"cp -a {override} /root/override.yml; sed -i '/readtimeout/d' {override}; {COMPOSE} up -d 2>&1",
        f"cp -a /root/override.yml {override}; {COMPOSE} up -d 2>&1",
    ):
        site.wait_healthy()
        found, code = findings(me)

    assert set(found) == {"read timeout", "history"}
    assert code == 2
    site.wait_healthy()


def pair(me, name=HARBOR_NAME, days=0, *, by=""):
    """A certificate for `name`, issued `days` ago by the operator's CA, or by one of that name."""
    now = datetime.datetime.now(datetime.UTC)
    folder = me.folder / "ca"
    key = Secret((folder / "ca.key").read_text())
    authority = KeyPair((folder / "ca.crt").read_bytes(), key)
    if by:
        authority = create_authority(by, now)
    return issue(authority, [name], now - datetime.timedelta(days=days))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"name": "other.example.com"}, {"certificate name"}),
        ({"days": 380}, {"certificate expiry"}),
        ({"days": 400}, {"certificate expiry"}),
        ({"by": "nobody's"}, {"certificate chain"}),
        ({"by": "(STAGING) Pretend"}, {"certificate chain", "certificate issuer"}),
    ],
    ids=["name", "ends soon", "ended", "chain", "issuer"],
)
def test_certificate(site, me, wrong, expected):
    folder, copy = "/data/certificates/own", "/root/own"
    made = pair(me, **wrong)
    site.run(f"cp -a {folder} {copy}")
    site.host.write(f"{folder}/key.pem", made.key.reveal(), mode="0600", owner="harbor")
    site.host.write(f"{folder}/fullchain.pem", made.chain.decode(), mode="0600", owner="harbor")
    restart = "docker restart -t 1 traefik"
    with broken(site, restart, f"cp -a {copy}/. {folder}/; rm -r {copy}; {restart}"):
        wait_served(site)
        found, _ = findings(me)
    wait_served(site)

    assert expected <= set(found)
    # curl, as every client, refuses it too; and the copy has another pair.
    assert set(found) <= {*expected, "health", "certificate store"}


def test_traefik_without_a_certificate(site, me):
    restart = "docker restart -t 1 traefik"
    with broken(
        site,
        f"mv /data/certificates/own /root/own; {restart}",
        f"mv /root/own /data/certificates/own; {restart}",
    ):
        wait_answer(site, "000")
        found, code = findings(me)
    wait_served(site)

    assert code == 8
    assert found["certificate name"] == ["no certificate is shown on port 443"]
    assert set(found) <= {"certificate name", "certificate store", "health", "token realm"}


def wait_served(site):
    site.run(
        "for i in $(seq 60); do timeout 5 openssl s_client -connect 127.0.0.1:443 -servername "
        f"{HARBOR_NAME} </dev/null 2>/dev/null | openssl x509 -noout -issuer | grep -qv TRAEFIK && "
        "exit 0; sleep 0.5; done; exit 1"
    )


def test_deleted_folder_under_traefik(site, me):
    swap = "cd /data && cp -a certificates again && rm -rf certificates && mv again certificates"

    with broken(site, swap, "docker restart -t 1 traefik"):
        found, code = findings(me)

    assert (list(found), code) == (["certificate folder"], 8)
    wait_served(site)


def test_port_of_the_log_taken(site, me):
    """By another program, while the log container is down."""
    listen = (
        "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 5, "
        'LocalAddr => "127.0.0.1:1514", ReuseAddr => 1) or die; sleep 300\' '
        ">/dev/null 2>&1 & echo $! > /run/listener.pid; sleep 1"
    )
    with broken(
        site,
        f"docker stop -t 1 harbor-log; {listen}",
        "kill $(cat /run/listener.pid); rm /run/listener.pid; docker start harbor-log",
    ):
        found, _ = findings(me)

    assert "port 1514 belongs to perl" in found["boot order"][0]
    assert set(found) == {"boot order", "health"}
    site.wait_healthy()


def test_admin_password_of_another_time(site, me):
    me.secrets["HARBOR_ADMIN_PASSWORD"] = "Canary-Other-4711"
    try:
        found, code = findings(me, "--only", "admin password")
    finally:
        me.secrets["HARBOR_ADMIN_PASSWORD"] = "Canary-Admin-4711"

    assert (list(found), code) == (["admin password"], 8)


def test_upstream_and_garbage_collection(site, me):
    """An upstream that containers reach and the host does not, proxied, and nothing collected."""
    registry = {"name": "inner", "type": "docker-registry", "url": "http://registry:5000"}
    assert site.api("POST", "/registries", registry) == 201
    project = {"project_name": "proxy.inner", "registry_id": 1, "metadata": {"public": "true"}}
    assert site.api("POST", "/projects", project) == 201

    try:
        found, code = findings(me)
        schedule = {"schedule": {"type": "Custom", "cron": "0 0 3 * * *"}, "parameters": {}}
        assert site.api("POST", "/system/gc/schedule", schedule) == 201
        collected, _ = findings(me)
    finally:
        site.api("DELETE", "/projects/proxy.inner")
        site.api("DELETE", "/registries/1")
        site.api("PUT", "/system/gc/schedule", {"schedule": {"type": "None"}, "parameters": {}})

    assert code == 8
    assert set(found) == {"upstreams", "garbage collection"}
    assert "cannot reach http://registry:5000" in found["upstreams"][0]
    assert set(collected) == {"upstreams"}


class DockerHub(Handler):
    """A stand-in for Docker Hub as far as its budget is asked for: a token, and a HEAD with it."""

    def do_GET(self):
        self.answer(200, b'{"token": "of-the-hub"}' if self.path.startswith("/token") else b"{}")

    def do_HEAD(self):
        if self.headers.get("Authorization") != "Bearer of-the-hub":
            return self.answer(401)
        budget = {"ratelimit_limit": "100;w=21600", "ratelimit_remaining": "7;w=21600"}
        return self.answer(200, **budget)


HUB = ["auth.docker.io", "registry-1.docker.io", "hub.docker.com"]


def test_type_that_an_upgrade_left_behind_and_the_budget_of_docker_hub(site, me, tmp_path):
    """A proxy of type quay, as an older Harbor allowed it, and a Docker Hub that is nearly spent."""
    registry = {"name": "inner", "type": "docker-registry", "url": "http://registry:5000"}
    for name in ("quay", "hub"):
        assert site.api("POST", "/registries", {**registry, "name": name}) == 201
    numbers = {one["name"]: one["id"] for one in ask(site.host, "GET", "/registries")[1]}
    project = {"project_name": "proxy.quay", "registry_id": numbers["quay"], "metadata": {}}
    assert site.api("POST", "/projects", project) == 201
    change = (
        "UPDATE registry SET type = 'quay', url = 'https://hub.docker.com' WHERE name = 'quay'; "
        "UPDATE registry SET url = 'https://hub.docker.com' WHERE name = 'hub'"
    )
    schedule = {"schedule": {"type": "Custom", "cron": "0 0 3 * * *"}, "parameters": {}}
    assert site.api("POST", "/system/gc/schedule", schedule) == 201

    try:
        site.run(f'docker exec harbor-db psql -U postgres -d registry -c "{change}"')
        with played(site.host, HUB, DockerHub, tmp_path):
            found, code = findings(me)
    finally:
        site.api("DELETE", "/projects/proxy.quay")
        for number in numbers.values():
            site.api("DELETE", f"/registries/{number}")
        site.api("PUT", "/system/gc/schedule", {"schedule": {"type": "None"}, "parameters": {}})

    assert code == 2
    # Harbor itself may look at the registry just then: from its container the name leads nowhere.
    assert set(found) - {"upstreams"} == {"registry types", "Docker Hub budget"}
    assert (
        "registry quay has type quay, which Harbor 2.15.2 does not take"
        in found["registry types"][0]
    )
    assert "pull 7 of 100 more manifests" in found["Docker Hub budget"][0]
    assert findings(me) == ({}, 0)


def test_a_name_that_this_machine_does_not_resolve(site):
    done = site.me.fab("doctor", "--only", "name resolution", expect=2)

    assert f"this machine cannot resolve {HARBOR_NAME}" in done.text


def test_unknown_check(site, me):
    assert "no check `dsk`" in me.fab("doctor", "--only", "dsk", expect=3).text
