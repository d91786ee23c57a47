"""The stand-in's prepare without Docker: what it accepts, and what it writes."""

import copy
import os
import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lab.release.standin.prepare import compose, migrate, render, secret, settings
from lab.release.standin.prepare.__main__ import Places, main
from lab.release.standin.prepare.settings import Flags
from lab.release.standin.versions import Release

VERSIONS = ("2.4.0", "2.7.4", "2.8.0", "2.9.0", "2.11.2", "2.14.4", "2.15.1", "2.15.2")
BASE = {
    "hostname": "registry.example.org",
    "external_url": "https://registry.example.org",
    "http": {"port": "127.0.0.1:8080"},
    "harbor_admin_password": "ChangeMe123",
    "database": {"password": "OnlyLettersDigits"},
    "data_volume": "/data",
    "jobservice": {
        "max_job_workers": 10,
        "job_loggers": ["STD_OUTPUT", "FILE"],
        "logger_sweeper_duration": 1,
    },
    "notification": {"webhook_job_max_retry": 3, "webhook_job_http_client_timeout": 3},
    "log": {
        "level": "info",
        "local": {"rotate_count": 10, "rotate_size": "50M", "location": "/var/log/harbor"},
    },
    "_version": "2.15.0",
}
PLAIN = Flags()
NINE = {
    "log": ("harbor-log", "harbor-log"),
    "registry": ("registry", "registry-photon"),
    "registryctl": ("registryctl", "harbor-registryctl"),
    "postgresql": ("harbor-db", "harbor-db"),
    "core": ("harbor-core", "harbor-core"),
    "portal": ("harbor-portal", "harbor-portal"),
    "jobservice": ("harbor-jobservice", "harbor-jobservice"),
    "redis": ("redis", "valkey-photon"),
    "proxy": ("nginx", "nginx-photon"),
}


def changed(**changes):
    """BASE with keys replaced; a name with double underscores goes deeper, None takes out."""
    document = copy.deepcopy(BASE)
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return document


@pytest.fixture
def places(tmp_path, monkeypatch):
    """What the wrapper mounts; owners are noted, since tests may not run as root."""
    for name in ("config/core", "data", "compose_location", "hostfs/tmp", "input"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "config" / "core" / "env").write_text("OLD=1\n")
    owners = {}
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, **_: owners.update({Path(path): uid}))
    # An RSA key costs a second; the integration test has real ones.
    monkeypatch.setattr(secret, "_token_pair", lambda: ("key", "certificate"))
    found = Places(tmp_path)
    object.__setattr__(found, "owners", owners)
    return found


def run(places, document, version="2.15.2", *flags):
    conf = places.root / "input" / "harbor.yml"
    with conf.open("w") as stream:
        YAML().dump(document, stream)
    words = ["prepare", "--conf", str(conf), *flags]
    return main(words, Release.parse(version), places)


def parsed(document, version="2.15.2", flags=PLAIN):
    return settings.parse(document, Release.parse(version), flags)


# what is refused, and how


@pytest.mark.parametrize(
    "changes",
    [
        {"hostname": "127.0.0.1"},
        {"hostname": "reg.mydomain.com"},
        {"https": {"certificate": "/your/certificate/path", "private_key": "/x"}},
        {"storage_service__ca_bundle": "/tmp/absent.crt"},
        {"storage_service__ca_bundle": "/tmp/secret.crt"},
        {"upload_purging": {"enabled": True, "age": "1h", "interval": "24h"}},
        {"upload_purging": {"enabled": True, "age": "168h", "interval": "2d"}},
        {"cache": {"enabled": True, "expire_hours": 0}},
        {"core": {"quota_update_provider": "file"}},
        {"trace": {"enabled": True}},
        {"trace": {"enabled": True, "otel": {"x": 1}, "jaeger": {"x": 1}}},
        {"log__external_endpoint": {"protocol": "http", "host": "h", "port": 5140}},
        {"log__external_endpoint": {"protocol": "tcp", "host": "h", "port": "x"}},
        {"internal_tls": {"enabled": True}},
    ],
    ids=str,
)
def test_a_broken_rule_ends_with_255_after_the_old_configuration_is_gone(places, changes):
    hidden = places.root / "hostfs" / "tmp" / "secret.crt"
    hidden.write_text("x")
    hidden.chmod(0o600)

    assert run(places, changed(**changes)) == 255
    assert not (places.root / "config" / "core" / "env").exists()
    assert not (places.root / "compose_location" / "docker-compose.yml").exists()


