"""Clients of both suites before one cache: trust it, use it, prove it, and leave no trace.

The tests share one site and run in the order they stand here; each says what it starts from.
"""

import base64
import datetime
import json
import re
import subprocess
import sys
import time

import pytest

from harbor.certificates import create_authority, issue
from harbor.clients import cut
from lab import HostSpec
from lab.release import archive
from lab.release.upstream import Registry
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import CANARIES, ROOT, ask, operator

UPSTREAM, ORIGIN = "registry.upstream.test", "registry-1.docker.io"
HUB, QUAY, PRIVATE = "docker.mirror.test", "quay.mirror.test", "private.mirror.test"
RUNTIMES = ("docker", "containerd", "podman")
CLIENTS = ("old", "new", "store", "next")
SMALL, BIG = "library/alpine-like:latest", "team/app:1.0"
WATCHED = "/etc /usr/local /root"
# A stand-in: it joins the anchors to the bundle, and does nothing else of what the real one does.
UPDATE_CA_TRUST = """#!/bin/sh
cd /etc/pki/ca-trust && cat source/anchors/* > extracted/pem/tls-ca-bundle.pem
"""
# Every file and folder, its owner, mode and time, and its content; /etc/ssl is made anew by the
# system's own tool, so only its content counts.
STATE = (
    f"find {WATCHED} -xdev -path /etc/ssl -prune -o -printf '%p %y %m %u %g %l\\n' | sort; "
    f"find {WATCHED} -xdev -path /etc/ssl -prune -o -type f -printf '%p %s %T@\\n' | sort; "
    f"find {WATCHED} -xdev -type f -print0 | sort -z | xargs -0 sha256sum"
)
# A container of an image that shares no layer with what is pulled later.
BYSTANDER = f"""id=$(docker create {HUB}/{SMALL}) && docker export $id | docker import - bystander &&
docker rm $id && docker rmi {HUB}/{SMALL} && docker run -d --name bystander bystander sleep 100000"""
ORIGIN_CONFIG = """version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
http: {addr: ":443", tls: {certificate: /etc/origin.crt, key: /etc/origin.key}}
"""


class Site:
    """A cache, an upstream that also plays Docker Hub itself, and its clients."""

    def __init__(self, lab, folder):
        names = (HARBOR_NAME, HUB, QUAY, PRIVATE)
        specs = [
            HostSpec("cache", "trixie", "docker", names),
            HostSpec("upstream", "bookworm", "registry", (UPSTREAM, ORIGIN)),
            HostSpec("old", "bookworm", "clients"),
            HostSpec("new", "trixie", "clients"),
            HostSpec("store", "trixie", "clients"),
            HostSpec("next", "forky", "clients"),  # docker 28, containerd 2, podman 5.8
        ]
        self.cache, self.upstream, *clients = lab.up_all(specs)
        self.clients = dict(zip(CLIENTS, clients, strict=True))
        self.me = operator(folder, lab, "cache", clients=CLIENTS, docker={"source": "present"})
        self.me.values["client"] = {"runtimes": list(RUNTIMES)}
        self.me.set(
            mirrors={
                "docker.io": {"name": HUB, "test_image": SMALL},
                "quay.io": {"name": QUAY, "test_image": BIG},
                "ghcr.io": {"name": PRIVATE, "test_image": SMALL},
            }
        )

    def prepare(self):
        _play_upstream(self.upstream, [*self.clients.values()])
        for name in ("store", "next"):
            _use_the_containerd_store(self.clients[name])
        self.me.fab("deploy")
        url = f"http://{UPSTREAM}:5000"
        registry = {"name": "up", "type": "docker-registry", "url": url}
        ask(self.cache, "POST", "/registries", registry)
        number = ask(self.cache, "GET", "/registries")[1][0]["id"]
        for origin in ("docker.io", "quay.io", "ghcr.io"):
            metadata = {"public": "false" if origin == "ghcr.io" else "true"}
            project = {"project_name": f"proxy.{origin}", "registry_id": number}
            ask(self.cache, "POST", "/projects", {**project, "metadata": metadata})

    def states(self):
        return {name: host.run(STATE).stdout for name, host in self.clients.items()}

    def aside(self, host):
        """Keep a client's daemon.json, with its time, for `put_back`."""
        host.run("cp -a /etc/docker/daemon.json /run/daemon.json")
        return host.read("/etc/docker/daemon.json")

    def put_back(self, host, content):
        host.run("mv -f /run/daemon.json /etc/docker/daemon.json && systemctl reload docker")
        assert host.read("/etc/docker/daemon.json") == content

    def changed_since(self, before):
        """What differs from an earlier `states`, a line each."""
        return {
            f"{name}: {line}"
            for name, state in self.states().items()
            for line in set(state.splitlines()) ^ set(before[name].splitlines())
        }

    def engines(self):
        """The process that each client's docker is, and the containers that run there."""
        look = "systemctl show -P ExecMainPID docker; docker ps --format '{{.Names}}'"
        return {name: host.run(look).stdout for name, host in self.clients.items()}

    def verify(self, *words, only=(), expect=0):
        """`fab verify --json`: its document."""
        chosen = ("-H", ",".join(only)) if only else ()
        done = self.me.fab(*chosen, "verify", "--json", *words, expect=expect)
        return json.loads(done.text[done.text.index('{\n  "hosts"') :])["hosts"]


