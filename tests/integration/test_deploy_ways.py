"""The other ways to deploy: where the release comes from, who ends TLS, upgrades, several hosts.

The tests of one host run in the order they stand here, each from what the one before left.
"""

import functools
import hashlib
import re
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509

from harbor.certificates import create_authority, issue
from lab import HostSpec, network
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import CANARIES, ask, operator

SUDO_PASSWORD = "lab-sudo-password"
TARBALL = "harbor-offline-installer-v2.15.2.tgz"
DOWNLOADS = "/var/lib/harbor-cache/downloads"


class Web(ThreadingHTTPServer):
    """A web server that can answer ranges, drop a connection midway, and remembers its requests."""

    def __init__(self):
        super().__init__(("0.0.0.0", 0), Answer)
        self.content, self.asked, self.cut = {}, [], False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def ranges(self):
        """The range of each GET so far, empty for a whole file."""
        return [wanted for method, _, wanted in self.asked if method == "GET"]


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *words):
        """Nothing: the test keeps the requests itself."""

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.command, self.path, wanted))
        content = self.server.content.get(self.path.rpartition("/")[2])
        if content is None:
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_body:
            end = len(content) // 2 if self.server.cut else len(content)
            self.server.cut = False
            self.wfile.write(content[start:end])
        return None


@pytest.fixture(scope="module")
def site(lab, releases, tmp_path_factory):
    return Site(lab, releases, tmp_path_factory.mktemp("ways"))


class Site:
    """One host with Docker and nothing else, a client, and a web server with the releases."""

    def __init__(self, lab, releases, folder):
        self.host, self.client = lab.up_all(
            [
                HostSpec("ways", "bookworm", "docker", (HARBOR_NAME,)),
                HostSpec("asks", "trixie", "docker"),
            ]
        )
        self.web = Web()
        self.whole = (releases / TARBALL).read_bytes()
        self.sha256 = hashlib.sha256(self.whole).hexdigest()
        self.folder = folder
        self.me = operator(folder, lab, "ways")
        address = network.gateway(self.host.tag)
        self.url = (
            f"http://{address}:{self.web.server_port}/harbor-offline-installer-v{{version}}.tgz"
        )
        self.fab = functools.partial(self.me.fab, HOME=str(folder))

    @property
    def cached(self):
        """What lies in the operator's cache of releases."""
        return sorted(path.name for path in (self.folder / ".cache/harbor-cache").glob("*"))

    def publish(self, content):
        self.web.content[TARBALL] = content
        self.web.asked.clear()

    def downloads(self):
        return self.host.run(f"ls -A {DOWNLOADS}", check=False).stdout.split()

    def forget_release(self):
        self.host.run("rm /opt/harbor/prepare")

    def served(self):
        """The certificate that clients are shown."""
        return x509.load_pem_x509_certificate(
            ssl.get_server_certificate((self.host.address, 443), timeout=5).encode()
        )

    def answers(self, ca):
        """Whether a client on another host, which trusts `ca` alone, reads by name that all is well."""
        self.client.write("/root/ca.crt", ca)
        ask = f"curl -sS --cacert /root/ca.crt https://{HARBOR_NAME}/api/v2.0/health"
        said = self.client.run(ask).stdout
        return re.search(r'^\{"status": ?"healthy"', said) is not None


def test_a_bare_host_is_said_to_be_one(site):
    for task in ("doctor", "start"):
        assert "Harbor is not installed here" in site.fab(task, expect=9).text