@pytest.mark.parametrize(
    ("key", "since"),
    [
        ("hostname", "2.4.0"),
        ("harbor_admin_password", "2.4.0"),
        ("database", "2.4.0"),
        ("data_volume", "2.4.0"),
        ("jobservice__max_job_workers", "2.4.0"),
        ("jobservice__job_loggers", "2.9.0"),
        ("jobservice__logger_sweeper_duration", "2.8.0"),
        ("notification__webhook_job_max_retry", "2.4.0"),
        ("notification__webhook_job_http_client_timeout", "2.8.0"),
        ("log__level", "2.4.0"),
        ("log__local", "2.4.0"),
    ],
)
def test_a_missing_key_is_a_key_error_in_the_versions_that_read_it(key, since):
    document = changed(**{key: None})

    for version in VERSIONS:
        release = Release.parse(version)
        if release >= Release.parse(since):
            with pytest.raises(KeyError):
                settings.parse(document, release, PLAIN)
        else:
            assert settings.parse(document, release, PLAIN)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"database": {}}, KeyError),
        ({"https": {"port": 443}}, KeyError),
        ({"metric": {"enabled": True}}, KeyError),
        ({"log__level": "loud"}, ValueError),
        (
            {"https": {"certificate": "/tmp/c", "private_key": "/your/private/key/path"}},
            FileNotFoundError,
        ),
    ],
    ids=str,
)
def test_what_harbor_does_not_check_is_a_traceback(places, changes, error):
    with pytest.raises(error):
        run(places, changed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"hostname": "localhost"},
        {"external_url": "registry.example.org/path"},
        {"https": None, "something_unknown": {"x": 1}},
        {"jobservice__max_job_duration_hours": 1},
        {"http": None, "external_url": None},
        {"_version": "1.0.0"},
    ],
    ids=str,
)
def test_what_harbor_accepts_in_silence(places, changes):
    changes = {key: value for key, value in changes.items() if value or key in BASE}

    assert run(places, changed(**changes)) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_minimal_file_is_accepted_by_every_version(places, version):
    assert run(places, BASE, version) == 0


@pytest.mark.parametrize(
    ("flag", "last_good"),
    [("--with-chartmuseum", "2.7.4"), ("--with-notary", "2.8.0"), ("--with-trivy", "2.15.2")],
)
def test_an_option_that_the_version_does_not_know_ends_with_2(places, flag, last_good):
    for version in VERSIONS:
        if Release.parse(version) <= Release.parse(last_good):
            assert run(places, BASE, version, flag) == 0
        else:
            with pytest.raises(SystemExit) as ended:
                run(places, BASE, version, flag)
            assert ended.value.code == 2


# what is written


def test_files_with_their_owners_and_modes(places):
    document = changed(metric={"enabled": True, "port": 9090, "path": "/metrics"})
    run(places, document, "2.15.2", "--with-trivy")
    config = places.config
    found = {
        str(path.relative_to(config)): (places.owners[path], stat.S_IMODE(path.stat().st_mode))
        for path in config.rglob("*")
        if path.is_file()
    }
    roots = ("core", "db", "jobservice", "registryctl", "trivy-adapter", "exporter")
    harbors = (
        "core/app.conf",
        "jobservice/config.yml",
        "log/logrotate.conf",
        "log/rsyslog_docker.conf",
        "nginx/nginx.conf",
        "portal/nginx.conf",
        "registry/config.yml",
        "registryctl/config.yml",
    )

    assert found == {
        **{f"{name}/env": (0, 0o640) for name in roots},
        **dict.fromkeys(harbors, (10000, 0o640)),
        "registry/passwd": (0, 0o644),
    }


def test_the_data_volume(places):
    run(places, BASE, "2.7.4")
    data = places.data
    found = {
        str(path.relative_to(data)): (places.owners.get(path), stat.S_IMODE(path.stat().st_mode))
        for path in data.rglob("*")
    }

    assert found.pop("stand-in") == (10000, 0o755)
    assert found.pop("secret")[0] is None
    assert found == {
        "registry": (10000, 0o755),
        "ca_download": (10000, 0o755),
        "job_logs": (10000, 0o755),
        "scandata_exports": (10000, 0o755),
        "database": (999, 0o700),
        "redis": (999, 0o755),
        "secret/keys": (10000, 0o755),
        "secret/core": (10000, 0o755),
        "secret/registry": (10000, 0o755),
        "secret/keys/secretkey": (10000, 0o600),
        "secret/core/private_key.pem": (10000, 0o600),
        "secret/registry/root.crt": (10000, 0o600),
    }


