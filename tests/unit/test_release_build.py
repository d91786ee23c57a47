"""The parts of the stand-in release that need no Docker: versions, archives, installer files."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile

import pytest

from lab.release import archive, bundle, images
from lab.release.archive import Entry
from lab.release.standin.versions import Release

VERSIONS = ("2.4.0", "2.5.3", "2.5.4", "2.7.4", "2.8.0", "2.9.0", "2.11.2", "2.14.4", "2.15.2")


@pytest.mark.parametrize("text", ["2.3.0", "2.16.0", "3.0.0", "2.15", "latest", ""])
def test_other_versions_are_refused(text):
    with pytest.raises(ValueError, match="not a Harbor version"):
        Release.parse(text)


@pytest.mark.parametrize(
    ("version", "majors"),
    [
        ("2.4.0", ("96", "13")),
        ("2.7.4", (None, "13")),
        ("2.9.0", ("13", "14")),
        ("2.11.0", ("14", "15")),
        ("2.15.1", ("14", "15")),
        ("2.15.2", ("15", "18")),
    ],
)
def test_postgresql_majors(version, majors):
    assert Release.parse(version).database_majors == majors


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        ("2.4.0", "quay", "github-ghcr"),
        ("2.6.0", "github-ghcr", "jfrog-artifactory"),
        ("2.7.4", "jfrog-artifactory", "ali-acr"),
        ("2.12.0", "ali-acr", "dtr"),
        ("2.14.4", "docker-registry", "quay"),
    ],
)
def test_types_of_proxy_projects(version, has, lacks):
    types = Release.parse(version).proxy_types

    assert has in types
    assert lacks not in types


def test_rate_limits_reach_the_client_from_the_fixed_versions_on():
    passing = {
        v for v in ("2.7.2", "2.7.3", "2.8.1", "2.8.2", "2.9.0") if Release.parse(v).passes_429
    }

    assert passing == {"2.7.3", "2.8.2", "2.9.0"}


# images


def test_the_build_names_a_commit_as_harbor_does():
    assert Release.parse("2.15.2").build == "v2.15.2-57a4d140"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_images_of_a_version(version):
    release = Release.parse(version)
    names = {image.reference for image in images.of(release)}
    redis = "valkey-photon" if version == "2.15.2" else "redis-photon"

    assert {f"goharbor/{name}:v{version}" for name in ("prepare", "harbor-core", redis)} <= names
    assert (f"goharbor/chartmuseum-photon:v{version}" in names) == (
        release < Release.parse("2.8.0")
    )
    assert all(image.labels["stand-in"] == "true" for image in images.of(release))


def test_who_runs_what():
    users = {image.reference.split("/")[1]: image.user for image in images.of(Release((2, 15, 2)))}

    assert users["harbor-db:v2.15.2"] == users["valkey-photon:v2.15.2"] == "999:999"
    assert users["harbor-core:v2.15.2"] == users["registry-photon:v2.15.2"] == "10000:10000"


def test_an_archive_is_what_docker_load_reads(tmp_path):
    base = archive.layer([Entry("base", b"x" * 1000)])
    (tmp_path / "base.tar").write_bytes(base.tar)
    diff_id = archive.write_layer_member(tmp_path / "base.tar", tmp_path / "member.gz")
    release = Release((2, 15, 2))
    tail = archive.tail(images.of(release), [diff_id], [images.scripts(release)])
    whole = (tmp_path / "member.gz").read_bytes() + archive.compress(tail)

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(whole))) as tar:
        read = {member.name: tar.extractfile(member).read() for member in tar}
    manifest = json.loads(read["manifest.json"])

    assert diff_id == "sha256:" + hashlib.sha256(base.tar).hexdigest()
    assert {one["RepoTags"][0] for one in manifest} == {i.reference for i in images.of(release)}
    for one in manifest:
        config = json.loads(read[one["Config"]])
        assert one["Config"] == hashlib.sha256(read[one["Config"]]).hexdigest() + ".json"
        assert config["rootfs"]["diff_ids"] == [
            "sha256:" + hashlib.sha256(read[path]).hexdigest() for path in one["Layers"]
        ]


def test_the_same_content_has_the_same_bytes():
    release = Release((2, 15, 2))

    assert images.scripts(release).diff_id == images.scripts(release).diff_id


# installer


def installer(name, version):
    return bundle.select((bundle.INSTALLER / name).read_text(), Release.parse(version))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["install.sh", "prepare", "common.sh"])
def test_scripts_are_valid_and_say_what_they_are(name, version):
    text = installer(name, version)

    assert "#@" not in text
    assert "STAND-IN" in text.splitlines()[1]
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("version", "condition"), [("2.5.3", True), ("2.5.4", False), ("2.15.2", False)]
)
def test_volumes_are_always_taken_down_from_2_5_4_on(version, condition):
    text = installer("install.sh", version)

    assert "down -v" in text
    assert ("ps -q" in text) == condition
    assert ("docker compose version" in installer("common.sh", version)) != condition


@pytest.mark.parametrize(
    ("flag", "last"), [("--with-chartmuseum", "2.7.4"), ("--with-notary", "2.8.0")]
)
def test_options_that_went_away(flag, last):
    for version in VERSIONS:
        known = Release.parse(version) <= Release.parse(last)
        assert (f"{flag})" in installer("install.sh", version)) == known


@pytest.mark.parametrize(
    ("key", "since"),
    [
        ("logger_sweeper_duration", "2.8.0"),
        ("job_loggers", "2.9.0"),
        ("# ip_family", "2.11.0"),
        ("max_job_duration_hours", "2.13.0"),
        ("# db_repository", "2.15.0"),
        ("upload_purging:", "2.5.0"),
    ],
)
def test_the_template_grows_with_the_versions(key, since):
    for version in ("2.4.0", "2.5.0", "2.8.0", "2.9.0", "2.11.0", "2.13.0", "2.15.0"):
        there = key in installer("harbor.yml.tmpl", version)
        assert there == (Release.parse(version) >= Release.parse(since)), version
