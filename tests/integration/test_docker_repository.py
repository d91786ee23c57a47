"""Docker's own repository: a stand-in for download.docker.com, real apt, gpg and TLS.

Its packages are Debian's engine under Docker's names; its key takes the place of Docker's in one run.
"""

import contextlib
import datetime
import functools
import hashlib
import http.server
import ssl
import subprocess
import sys
import threading

import pytest

from harbor.certificates import create_authority, issue
from lab import machine, network
from tests.integration.operator import ROOT, SECONDS

NAME = "download.docker.com"
# Each with what it needs of Debian; docker-ce is Debian's docker.io, with another name.
EMPTY = {
    "docker-ce-cli": "iptables",
    "containerd.io": "containerd",
    "docker-compose-plugin": "docker-compose",
}
PACKAGES = {"docker-ce", *EMPTY}
CONTROL = """Package: {name}
Version: 1
Architecture: all
Maintainer: the lab <lab@example.com>
Depends: {needs}
Description: a stand-in
"""
RENAME = """
cd "$(dirname "$1")"
apt-get -qq update
apt-get -qq download docker.io
dpkg-deb -R docker.io_*.deb "$1"
sed -i 's/^Package:.*/Package: docker-ce/; /^Source:/d; /^Conflicts:/d; /^Breaks:/d; /^Replaces:/d' "$1/DEBIAN/control"
"""
WITH_KEY = """import sys
from fabric.main import program
from harbor.steps import docker
docker.DOCKER_KEY = sys.argv.pop(1)
sys.exit(program.run())
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def key(tmp_path):
    """gpg with a key of its own: what runs it, and the fingerprint."""
    machine.prepare()  # gpg is not everywhere
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]

    def run(*words, stdin=b""):
        return subprocess.run([*gpg, *words], check=True, capture_output=True, input=stdin).stdout

    run("--quick-generate-key", "lab@example.com", "rsa2048")
    listed = run("--list-keys", "--with-colons").decode().splitlines()
    yield run, next(line.split(":")[9] for line in listed if line.startswith("fpr"))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def fill(folder, gpg):
    """What apt asks of a repository (wiki.debian.org/DebianRepository/Format)."""
    index, pool = folder / "dists/bookworm/stable/binary-amd64", folder / "pool"
    for made in (index, pool):
        made.mkdir(parents=True)
    trees = folder / "trees"
    for name, needs in EMPTY.items():
        (trees / name / "DEBIAN").mkdir(parents=True)
        (trees / name / "DEBIAN/control").write_text(CONTROL.format(name=name, needs=needs))
    subprocess.run(["sh", "-euc", RENAME, "rename", trees / "docker-ce"], check=True)
    listed = ""
    for name in PACKAGES:
        package = pool / f"{name}.deb"
        build = ["dpkg-deb", "-Znone", "-b", trees / name, package]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        shown = subprocess.run(
            ["dpkg-deb", "-f", package], check=True, capture_output=True, text=True
        )
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        size = package.stat().st_size
        listed += f"{shown.stdout}Filename: pool/{name}.deb\nSize: {size}\nSHA256: {digest}\n\n"
    (index / "Packages").write_text(listed)
    now = datetime.datetime.now(datetime.UTC)
    release = (
        f"Suite: bookworm\nCodename: bookworm\nComponents: stable\nArchitectures: amd64\n"
        f"Date: {now:%a, %d %b %Y %H:%M:%S} UTC\nSHA256:\n"
        f" {hashlib.sha256(listed.encode()).hexdigest()} {len(listed)} stable/binary-amd64/Packages\n"
    )
    signed = gpg("--clearsign", "-o", "-", stdin=release.encode())
    (folder / "dists/bookworm/InRelease").write_bytes(signed)
    (folder / "gpg").write_bytes(gpg("--armor", "--export"))


@contextlib.contextmanager
def download_docker_com(host, folder, tmp_path):
    """That name leads the host to this machine, whose certificate it trusts."""
    now = datetime.datetime.now(datetime.UTC)
    authority = create_authority("download", now)
    pair = issue(authority, [NAME], now)
    (tmp_path / "pair.pem").write_bytes(pair.chain + pair.key.reveal().encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    address = network.gateway(host.tag)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 443), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host.write("/usr/local/share/ca-certificates/lab.crt", authority.chain.decode())
        host.run(f"update-ca-certificates; echo {address} {NAME} >> /etc/hosts")
        yield
        server.shutdown()


def test_the_engine_comes_from_dockers_repository_if_its_key_is_dockers(bare, key, tmp_path):
    gpg, fingerprint = key
    host, me = bare("bookworm", docker={"source": "docker"})
    fill(tmp_path / "web/linux/debian", gpg)

    with download_docker_com(host, tmp_path / "web", tmp_path):
        refused = me.fab("deploy", expect=6)
        there = host.run("ls /etc/apt/sources.list.d /usr/bin/docker", check=False).stdout
        done = subprocess.run(
            [sys.executable, "-c", WITH_KEY, fingerprint, "deploy"],
            cwd=ROOT, env=me.environment(), stdin=subprocess.DEVNULL, check=False,
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip

    assert "is not the key 9DC858229FC7DD38854AE2D88D81803C0EBFCD88: not trusted" in refused.text
    assert "docker" not in there
    assert done.returncode == 0, done.stdout + done.stderr
    installed = host.run(f"dpkg-query -W -f '${{Package}} ' {' '.join(PACKAGES)}").stdout.split()
    assert sorted(installed) == sorted(PACKAGES)
    assert me.fab("deploy").changes == []
