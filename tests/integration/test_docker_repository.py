"""Docker's own repository: a stand-in for download.docker.com, real apt, gpg and TLS.

Its packages are Debian's engine under Docker's names; its key takes the place of Docker's in one run.
"""

import base64
import datetime
import functools
import hashlib
import http.server
import io
import subprocess
import sys
import tarfile

import pytest

from lab import machine
from tests.integration.operator import ROOT, SECONDS
from tests.integration.web import Handler, played

PACKAGES = ["containerd.io", "docker-ce", "docker-ce-cli", "docker-compose-plugin"]
# On the host, whose Debian it is: docker-ce is docker.io with another name, the others are empty
# and need what Debian has. Prints the packages and the list of them, as tar in base64.
PACK = r"""
mkdir /root/pool && cd /root/pool
apt-get -qq update
apt-get -qq download docker.io
dpkg-deb -R docker.io_*.deb docker-ce
rm docker.io_*.deb
sed -i 's/^Package:.*/Package: docker-ce/; /^\(Source\|Conflicts\|Breaks\|Replaces\):/d' docker-ce/DEBIAN/control
for one in docker-ce-cli:iptables containerd.io:containerd docker-compose-plugin:docker-compose; do
    mkdir -p "${one%:*}/DEBIAN"
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: lab <lab@example.com>\n' "${one%:*}" \
        > "${one%:*}/DEBIAN/control"
    printf 'Depends: %s\nDescription: a stand-in\n' "${one#*:}" >> "${one%:*}/DEBIAN/control"
done
for tree in */; do
    file=${tree%/}.deb
    dpkg-deb -Zgzip -z1 -b "$tree" "$file" >&2
    rm -r "$tree"
    dpkg-deb -f "$file" >> Packages
    stat --printf 'Filename: pool/%n\nSize: %s\n' "$file" >> Packages
    sha256sum "$file" | sed 's/\(.*\)  .*/SHA256: \1\n/' >> Packages
done
tar -c . | base64
rm -r /root/pool
"""
WITH_KEY = """import sys
from fabric.main import program
from harbor.steps import docker
docker.DOCKER_KEY = sys.argv.pop(1)
sys.exit(program.run())
"""


class Files(Handler, http.server.SimpleHTTPRequestHandler):
    """The files of a folder."""


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


def fill(folder, host, gpg):
    """What apt asks of a repository (wiki.debian.org/DebianRepository/Format)."""
    packed = io.BytesIO(base64.b64decode(host.run(PACK).stdout))
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder / "pool", filter="data")
    listed = (folder / "pool/Packages").read_text()
    index = folder / "dists/bookworm/stable/binary-amd64"
    index.mkdir(parents=True)
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


def test_the_engine_comes_from_dockers_repository_if_its_key_is_dockers(bare, key, tmp_path):
    gpg, fingerprint = key
    host, me = bare("bookworm", docker={"source": "docker"})
    fill(tmp_path / "web/linux/debian", host, gpg)

    files = functools.partial(Files, directory=str(tmp_path / "web"))
    with played(host, ["download.docker.com"], files, tmp_path):
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
    assert sorted(installed) == PACKAGES
    assert me.fab("deploy").changes == []