def _play_upstream(upstream, clients):
    """Content, no login, and the same content by TLS under Docker Hub's own name."""
    now = datetime.datetime.now(datetime.UTC)
    authority = create_authority("origin", now)
    pair = issue(authority, [ORIGIN], now)
    upstream.write("/etc/origin.crt", pair.chain.decode())
    upstream.write("/etc/origin.key", pair.key.reveal())
    upstream.write("/etc/origin.yml", ORIGIN_CONFIG)
    upstream.run(
        "sed -i '/^auth:/,$d' /etc/docker/registry/config.yml; systemctl restart docker-registry; "
        "systemd-run -q --unit=origin docker-registry serve /etc/origin.yml; "
        "until curl -fs localhost:5000/v2/ && curl -fsk https://localhost/v2/; do sleep 0.1; done"
    )
    push = [sys.executable, "-m", "lab.release", "upstream", f"http://{upstream.address}:5000"]
    subprocess.run(push, cwd=ROOT, check=True)
    fresh = archive.layer([archive.Entry("fresh", b"shares no layer with any other image\n")])
    Registry(f"http://{upstream.address}:5000").push_image("library/fresh", "1", [fresh])
    for client in clients:
        # For Docker Hub itself docker reads the system's CAs alone, and no certs.d.
        client.write("/usr/local/share/ca-certificates/origin.crt", authority.chain.decode())
        client.run("update-ca-certificates; systemctl restart docker")


def _use_the_containerd_store(client):
    settings = json.loads(client.read("/etc/docker/daemon.json"))
    settings |= {"features": {"containerd-snapshotter": True}}
    client.write("/etc/docker/daemon.json", json.dumps(settings))
    client.run("systemctl restart docker")


@pytest.fixture(scope="module")
def site(lab, releases, tmp_path_factory):
    made = Site(lab, tmp_path_factory.mktemp("operator"))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def before(site):
    """How every client was at first: nothing of ours anywhere."""
    return site.states()


@pytest.fixture(scope="module")
def trusted(site, before):
    """Every client trusts the cache; their states."""
    site.me.fab("trust-cert")
    return site.states()


@pytest.fixture(scope="module")
def used(site, trusted):
    """Every client uses the cache."""
    site.me.fab("use-cache")
    return site.states()


def test_a_client_that_does_not_trust_the_cache_is_not_sent_to_it(site, before):
    done = site.me.fab("use-cache", expect=9)

    assert "does not trust the cache's certificate yet" in done.text
    assert "ghcr.io: left out, Harbor has no public project proxy.ghcr.io" in done.text
    assert site.changed_since(before) == set()