def test_which_secrets_change_at_every_run_and_which_stay(places):
    def state():
        lasting = {
            path: path.read_bytes()
            for path in (places.root / "data" / "secret").rglob("*")
            if path.is_file()
        }
        env = (places.config / "core" / "env").read_text().splitlines()
        return lasting, dict(line.split("=", 1) for line in env)

    run(places, BASE)
    first_files, first = state()
    run(places, BASE)
    second_files, second = state()

    assert first_files == second_files
    assert {name for name in first if first[name] != second[name]} == {
        "CORE_SECRET",
        "JOBSERVICE_SECRET",
        "REGISTRY_CREDENTIAL_PASSWORD",
        "CSRF_KEY",
        "ROBOT_SCANNER_NAME_PREFIX",
    }


def test_the_certificate_is_copied_anew_and_removed_without_https(places):
    for name in ("a.crt", "a.key"):
        (places.root / "hostfs" / "tmp" / name).write_text(name)
    document = changed(https={"certificate": "/tmp/a.crt", "private_key": "/tmp/a.key"})
    copied = places.data / "secret" / "cert" / "server.key"

    run(places, document)
    assert copied.read_text() == "a.key"
    assert places.owners[copied] == 10000
    assert stat.S_IMODE(copied.stat().st_mode) == 0o600

    run(places, BASE)
    assert not copied.exists()


def test_trust_certificates_hold_the_bundle_and_nothing_else(places):
    (places.root / "hostfs" / "tmp" / "ca.crt").write_text("CA")
    run(places, changed(storage_service__ca_bundle="/tmp/ca.crt"))
    trust = places.config / "shared" / "trust-certificates"
    (trust / "own.crt").write_text("dropped here by somebody")

    run(places, changed(storage_service__ca_bundle="/tmp/ca.crt"))

    assert [path.name for path in trust.iterdir()] == ["storage_ca_bundle.crt"]


def texts(document, version="2.15.2", flags=PLAIN):
    chosen = parsed(document, version, flags)
    rotating = secret.rotate()
    values = render.context(chosen, rotating)
    return {
        file.path: render.render(file.template, values)
        for file in render.files(chosen, rotating)
        if file.template
    }


def test_nginx_without_tls_passes_the_scheme_of_a_proxy_in_front():
    conf = texts(BASE)["nginx/nginx.conf"]

    assert "listen 8080;" in conf
    assert "308" not in conf
    assert '"" $scheme;' in conf
    assert conf.count("proxy_set_header X-Forwarded-Proto $x_forwarded_proto;") == 6
    assert conf.count("proxy_set_header Host $http_host;") == 1


def test_nginx_with_tls_redirects_the_plain_port():
    conf = texts(changed(https={"port": 8443, "certificate": "/c", "private_key": "/k"}))[
        "nginx/nginx.conf"
    ]

    assert "listen 8443 ssl;" in conf
    assert "return 308 https://$host:8443$request_uri;" in conf


def test_every_template_renders_for_every_version():
    document = changed(
        metric={"enabled": True, "port": 9090, "path": "/metrics"},
        https={"certificate": "/c", "private_key": "/k"},
        log__external_endpoint={"protocol": "tcp", "host": "logs", "port": 5140},
        proxy={"http_proxy": "http://p:3128", "components": ["core"]},
        cache={"enabled": True, "expire_hours": 24},
        upload_purging={"enabled": True, "age": "168h", "interval": "24h", "dryrun": False},
    )
    for version in VERSIONS:
        rendered = texts(document, version, Flags(trivy=True))
        config = YAML(typ="safe").load(rendered["registry/config.yml"])
        assert config["auth"]["htpasswd"]["path"] == "/etc/registry/passwd"
        assert YAML(typ="safe").load(rendered["jobservice/config.yml"])["port"] == 8080
        assert "HTTP_PROXY=http://p:3128" in rendered["core/env"]
        assert "HTTP_PROXY" not in rendered["jobservice/env"]