@pytest.mark.parametrize("fetch", ["host", "operator"])
@pytest.mark.parametrize("what", ["altered", "truncated"])
def test_a_wrong_tarball_is_refused_and_nothing_stays(site, fetch, what):
    altered = bytearray(site.whole)
    altered[len(altered) // 2] ^= 1
    site.publish(bytes(altered) if what == "altered" else site.whole[:-1000])
    site.me.set(release={"fetch": fetch, "url": site.url, "sha256": site.sha256})

    done = site.fab("deploy", expect=9)

    assert "sha256" in done.text
    assert site.downloads() == []
    assert site.cached == []
    assert site.host.run("ls -A /opt/harbor | grep -v traefik", check=False).stdout == ""


def test_a_wrong_md5_is_refused(site):
    site.publish(site.whole)
    site.web.content["md5sum"] = f"{'0' * 32}  {TARBALL}\n".encode()
    site.me.set(release={"fetch": "operator", "url": site.url, "verify": "md5"})

    assert "the release lists" in site.fab("deploy", expect=9).text
    assert site.cached == site.downloads() == []


def test_a_signature_of_another_key_is_refused(site, releases):
    name = TARBALL.replace("2.15.2", "2.11.2")
    gpg = ["gpg", "--homedir", str(site.folder), "--batch", "--quiet"]
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    who = ["--passphrase", "", "--quick-generate-key", "somebody@example.com"]
    run([*gpg, *who])
    (site.folder / "key.asc").write_bytes(run([*gpg, "--armor", "--export"]).stdout)
    signed = run([*gpg, "--armor", "--detach-sign", "-o", "-", str(releases / name)]).stdout
    site.web.content |= {name: (releases / name).read_bytes(), f"{name}.asc": signed}
    release = {"fetch": "operator", "url": site.url, "verify": "gpg", "gpg_key": "key.asc"}
    site.me.set(version="2.11.2", release=release)

    assert "not signed by Harbor's key" in site.fab("deploy", expect=9).text
    assert site.cached == site.downloads() == []


def test_too_little_disk_is_refused_before_anything_is_fetched(site):
    site.publish(site.whole)
    small = dict(site.me.values["harbor"]["requirements"])
    site.me.set(
        version="2.15.2",
        release={"url": site.url, "sha256": site.sha256},
        requirements={**small, "free_disk": "900T"},
    )

    done = site.fab("deploy", expect=9)
    site.me.set(requirements=small)

    assert "free disk: found" in done.text
    assert site.web.asked == []


def test_the_host_goes_on_where_a_cut_download_stopped(site):
    site.publish(site.whole)
    site.web.cut = True

    site.fab("deploy", expect=6)
    there = site.host.run(f"stat -c %s {DOWNLOADS}/{TARBALL}").stdout.strip()
    site.fab("deploy")

    assert site.web.ranges() == ["", f"bytes={there}-"]
    assert site.downloads() == []
    assert site.fab("plan").changes == []


def test_the_operators_machine_goes_on_as_well_and_keeps_what_it_has(site):
    site.publish(site.whole)
    site.web.cut = True
    site.forget_release()
    site.me.set(release={"fetch": "operator", "url": site.url, "sha256": site.sha256})

    site.fab("deploy", expect=4)
    cut = site.cached
    site.fab("deploy")

    assert cut == [f"{TARBALL}.part"]
    assert site.cached == [TARBALL]
    assert site.web.ranges()[0] == ""
    assert site.web.ranges()[1].startswith("bytes=")


def test_the_cache_is_used_again_and_the_md5_list_verifies_it(site):
    site.publish(site.whole)
    found = hashlib.md5(site.whole, usedforsecurity=False).hexdigest()
    site.web.content["md5sum"] = f"{found}  {TARBALL}\n".encode()
    site.forget_release()
    site.me.set(release={"fetch": "operator", "url": site.url, "verify": "md5"})

    done = site.fab("deploy")

    assert [path for _, path, _ in site.web.asked] == ["/md5sum"]
    assert f"release.sha256: {site.sha256}" in done.text


def test_a_host_that_is_converged_and_not_healthy_is_said_by_plan(site):
    site.host.run("docker kill -s STOP registry")  # it runs, and answers nobody
    ask = "curl -s --max-time 20 http://127.0.0.1:8080/api/v2.0/health"
    deadline = time.monotonic() + 60
    while not re.search(r'^\{"status": ?"unhealthy"', site.host.run(ask, check=False).stdout):
        assert time.monotonic() < deadline

    done = site.fab("plan", expect=8)
    site.host.run("docker kill -s CONT registry")

    assert done.changes == []
    assert "no changes, but not healthy: registry" in done.text
    site.fab("deploy")


def test_a_paused_container_runs_again(site):
    site.host.run("docker pause harbor-core")

    plan = site.fab("plan", expect=2)
    site.fab("deploy")

    assert plan.changes == ["stack: not running: core"]
    assert site.fab("plan").changes == []


def test_traefik_without_the_engines_socket_and_back(site):
    ca = (site.folder / "ca/ca.crt").read_text()
    traefik = site.me.values["harbor"]["traefik"]
    mounts = "docker inspect traefik --format '{{json .HostConfig.Binds}}'"
    site.me.set(traefik={**traefik, "provider": "file"})

    site.fab("deploy")
    again = site.fab("deploy")

    assert again.changes == []
    assert "docker.sock" not in site.host.run(mounts).stdout
    assert site.answers(ca)
    site.me.set(traefik=traefik)
    site.fab("deploy")
    assert "docker.sock" in site.host.run(mounts).stdout
    assert site.answers(ca)
    assert site.fab("plan").changes == []


@pytest.fixture(scope="module")
def given(site):
    """Write a pair for the host's name, of one CA, and return its leaf: another at every call."""
    from tests.unit.builders import NOW

    now = max(NOW, NOW.now(NOW.tzinfo))
    authority = create_authority("given CA", now)
    (site.folder / "given-ca.pem").write_bytes(authority.chain)

    def make():
        pair = issue(authority, [HARBOR_NAME], now)
        (site.folder / "given.pem").write_bytes(pair.chain)
        (site.folder / "given.key").write_text(pair.key.reveal())
        return x509.load_pem_x509_certificate(pair.chain)

    return make


@pytest.mark.parametrize("ends_at", ["traefik", "harbor"])
def test_given_files_are_served_and_changed_ones_after_the_next_deploy(site, given, ends_at):
    first = given()
    files = {"certificate": "given.pem", "key": "given.key", "ca": "given-ca.pem"}
    site.me.set(tls={"mode": "files", "ends_at": ends_at, **files})
    site.fab("deploy")
    assert site.answers((site.folder / "given-ca.pem").read_text())
    assert is_served(site, first)
    assert site.fab("deploy").changes == []

    second = given()
    plan = site.fab("plan", expect=2)
    site.fab("deploy")

    assert {change.split(":")[0] for change in plan.changes} <= {"tls", "config", "store copy"}
    runs_prepare = any("run prepare: its inputs changed" in change for change in plan.changes)
    assert runs_prepare == (ends_at == "harbor")
    assert is_served(site, second)
    assert site.fab("plan").changes == []
    names = site.host.run("docker ps --format '{{.Names}}'").stdout.split()
    assert ("traefik" in names) == (ends_at == "traefik")


def is_served(site, certificate):
    """Whether clients are shown it, within the seconds that a server needs to notice."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if site.served() == certificate:
            return True
        time.sleep(0.5)
    return False


def test_files_that_do_not_belong_together_are_refused_untouched(site, given):
    given()
    key = (site.folder / "given.key").read_text()
    given()
    (site.folder / "given.key").write_text(key)

    before = site.host.run("find /opt/harbor /data/certificates -printf '%p %T@\\n' | sort").stdout

    done = site.fab("deploy", expect=3)

    assert "does not belong to" in done.text
    after = site.host.run("find /opt/harbor /data/certificates -printf '%p %T@\\n' | sort").stdout
    assert after == before


class Pair:
    """Two Harbor hosts of different releases; one of them lets in a user whose sudo asks."""

    def __init__(self, lab, folder):
        self.hosts = lab.up_all(
            [HostSpec("old", "trixie", "docker"), HostSpec("recent", "bookworm", "docker")]
        )
        self.me = operator(folder, lab, "old", "recent", configure=False)
        self.me.values["hosts"]["recent"]["ssh"] = {"user": "careful"}
        self.me.secrets = dict(CANARIES)
        self.release("2.14.4", "2.15.1")

    def release(self, *versions):
        from tests.integration.operator import RELEASES

        for name, version in zip(("old", "recent"), versions, strict=True):
            file = str(RELEASES / f"harbor-offline-installer-v{version}.tgz")
            own = {"version": version, "release": {"file": file}}
            self.me.values["hosts"][name]["harbor"] = own

    def fab(self, *words, expect=0):
        return self.me.fab(
            "-H", "old,recent", *words, expect=expect, FABRIC_SUDO_PASSWORD=SUDO_PASSWORD
        )


@pytest.fixture(scope="module")
def pair(lab, releases, tmp_path_factory):
    return Pair(lab, tmp_path_factory.mktemp("pair"))


def test_two_hosts_in_one_command_one_with_a_sudo_password(pair):
    done = pair.fab("deploy")

    own = [line for line in done.text.splitlines() if line.startswith(("old +", "recent +"))]
    assert [line.split()[0] for line in own] == sorted(line.split()[0] for line in own)
    assert SUDO_PASSWORD not in done.text
    assert pair.fab("plan").changes == []
    for host in pair.hosts:
        assert ask(host, "POST", "/projects", {"project_name": "kept"})[0] == 201


def test_an_upgrade_keeps_the_data_and_a_copy_of_the_old_database(pair):
    pair.release("2.15.2", "2.15.2")

    plan = pair.fab("plan", expect=2)
    pair.fab("deploy")

    for host, old in zip(pair.hosts, ("2.14.4", "2.15.1"), strict=True):
        assert f"release: copy of the database of v{old} before the upgrade" in plan.changes
        assert [one["name"] for one in ask(host, "GET", "/projects?q=name%3Dkept")[1]] == ["kept"]
        assert ask(host, "GET", "/users/current")[0] == 200
        copy = f"cat /data/backup/database-v{old}/pg*/PG_VERSION"
        assert host.run(copy).stdout.strip() == "15"
        assert ask(host, "GET", "/systeminfo")[1]["harbor_version"].startswith("v2.15.2")
    assert pair.fab("plan").changes == []


def test_a_release_that_harbor_cannot_go_to_is_refused_and_nothing_touched(pair):
    state = "find /opt/harbor /data/secret -printf '%p %T@\\n' | sort; docker ps -q --no-trunc"
    before = [host.run(state).stdout for host in pair.hosts]
    pair.release("2.14.4", "2.15.1")

    done = pair.fab("deploy", expect=9)

    assert "Harbor cannot go back to 2.14.4" in done.text
    assert [host.run(state).stdout for host in pair.hosts] == before


def test_the_coming_debian_with_engine_28(bare):
    host, me = bare("forky")

    me.fab("deploy")

    assert host.run("docker version -f '{{.Server.Version}}'").stdout.startswith("28.")
    assert me.fab("deploy").changes == []
    found = me.fab("doctor", expect=None).text
    assert "0 errors" in found or "nothing found" in found, found