def test_trust_is_shown_first_and_restarts_nothing(site, before):
    engines = site.engines()

    plan = site.me.fab("trust-cert", "--plan", expect=2)
    assert site.changed_since(before) == set()
    done = site.me.fab("trust-cert")

    assert sorted(done.changes) == sorted(plan.changes)
    assert site.engines() == engines
    assert done.changes.count("system: the system's bundle of certificates is built again") == 3


def test_trusting_again_changes_nothing(site, trusted):
    done = site.me.fab("trust-cert")

    assert done.changes == []
    assert site.changed_since(trusted) == set()


def test_fifty_clients_are_looked_at_side_by_side(site, trusted):
    hosts = {
        f"c{n}": {"role": "client", "ssh": {"address": CLIENTS[n % len(CLIENTS)]}}
        for n in range(50)
    }
    site.me.values["hosts"] |= hosts
    site.me.values["groups"] = {"all": list(hosts)}

    done = site.me.fab("-H", "all", "trust-cert")

    for name in hosts:
        del site.me.values["hosts"][name]
    del site.me.values["groups"]
    assert done.text.count("no changes") == 50
    assert done.seconds < 120


def test_a_foreign_certificate_on_the_port_stops_everything(site, trusted):
    other = create_authority("someone else", datetime.datetime.now(datetime.UTC))
    file = site.me.folder / "other.crt"
    file.write_bytes(other.chain)

    done = site.me.fab("trust-cert", "--ca", str(file), expect=9)

    assert "shows a certificate of another CA" in done.text
    assert site.changed_since(trusted) == set()


def test_using_the_cache_reloads_docker_and_does_not_restart_it(site, trusted):
    for host in site.clients.values():
        host.run(BYSTANDER)
    engines = site.engines()

    done = site.me.fab("use-cache")

    assert site.engines() == engines
    for host in site.clients.values():
        assert f"https://{HUB}/" in host.run("docker info -f '{{.RegistryConfig.Mirrors}}'").stdout
        config_path = host.run("containerd config dump | grep config_path").stdout
        assert "/etc/containerd/certs.d" in config_path
    # docker 28 with the containerd store mirrors quay.io as well.
    assert len(done.changes) == len(CLIENTS) * 7 + 1


def test_using_it_again_changes_nothing(site, used):
    done = site.me.fab("use-cache")

    assert done.changes == []
    assert site.changed_since(used) == set()


def test_every_pull_is_proven_cold_and_warm(site, used):
    hosts = site.verify("--image", "fresh:1")
    again = site.verify()

    pulls = [pull for host in hosts + again for pull in host["details"]["pulls"]]
    assert [pull["cold"]["hit"] for pull in pulls if "cold" in pull] == [False]
    assert all(p["warm"]["through_cache"] and p["warm"]["hit"] for p in pulls)
    assert {pull["runtime"] for pull in pulls} == set(RUNTIMES)
    assert {pull["upstream"] for pull in pulls} == {"docker.io", "quay.io"}


@pytest.mark.parametrize("name", CLIENTS)
def test_plain_names_go_through_the_cache_in_builds_and_over_cri(site, used, name):
    host = site.clients[name]
    host.write("/root/build/Dockerfile", f"FROM {SMALL.removeprefix('library/')}\nRUN true\n")
    if name == "old":
        # As `use-cache` says of this engine: its BuildKit has the mirrors that it started with.
        host.run("systemctl restart docker && docker start bystander")
    log, repository = "/var/log/harbor/proxy.log", SMALL.partition(":")[0]

    for pull in (
        "cd /root/build && DOCKER_CONFIG=/run/docker-config DOCKER_BUILDKIT=1 docker build --no-cache -q .",
        _cri_pull(f"docker.io/{SMALL}"),
    ):
        offset = int(site.cache.run(f"stat -c %s {log}").stdout)
        host.run(pull)
        since = site.cache.run(f"sleep 1; tail -c +{offset + 1} {log}").stdout
        assert re.search(f"(GET|HEAD) /v2/proxy.docker.io/{repository}/manifests/", since), since
    host.run(
        "export DOCKER_CONFIG=/run/docker-config; docker builder prune -af; docker image prune -f; "
        "ctr -n k8s.io images ls -q | xargs ctr -n k8s.io images rm --sync; "
        "rm -r /root/build /run/docker-config"
    )


