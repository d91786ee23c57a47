"""Bad input: a clear error and its exit code, before any connection is opened."""

import pytest

from tests.integration.operator import operator
from tests.unit.test_settings import RULES


class NoLab:
    """An inventory that leads to an address where nobody answers: no test here may reach for it."""

    ssh_config = known_hosts = "/dev/null"


@pytest.fixture
def me(tmp_path):
    made = operator(tmp_path, NoLab, "harbor-1", release={"sha256": "a" * 64}, traefik={})
    made.values["hosts"]["harbor-1"]["ssh"] = {"address": "192.0.2.1"}
    return made


@pytest.mark.parametrize(("changes", "message"), RULES, ids=[m[:50] for _, m in RULES])
def test_rule(me, changes, message):
    me.set(**changes)

    done = me.fab("deploy", expect=3)

    assert message in done.text
    assert done.seconds < 15  # a connection to 192.0.2.1 would wait for 20


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({"HARBOR_ADMIN_PASSWORD": "Harbor12345"}, "HARBOR_ADMIN_PASSWORD: is Harbor's published"),
        (
            {"HARBOR_DATABASE_PASSWORD": "root123"},
            "HARBOR_DATABASE_PASSWORD: is Harbor's published",
        ),
        ({"HARBOR_ADMIN_PASSWORD": "Abcdef$12"}, "only letters, digits"),
        ({"HARBOR_ADMIN_PASSWORD": ""}, "HARBOR_ADMIN_PASSWORD: is missing"),
    ],
)
def test_passwords(me, secrets, message):
    me.secrets.update(secrets)
    me.secrets = {name: value for name, value in me.secrets.items() if value}

    text = me.fab("plan", expect=3).text

    assert f".env: {message}" in text or message in text


def test_a_readable_env_file_is_refused(me):
    me.write()
    (me.folder / ".env").chmod(0o644)
    import subprocess

    from tests.integration.operator import FAB, ROOT

    done = subprocess.run(
        [FAB, "plan"], cwd=ROOT, env=me.environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert "others can read it" in done.stderr


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("harbour-1", "-H harbour-1: no such host or group; did you mean `harbor-1`?"),
        ("c1", "-H c1: has role client, not harbor"),
    ],
)
def test_unknown_hosts(me, hosts, message):
    me.values["hosts"]["c1"] = {"role": "client"}

    assert message in me.fab("-H", hosts, "plan", expect=3).text


def test_no_answer_is_exit_code_4(me):
    me.values["hosts"]["harbor-1"]["ssh"] = {"address": "127.0.0.1", "port": 1}

    assert "no connection to 127.0.0.1:1" in me.fab("plan", expect=4).text