def test_storage_and_external_services_reach_their_files():
    document = changed(
        storage_service={
            "s3": {"region": "us-east-1", "bucket": "b", "secure": False},
            "redirect": {"disable": True},
        },
        external_database={
            "harbor": {
                "host": "db.example.org",
                "port": 5432,
                "db_name": "registry",
                "username": "u",
                "password": "p",
                "ssl_mode": "require",
            }
        },
        external_redis={"host": "s1:26379,s2:26379", "sentinel_master_set": "m", "password": "p"},
    )
    rendered = texts(document)
    storage = YAML(typ="safe").load(rendered["registry/config.yml"])["storage"]

    assert storage["s3"] == {"region": "us-east-1", "bucket": "b", "secure": False}
    assert storage["redirect"] == {"disable": True}
    assert "POSTGRESQL_HOST=db.example.org\n" in rendered["core/env"]
    assert "_REDIS_URL_CORE=redis+sentinel://:p@s1:26379,s2:26379/m/0" in rendered["core/env"]
    assert "db/env" not in rendered
    services = compose.document(parsed(document))["services"]
    assert {"postgresql", "redis"}.isdisjoint(services)
    assert services["core"]["depends_on"] == ["log", "registry"]


# docker-compose.yml


def test_the_nine_services():
    services = compose.document(parsed(BASE))["services"]

    assert {name: one["container_name"] for name, one in services.items()} == {
        name: container for name, (container, _) in NINE.items()
    }
    assert {name: one["image"] for name, one in services.items()} == {
        name: f"goharbor/{image}:v2.15.2" for name, (_, image) in NINE.items()
    }
    assert all(one["restart"] == "always" for one in services.values())
    assert all(one["cap_drop"] == ["ALL"] for one in services.values())
    assert all(one["networks"] == ["harbor"] for one in services.values())


def test_all_but_log_write_to_syslog_under_the_name_of_the_service():
    services = compose.document(parsed(BASE))["services"]

    assert "logging" not in services.pop("log")
    for name, one in services.items():
        assert one["logging"] == {
            "driver": "syslog",
            "options": {"syslog-address": "tcp://localhost:1514", "tag": name},
        }


def test_ports_and_binds_only():
    document = compose.document(parsed(BASE))
    services = document["services"]

    assert services["log"]["ports"] == ["127.0.0.1:1514:10514"]
    assert services["proxy"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "volumes" not in document
    for one in services.values():
        for volume in one.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            assert source.startswith(("/", "./"))


def test_env_files_are_those_that_compose_reads_on_the_host():
    services = compose.document(parsed(BASE))["services"]

    assert {name for name, one in services.items() if "env_file" in one} == {
        "registryctl",
        "postgresql",
        "core",
        "jobservice",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_differs_between_versions(version):
    release = Release.parse(version)
    text = compose.render(parsed(BASE, version))
    document = YAML(typ="safe").load(text)

    assert text.startswith("version: '2.3'\n") == (release < Release.parse("2.12.0"))
    image = "valkey" if release >= Release.parse("2.15.2") else "redis"
    assert document["services"]["redis"]["image"] == f"goharbor/{image}-photon:v{version}"


def test_optional_services():
    metric = {"enabled": True, "port": 9099, "path": "/metrics"}
    services = compose.document(parsed(changed(metric=metric), flags=Flags(trivy=True)))["services"]

    assert set(services) == {*NINE, "trivy-adapter", "exporter"}
    assert "9099:9090" in services["proxy"]["ports"]
    assert services["exporter"]["container_name"] == "harbor-exporter"


# migrate


def test_migrate_brings_an_old_file_to_this_version():
    old = changed(
        jobservice={"max_job_workers": 3},
        notification={"webhook_job_max_retry": 10},
        unknown={"x": 1},
        _version="2.7.0",
    )
    new = migrate.upgrade(old, Release.parse("2.15.2"))

    assert new["jobservice"] == {
        "max_job_workers": 3,
        "job_loggers": ["STD_OUTPUT", "FILE"],
        "logger_sweeper_duration": 1,
    }
    assert new["_version"] == "2.15.0"
    assert "unknown" not in new


def test_migrate_of_the_same_version_changes_nothing(places, capsys):
    path = places.root / "hostfs" / "harbor.yml"
    path.write_text("_version: 2.15.0 # keep me\n")

    assert main(["migrate", "-i", "/harbor.yml"], Release.parse("2.15.2"), places) == 0
    assert "no need" in capsys.readouterr().out
    assert path.read_text() == "_version: 2.15.0 # keep me\n"