def _cri_pull(image):
    """What the kubelet asks: PullImageRequest{image: ImageSpec{image}}, as gRPC frames it."""
    spec = image.encode()
    inner = bytes([0x0A, len(spec)]) + spec
    message = bytes([0x0A, len(inner)]) + inner
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    written = "".join(f"\\x{byte:02x}" for byte in frame)
    return (
        f"printf '{written}' | curl -sS --http2-prior-knowledge -D - -o /dev/null "
        "--unix-socket /run/containerd/containerd.sock --data-binary @- "
        "-H 'content-type: application/grpc' -H 'te: trailers' "
        "http://localhost/runtime.v1.ImageService/PullImage | tee /dev/stderr "
        "| grep -qi 'grpc-status: 0'"
    )


TRAVERSALS = (
    "/",
    "/api/v2.0/projects",
    "/v2/..%2f..%2fapi%2fv2.0%2fprojects",
    "/v2/../api/v2.0/projects",
    "/v2/..%2fproxy.ghcr.io/library/busybox/manifests/1.36",
    "/v2/../proxy.ghcr.io/library/busybox/manifests/1.36",
    "/v2/x/..%2f..%2fproxy.ghcr.io/library/busybox/manifests/1.36",
    "/v2/library/busybox/manifests/..%2f..%2fblobs",
    "/v2/_catalog",
    "/v2/library/busybox/manifests/1.36/",
    "/v2/library/busybox/manifests/%2e%2e",
    "/v2/;/library/busybox/manifests/1.36",
    "/service/token",
)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_nothing_but_one_upstream_is_reached_under_a_mirror_name(site, trusted, path):
    ask = f"curl -s --path-as-is -o /dev/null -w '%{{http_code}}' --cacert /etc/docker/certs.d/{HUB}/ca.crt"

    assert site.clients["new"].run(f"{ask} 'https://{HUB}{path}'").stdout == "404"


def test_doubled_slashes_are_one_and_stay_within_the_upstream(site, trusted):
    """Traefik's sanitizePath, on unless turned off, cleans the path before any rule sees it."""
    ask = f"curl -s --path-as-is -o /dev/null -w '%{{http_code}}' --cacert /etc/docker/certs.d/{HUB}/ca.crt"

    inside = site.clients["new"].run(f"{ask} 'https://{HUB}/v2/library//busybox/manifests/1.36'")
    outside = site.clients["new"].run(f"{ask} 'https://{HUB}/v2//..//api/v2.0/projects'")

    assert (inside.stdout, outside.stdout) == ("200", "404")


def test_a_private_project_shows_nothing_even_to_those_who_may_read_it(site, trusted):
    ca = f"--cacert /etc/docker/certs.d/{HUB}/ca.crt"
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' {ca} -K-"
    login = f'user = "admin:{CANARIES["HARBOR_ADMIN_PASSWORD"]}"\n'
    address = f"https://{PRIVATE}/v2/library/busybox"

    def status(what, stdin):
        return site.clients["new"].run(f"{ask} {what}", stdin=stdin).stdout

    assert status(f"{address}/manifests/1.36", "") == "401"
    assert status(f"{address}/manifests/1.36", login) == "401"
    assert status(f"{address}/tags/list", login) == "401"
    assert status(f"-X POST {address}/blobs/uploads/", login) == "404"


