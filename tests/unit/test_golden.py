"""Rendered files, reviewed as diffs. `pytest tests/unit/test_golden.py --write-golden` renews them."""

import io
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harbor import compose
from harbor.steps import config, environment, service, tls
from tests.unit.builders import settings

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ["2.4.3", "2.5.6", "2.6.4", "2.7.4", "2.8.6", "2.9.5", "2.10.3"]
VERSIONS += ["2.11.2", "2.12.4", "2.13.5", "2.14.4", "2.15.2"]
EVERYTHING = {
    "external_database": {
        "host": "db.example.com",
        "username": "harbor",
        "password": {"env": "DB"},
    },
    "external_redis": {
        "host": "s1:26379,s2:26379",
        "sentinel_master_set": "cache",
        "password": {"env": "REDIS"},
    },
    "storage": {
        "driver": "s3",
        "options": {"bucket": "images", "region": "us-east-1", "secretkey": {"env": "S3"}},
        "ca_bundle": "/etc/ssl/own.pem",
    },
    "proxy": {"https_proxy": "http://proxy:3128", "no_proxy": ["10.0.0.0/8", "example.com"]},
    "metrics": {"enabled": True},
    "trivy": {"enabled": True, "github_token": {"env": "GITHUB"}},
    "cache": {"enabled": True},
}
SECRETS = {"DB": "C-db", "REDIS": "C-redis", "S3": "C-s3", "GITHUB": "C-github"}

CASES = {
    **{f"harbor-{v}.yml": lambda v=v: config.harbor_yml(settings(version=v)) for v in VERSIONS},
    "harbor-everything.yml": lambda: config.harbor_yml(settings(SECRETS, **EVERYTHING)),
    "harbor-own-https.yml": lambda: config.harbor_yml(settings(tls={"ends_at": "harbor"})),
    "override-labels.yml": lambda: compose.override(settings()),
    "override-labels-2.11.yml": lambda: compose.override(settings(version="2.11.2")),
    "override-file.yml": lambda: compose.override(settings(traefik={"provider": "file"})),
    "override-own-https.yml": lambda: compose.override(settings(tls={"ends_at": "harbor"})),
    "envrc": lambda: environment.envrc(settings()),
    "harbor.service": lambda: service.managed(settings())[2].content,
    "harbor-no-live-restore.service": lambda: (
        service.managed(settings(docker={"live_restore": False}))[2].content
    ),
    "traefik-tls.yml": lambda: tls._others(settings(), b"")[1].content,
    "traefik-tls-file.yml": lambda: (
        tls._others(settings(traefik={"provider": "file"}), b"")[1].content
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_reviewed(name, request):
    text = CASES[name]()
    if request.config.getoption("--write-golden"):
        (GOLDEN / name).write_bytes(text)

    assert text.decode() == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".yml")])
def test_rendered_yaml_is_yaml(name):
    assert YAML(typ="safe").load(io.BytesIO(CASES[name]()))


@pytest.mark.parametrize("version", VERSIONS)
def test_prepare_finds_the_data_volume_with_its_grep(version):
    lines = config.harbor_yml(settings(version=version)).decode().splitlines()

    assert [line for line in lines if "data_volume:" in line and "#" not in line] == [
        "data_volume: /data"
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("everything", [False, True], ids=["plain", "everything"])
def test_the_stand_ins_prepare_accepts_it(version, everything, tmp_path):
    from lab.release.standin.prepare import settings as prepare
    from lab.release.standin.versions import Release

    more = dict(EVERYTHING) if everything else {}
    if version in ("2.4.3", "2.5.6"):
        more.pop("cache", None)  # Harbor 2.6 and later
    (tmp_path / "harbor.yml").write_bytes(
        config.harbor_yml(settings(SECRETS, version=version, **more))
    )
    bundle = tmp_path / "etc" / "ssl" / "own.pem"
    bundle.parent.mkdir(parents=True)
    bundle.touch(0o644)

    document = prepare.load(tmp_path / "harbor.yml")
    parsed = prepare.parse(document, Release.parse(version), prepare.Flags(trivy=everything))
    prepare.validate(parsed, document, tmp_path)
