import re

import pytest

from harbor.errors import SettingsError
from harbor.sections import size_in_bytes
from harbor.settings import (
    check,
    parse_secrets,
    password_problem,
    referenced_secrets,
    suggestion,
)
from harbor.shell import Secret
from tests.unit.builders import parsed, settings

# One row a rule: what is set, and what the operator reads. Integration runs the same rows
# through `fab`, so that message and exit code are seen together.
RULES = [
    ({"hostname": "localhost"}, "harbor.hostname: 'localhost' cannot be reached by clients"),
    ({"hostname": "https://x.org"}, "harbor.hostname: 'https://x.org': a name only"),
    ({"hostname": "Harbor.org"}, "harbor.hostname: 'Harbor.org' is not a host name"),
    ({"hostname": "reg.mydomain.com"}, "harbor.hostname: 'reg.mydomain.com' cannot be reached"),
    ({"hostname": None}, "harbor.hostname: is missing"),
    ({"external_url": "harbor-cache.example.com"}, "write https://harbor-cache.example.com"),
    ({"external_url": "https://x.org/harbor"}, "no path (Harbor has no sub-path)"),
    ({"external_url": "https://localhost"}, "harbor.external_url: 'https://localhost' cannot be"),
    ({"external_url": "http://x.org"}, "external_url must be https"),
    ({"data_volume": "data"}, "harbor.data_volume: an absolute path without special characters"),
    (
        {"data_volume": "/my data"},
        "harbor.data_volume: an absolute path without special characters",
    ),
    ({"data_volume": "/"}, "harbor.data_volume: '/': a folder of its own is needed"),
    ({"data_volume": "/data/../etc"}, "harbor.data_volume: '/data/../etc': no .. in it"),
    ({"http_port": 0}, "harbor.http_port: Input should be greater than or equal to 1 (got 0)"),
    ({"http_port": 443}, "public_https_port and metrics.port must differ"),
    ({"tls": {"extra_names": ["bücher.example.com"]}}, "is not a host name (write IDN names"),
    ({"http_port": 1514}, "1514 is Harbor's log"),
    ({"metrics": {"enabled": True, "port": 443}}, "public_https_port and metrics.port must differ"),
    ({"external_url": "https://[2001:db8::1]"}, "no IPv6 address"),
    ({"external_url": "https://x.org:abc"}, "scheme, name and port only"),
    ({"data_volume": "/var/lib/docker/harbor"}, "a folder of its own is needed"),
    ({"data_volume": "/tmp"}, "a folder of its own is needed"),
    (
        {"timezone": "America/Argentina"},
        "is not a time zone; did you mean America/Argentina/Buenos",
    ),
    ({"version": "2.16.0"}, "harbor.version: Harbor 2.16.0 is not among 2.4 to 2.15"),
    ({"version": "2.3.5"}, "harbor.version: Harbor 2.3.5 is not among 2.4 to 2.15"),
    ({"version": "latest"}, "harbor.version: 'latest' is not a release number like 2.15.2"),
    ({"hostnme": "x"}, "harbor.hostnme: unknown key; did you mean `hostname`?"),
    ({"tls": {"mod": "ca"}}, "harbor.tls.mod: unknown key; did you mean `mode`?"),
    ({"tls": {"mode": "files"}}, "harbor.tls: mode: files needs certificate and key"),
    ({"tls": {"key": "x"}}, "harbor.tls: key: only with mode: files"),
    ({"release": {"sha256": "xyz"}}, "harbor.release.sha256: String should match pattern"),
    ({"release": {"sha256": None}}, "harbor.release: sha256 is missing: pin the digest"),
    ({"release": {"verify": "gpg"}}, "harbor.release: verify: gpg needs fetch: operator"),
    (
        {"release": {"verify": "gpg", "fetch": "operator", "gpg_key": "key.asc"}},
        "release.verify: gpg: Harbor 2.15.2 is signed with cosign",
    ),
    ({"cache": {"enabled": True}, "version": "2.5.6"}, "cache.enabled needs Harbor 2.6 or later"),
    ({"storage": {"driver": "s3"}}, "harbor.storage: driver: s3 needs options"),
]


@pytest.mark.parametrize(("changes", "message"), RULES, ids=[message[:50] for _, message in RULES])
def test_every_rule_names_the_key_and_the_cure(changes, message):
    _, mistakes = parsed(**changes)

    assert message in "\n".join(mistakes)
    assert all(m.startswith("hosts.yaml: harbor") for m in mistakes)


def test_all_mistakes_are_listed_at_once():
    _, mistakes = parsed(hostname="localhost", timezone="Nowhere", http_port=-1)

    assert len(mistakes) == 3


def test_a_mistake_in_a_hosts_own_block_names_that_block():
    from harbor.settings import Location, parse_harbor

    own = {"version": "nope"}
    _, mistakes = parse_harbor(
        {"version": "nope", "hostname": "x.org", "release": {"sha256": "a" * 64}},
        Location("hosts.yaml", "ar-harbor-01", own),
    )

    assert mistakes[0].startswith("hosts.yaml: hosts.ar-harbor-01.harbor.version: ")


def test_check_raises_with_the_documented_exit_code():
    with pytest.raises(SettingsError, match="2 mistakes in the settings:\n  a\n  b") as error:
        check(["a", "b"])

    assert error.value.code == 3


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "is missing"),
        ("Harbor12345", "published default"),
        ("root123", "published default"),
        ("Abcdef1$", "survive compose"),
        ("Abcdef1 #x", "survive compose"),
        ("Ab1", "has 3 characters"),
        ("A1" + "b" * 130, "has 132 characters"),
        ("abcdefgh1", "needs an upper case letter"),
        ("Abcdef12", None),
        ("Abc.def_1-2", None),
    ],
)
def test_password_rule(password, problem):
    found = password_problem(password)

    assert found is None if problem is None else problem in found
    assert not found or not password or password not in found


def test_a_hosts_own_secret_wins():
    environment = {
        "HARBOR_ADMIN_PASSWORD": "Abcdef12",
        "HARBOR_ADMIN_PASSWORD__AR_HARBOR_01": "Special12",
        "HARBOR_DATABASE_PASSWORD": "Abcdef12",
    }

    secrets, mistakes = parse_secrets(environment, [], ".env", "ar-harbor-01")

    assert mistakes == []
    assert secrets.admin_password.reveal() == "Special12"


def test_secrets_that_settings_name_are_found_and_missed():
    harbor = settings(
        {"S3_KEY": "x"}, storage={"driver": "s3", "options": {"secretkey": {"env": "S3_KEY"}}}
    ).harbor

    _, mistakes = parse_secrets({}, referenced_secrets(harbor), ".env", "h")

    assert referenced_secrets(harbor) == ["S3_KEY"]
    assert ".env: S3_KEY: is missing (asked for by the inventory)" in mistakes


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 * 2**30), ("500M", 500 * 2**20), (17, 17), ("1.5 KiB", 1536)]
)
def test_sizes(text, size):
    assert size_in_bytes(text) == size


def test_a_word_far_from_all_known_ones_lists_them():
    assert suggestion("zzz", ["mode", "key"]) == "; known: key, mode"


def test_a_secret_never_shows():
    secret = Secret("Canary1")

    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>5}", repr({"a": [secret]})]

    assert not re.search("Canary1", "".join(shown))