def test_a_pull_works_with_the_upstream_cut_off(site, used):
    site.cache.run(cut.cut())
    try:
        curl = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/v2/proxy.quay.io"
        uncached = f"{curl}/library/busybox/manifests/1.36 -H 'Authorization: anonymous'"
        assert site.cache.run(uncached).stdout != "200"
    finally:
        site.cache.run(cut.mend())
    wait_until_harbor_has_looked_again(site)

    # It looks every second now: surely during the next cut as well.
    site.cache.run("install -d -o 10000 -g 10000 /data/stand-in")
    site.cache.write("/data/stand-in/settings.json", json.dumps({"registry_check": 1}))
    hosts = site.verify("--cut", only=["old"])
    status = {one["status"] for one in ask(site.cache, "GET", "/registries")[1]}

    assert all(pull["cut off"]["hit"] for pull in hosts[0]["details"]["pulls"])
    assert "harbor-cache-cut" not in site.cache.run("systemctl list-timers --all").stdout
    assert "REJECT" not in site.cache.run("iptables -S DOCKER-USER").stdout
    assert status == {"healthy"}


def wait_until_harbor_has_looked_again(site):
    """Had it looked at its upstream during a cut, it has only what it has until then."""
    deadline = time.monotonic() + 60
    while any(one["status"] != "healthy" for one in ask(site.cache, "GET", "/registries")[1]):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_silent_fall_back_to_the_origin_is_found(site, used):
    new = site.clients["new"]
    ours = site.aside(new)
    aside = json.loads(ours) | {"registry-mirrors": []}
    new.write("/etc/docker/daemon.json", json.dumps(aside))
    new.run("systemctl reload docker")

    try:
        hosts = site.verify("--image", "busybox:1.36", only=["new"], expect=7)
    finally:
        site.put_back(new, ours)

    errors = {host["host"]: host["error"] for host in hosts}
    assert "it came from the origin" in errors["new"]


def test_unuse_restores_every_byte(site, trusted, used):
    site.me.fab("unuse-cache")

    assert site.changed_since(trusted) == set()
    for host in site.clients.values():
        assert host.run("docker info -f '{{len .RegistryConfig.Mirrors}}'").stdout == "0\n"
    assert site.me.fab("unuse-cache").changes == []


def test_what_fails_is_undone_and_the_others_go_on(site, trusted):
    site.clients["new"].run(
        "cp -a /etc/hosts /run/hosts; "
        f"sed 's/ {HUB}//' /etc/hosts > /run/h; echo 127.0.0.1 {HUB} >> /run/h; cat /run/h > /etc/hosts"
    )
    broken = site.clients["new"].run(STATE).stdout

    done = site.me.fab("use-cache", expect=6)

    assert site.clients["new"].run(STATE).stdout == broken
    assert "undone: the files are as they were before this run" in done.text
    assert f"https://{HUB}" in site.clients["old"].read("/etc/docker/daemon.json")
    site.clients["new"].run("cat /run/hosts > /etc/hosts; touch -r /run/hosts /etc/hosts")
    site.me.fab("unuse-cache")


def test_a_reload_that_docker_refuses_is_noticed_and_undone(site, trusted):
    old = site.clients["old"]
    ours = site.aside(old)
    bad = json.loads(ours) | {"registry-mirrors": ["https://other.example/with/path"]}
    old.write("/etc/docker/daemon.json", json.dumps(bad))
    before = old.read("/etc/docker/daemon.json")

    done = site.me.fab("-H", "old", "use-cache", expect=6)

    assert "docker kept its old mirrors: the reload was refused" in done.text
    assert old.read("/etc/docker/daemon.json") == before
    site.put_back(old, ours)
    site.me.fab("unuse-cache")


def test_without_mirror_names_each_runtime_gets_what_works_for_it(site, trusted):
    mirrors = site.me.values["harbor"]["mirrors"]
    site.me.set(
        mirrors={k: {"test_image": v["test_image"]} for k, v in mirrors.items() if k != "ghcr.io"}
    )

    # Without live-restore a restart would stop this one.
    site.clients["store"].run(f"docker start bystander 2>/dev/null || {{ {BYSTANDER}; }}")

    careful = site.me.fab("trust-cert")
    site.me.fab("trust-cert", "--restart", "always")
    assert "error: docker 20.10" in site.me.fab("use-cache", "--plan", expect=9).text
    done = site.me.fab("use-cache", expect=9)
    hosts = site.verify(expect=7)

    site.me.fab("unuse-cache")
    site.me.set(mirrors=mirrors)
    site.me.fab("trust-cert")
    assert (
        "old error: docker 20.10 (classic image store): a mirror with a path is rejected"
        in done.text
    )
    assert "new error: docker 26.1 (classic image store)" in done.text
    assert f'"https://{HARBOR_NAME}/proxy.docker.io"' not in done.text
    assert "docker has to be restarted once and was not: 1 containers run" in careful.text
    store = next(host for host in hosts if host["host"] == "store")
    assert store["code"] == 0, store["error"]


