"""A Harbor whose database, Redis and blobs are elsewhere: real PostgreSQL and Redis, S3 by moto."""

import contextlib
import shlex
import shutil
import time

import pytest

from lab import HostSpec, Lab
from lab.release import upstream
from tests.integration.aws import KEYS, REGION, Aws
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import RELEASES, ask, operator

VERSION = "2.15.2"
MIRROR = "registry.upstream.test"
PASSWORDS = {"DB_PASSWORD": "Canary-External-4711", "REDIS_PASSWORD": "Canary-Redis-4711"}


class Site:
    def __init__(self, lab, aws, hosts, folder):
        self.host, self.services = hosts
        self.s3 = aws.client("s3")
        self.s3.create_bucket(Bucket="cache")
        address = self.services.address
        options = {
            "region": REGION,
            "regionendpoint": aws.url,
            "bucket": "cache",
            "secure": False,
            "accesskey": {"env": "AWS_ACCESS_KEY_ID"},
            "secretkey": {"env": "AWS_SECRET_ACCESS_KEY"},
        }
        self.me = operator(
            folder,
            lab,
            self.host.name,
            version=VERSION,
            configure=False,
            external_database={
                "host": address,
                "username": "postgres",
                "password": {"env": "DB_PASSWORD"},
                "ssl_mode": "disable",
            },
            external_redis={"host": f"{address}:6379", "password": {"env": "REDIS_PASSWORD"}},
            storage={"driver": "s3", "options": options, "disable_redirect": True},
        )
        self.me.secrets |= KEYS | PASSWORDS

    def sql(self, text):
        psql = f"docker exec db psql -U postgres -d registry -tAc {shlex.quote(text)}"
        return self.services.run(psql).stdout.strip()


def _serve(services):
    """PostgreSQL and Redis from the images of the stand-in release, which are the real ones."""
    tarball = RELEASES / f"harbor-offline-installer-v{VERSION}.tgz"
    services.write("/root/pg.env", f"POSTGRES_PASSWORD={PASSWORDS['DB_PASSWORD']}\n")
    services.write("/root/redis.conf", f"bind 0.0.0.0\nrequirepass {PASSWORDS['REDIS_PASSWORD']}\n")
    shutil.copy(tarball, services.root / "root" / "release.tgz")
    services.run(
        "cd /root && tar xzf release.tgz && docker load -qi harbor/harbor.v*.tar.gz && "
        "install -d -o 999 -g 999 -m 700 /db && chmod 644 redis.conf && "
        "docker run -d --name db --env-file pg.env -p 5432:5432 "
        f"-v /db:/var/lib/postgresql/data goharbor/harbor-db:v{VERSION} && "
        "docker run -d --name redis -p 6379:6379 -v /root/redis.conf:/etc/lab-redis.conf "
        "--entrypoint redis-server "
        "$(docker images --format '{{.Repository}}:{{.Tag}}' | grep -E 'redis|valkey') "
        "/etc/lab-redis.conf && "
        "until docker exec db pg_isready -q; do sleep 0.5; done",
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(releases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("external")
    with Lab("it-external") as lab:
        host, services, mirror = lab.up_all(
            [
                HostSpec("cache", "bookworm", "docker", (HARBOR_NAME,)),
                HostSpec("services", "trixie", "docker"),
                HostSpec("upstream", "bookworm", "registry", (MIRROR,)),
            ]
        )
        _serve(services)
        list(upstream.push_all(upstream.serve(mirror)))
        with contextlib.closing(Aws(host, folder / "moto.log")) as aws:
            yield Site(lab, aws, (host, services), folder)


def test_nothing_of_it_runs_on_the_host(site):
    site.me.fab("deploy")
    names = site.host.run("docker ps --format '{{.Names}}'").stdout.split()

    assert "harbor-core" in names
    assert not {"harbor-db", "redis"} & set(names)
    assert int(site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) > 0
    assert site.me.fab("deploy").changes == []
    site.me.fab("status")


def test_a_pull_lies_in_the_bucket(site):
    registry = {"name": "up", "type": "docker-registry", "url": f"http://{MIRROR}:5000"}
    assert ask(site.host, "POST", "/registries", registry)[0] == 201
    number = ask(site.host, "GET", "/registries")[1][0]["id"]
    project = {"project_name": "p", "registry_id": number, "metadata": {"public": "true"}}
    assert ask(site.host, "POST", "/projects", project)[0] == 201

    trust = f"/etc/docker/certs.d/{HARBOR_NAME}"
    site.services.run(f"install -d {trust}")
    site.services.write(f"{trust}/ca.crt", site.host.read("/data/ca_download/ca.crt"))
    site.services.run(f"docker pull -q {HARBOR_NAME}/p/library/alpine-like:latest")
    deadline = time.monotonic() + 60
    while not any("/blobs/sha256/" in one["Key"] for one in _objects(site)):
        assert time.monotonic() < deadline, site.host.run("docker logs --tail 30 registry 2>&1")
        time.sleep(1)


def _objects(site):
    return site.s3.list_objects_v2(Bucket="cache").get("Contents", [])


def test_no_secret_of_it_is_readable_or_shown(site):
    found = site.host.run(
        "find /opt /etc /home /var/lib/harbor-cache -xdev -type f -perm -o=r -print0 "
        "| xargs -0 -r grep -ls Canary- || :"
    ).stdout.split()

    readable = [
        path
        for path in found
        if site.host.run(f"runuser -u nobody -- cat {path}", check=False).returncode == 0
    ]
    assert readable == []


def test_the_database_is_not_changed_for_an_empty_one(site):
    kept = site.me.values["harbor"].pop("external_database")
    refused = site.me.fab("deploy", expect=9)
    site.me.values["harbor"]["external_database"] = kept

    assert "found an external one in use" in refused.text
    assert site.me.fab("plan").changes == []


def test_a_database_that_is_away_is_said(site):
    site.services.run("docker stop db")
    try:
        deadline = time.monotonic() + 60
        while site.me.fab("status", expect=None).code != 8:
            assert time.monotonic() < deadline
    finally:
        site.services.run("docker start db")
    site.me.fab("start")
