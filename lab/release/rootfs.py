"""The root file system that every image of the stand-in shares.

Built once with mmdebstrap from Debian's packages and kept in the cache by its content, already
in the form of the first gzip member of a docker-archive (see archive.py), so that building
another version of the release copies bytes instead of compressing them again.
"""

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import debian, locks, machine, paths
from lab.release import archive

BUILD_SECONDS = 900
SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "docker-registry",
    "logrotate",
    "nginx-light",
    "openssl",
    "postgresql-15",
    "python3",
    "python3-bcrypt",
    "python3-cryptography",
    "python3-jinja2",
    "python3-psycopg2",
    "python3-ruamel.yaml",
    "redis-server",
    "rsyslog",
)
EXCLUDED = ("man/*", "doc/*", "locale/*", "info/*", "i18n/*", "lintian/*", "bash-completion/*")
# $1 is the new root.  The numbers are the ones that Harbor's images use: 10000 and 999.
# mmdebstrap's own clean-up is skipped because it needs the package databases that go here.
# redis-server is a link to redis-check-rdb.  LLVM serves PostgreSQL's JIT compiler and perl its cluster wrappers; neither is used here.
SETUP = r"""set -eu
cd "$1"
sed -i -E 's/^(postgres:x:)[0-9]+:[0-9]+/\1999:999/' etc/passwd
sed -i -E 's/^(postgres:x:)[0-9]+/\1999/' etc/group
echo 'harbor:x:10000:10000:harbor:/home/harbor:/bin/bash' >> etc/passwd
echo 'harbor:x:10000:' >> etc/group
chroot . update-ca-certificates > /dev/null 2>&1
lib=usr/lib/x86_64-linux-gnu
rm -rf $lib/libLLVM* $lib/libz3* $lib/libperl* $lib/perl $lib/perl-base $lib/gconv \
    usr/lib/postgresql/15/lib/bitcode usr/lib/postgresql/15/lib/llvmjit* \
    usr/share/perl usr/share/perl5 usr/bin/perl* usr/share/i18n usr/bin/redis-check-aof \
    usr/bin/redis-benchmark usr/lib/apt usr/lib/dpkg usr/bin/apt* usr/bin/dpkg* \
    usr/share/nginx usr/share/common-licenses/* \
    var/lib/apt/* var/lib/dpkg var/cache/* var/log/* var/lib/postgresql/* var/lib/redis/* \
    etc/rsyslog.conf etc/rsyslog.d/* etc/logrotate.d/* etc/docker etc/apt etc/cron.* etc/init.d
install -d -m 0755 -o 999 -g 999 var/lib/postgresql/data run/postgresql var/lib/redis
install -d -m 0755 -o 10000 -g 10000 home/harbor storage var/cache/nginx var/log/nginx \
    var/log/jobs var/log/docker etc/core harbor_cust_cert etc/registry etc/registryctl \
    etc/jobservice
rm -rf run/nologin run/lock tmp/* etc/resolv.conf etc/hostname usr/sbin/policy-rc.d
"""


@dataclass(frozen=True)
class Base:
    """The built root file system: its layer's digest, and the file with its gzip member."""

    diff_id: str
    member: Path


def ensure() -> Base:
    """The root file system from the cache, built first if it is not there."""
    folder = paths.cache() / "release" / f"rootfs-{_key()}"
    if not folder.exists():
        with locks.hold(folder.with_suffix(".lock"), BUILD_SECONDS):
            if not folder.exists():
                _build(folder)
    about = json.loads((folder / "about.json").read_text())
    return Base(about["diff_id"], folder / "member.gz")


def _key() -> str:
    text = json.dumps([SUITE, PACKAGES, EXCLUDED, SETUP, archive.FORMAT])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(folder: Path) -> None:
    machine.say("building the stand-in's root file system, once (about 90 s)")
    machine.install_missing()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        layer = Path(scratch) / "layer.tar"
        _bootstrap(layer, Path(scratch) / "setup.sh")
        diff_id = archive.write_layer_member(layer, new / "member.gz")
        about = asdict(Base(diff_id, Path("member.gz"))) | {"member": "member.gz"}
        (new / "about.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    machine.say(f"built the root file system in {time.monotonic() - start:.0f} s")


def _bootstrap(layer: Path, setup: Path) -> None:
    setup.write_text(SETUP)
    options = [f"--dpkgopt=path-exclude=/usr/share/{pattern}" for pattern in EXCLUDED]
    debian.bootstrap(
        SUITE,
        layer,
        PACKAGES,
        "--format=tar",
        '--aptopt=Apt::Install-Recommends "false"',
        "--skip=output/dev,cleanup",
        *options,
        f'--customize-hook=sh "{setup}" "$1"',
        seconds=BUILD_SECONDS,
    )