def test_a_login_has_a_robot_of_its_own_and_may_only_pull(site, trusted):
    old = site.clients["old"]
    # Somebody else's, whose name ends as ours does.
    pull = {
        "kind": "system",
        "namespace": "/",
        "access": [{"resource": "project", "action": "list"}],
    }
    foreign = {"name": "ci-client-old", "level": "system", "duration": -1, "permissions": [pull]}
    assert ask(site.cache, "POST", "/robots", foreign)[0] == 201

    done = site.me.fab("-H", "old", "trust-cert", "--login")
    again = site.me.fab("-H", "old", "trust-cert", "--login")

    kept = json.loads(old.read("/root/.docker/config.json"))["auths"][HARBOR_NAME]["auth"]
    user, _, password = base64.b64decode(kept).decode().partition(":")
    assert user == "robot$client-old"
    assert password not in done.text
    assert "the password lies unencrypted" in done.text
    assert again.changes == []
    image = f"{HARBOR_NAME}/proxy.docker.io/{SMALL}"
    old.run(f"docker pull -q {image} && docker tag {image} {HARBOR_NAME}/library/x:1")
    assert old.run(f"docker push -q {HARBOR_NAME}/library/x:1", check=False).returncode != 0
    old.run(f"docker rmi {image} {HARBOR_NAME}/library/x:1")
    assert robots(site) == ["robot$ci-client-old", "robot$client-old"]


def robots(site):
    return sorted(robot["name"] for robot in ask(site.cache, "GET", "/robots")[1])


def test_untrust_takes_out_exactly_what_was_put_in(site, before, trusted):
    site.me.fab("use-cache", "--no-test")
    refused = site.me.fab("untrust-cert", expect=9)
    site.me.fab("unuse-cache")

    site.me.fab("untrust-cert")

    assert "use-cache is in effect here" in refused.text
    assert robots(site) == ["robot$ci-client-old"]
    assert site.changed_since(before) == set()
    for host in site.clients.values():
        assert host.run("ls /var/lib/harbor-cache").stdout.split() == ["apply.lock", "lock"]


def test_the_system_store_of_the_red_hat_family(site, before):
    """On a host that has it in place of Debian's, with a certificate of somebody else's in it."""
    new, anchors = site.clients["new"], "/etc/pki/ca-trust/source/anchors"
    bundle = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    new.write("/usr/local/bin/update-ca-trust", UPDATE_CA_TRUST, mode="0755")
    new.run(
        "mv /usr/sbin/update-ca-certificates /root/; "
        f"install -D -m 644 /usr/local/share/ca-certificates/origin.crt {anchors}/other.crt; "
        f"install -D -m 644 {anchors}/other.crt {bundle}"
    )
    system = new.run(STATE).stdout

    site.me.fab("-H", "new", "trust-cert")
    trusted = new.read(bundle)
    again = site.me.fab("-H", "new", "trust-cert")
    new.run(f"openssl verify -CAfile {bundle} {anchors}/harbor-cache-*.crt")
    site.me.fab("-H", "new", "untrust-cert")

    assert trusted.count("BEGIN CERTIFICATE") == 2
    assert again.changes == []
    assert without_times(new.run(STATE).stdout) == without_times(system)
    new.run(
        "mv /root/update-ca-certificates /usr/sbin/; rm -r /etc/pki /usr/local/bin/update-ca-trust"
    )


def without_times(state):
    """The bundle was built anew: only its content counts."""
    return [line for line in state.splitlines() if "tls-ca-bundle.pem" not in line or "  /" in line]
