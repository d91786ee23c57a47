"""Log lines: from when, from where, in which order."""

import datetime
import subprocess

import pytest

from harbor import logs
from harbor.errors import SettingsError
from tests.unit.builders import settings

NOW = datetime.datetime(2026, 1, 2, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "shell"),
    [
        ("10m", "$(( $(date +%s) - 600 ))"),
        ("3d", "$(( $(date +%s) - 259200 ))"),
        ("2026-11-25T08:00", "1795593600"),
        ("2026-11-25T08:00+01:00", "1795590000"),
    ],
)
def test_since(text, shell):
    assert logs.since(text) == shell


def test_since_that_is_no_time():
    with pytest.raises(SettingsError, match="--since yesterday"):
        logs.since("yesterday")


def test_unknown_service_names_the_nearest():
    with pytest.raises(SettingsError, match=r"no service `nginx`|did you mean"):
        logs.services(settings(), "nginx")


def test_all_services_by_default():
    assert "traefik" in logs.services(settings(), "")
    assert logs.services(settings(), "core,proxy") == ("core", "proxy")


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("Jan  2 11:59:58 172.18.0.1 core[1]: hello", "2026-01-02T11:59:58"),
        ("Dec 31 23:59:59 172.18.0.1 core[1]: last year", "2025-12-31T23:59:59"),
        ("2026-01-02T11:59:58.123456789Z level=info", "2026-01-02T11:59:58"),
        ("    at com.example", ""),
        ("Foo  2 11:59:58 x", ""),
    ],
)
def test_moment(line, moment):
    assert logs.moment(line, NOW) == moment


def test_merged_keeps_continued_lines_with_their_first():
    lines = [
        "core\tJan  2 11:00:02 h core: second",
        "core\t  trace of second",
        "traefik\t2026-01-02T11:00:01.5Z first",
    ]

    assert logs.merged(lines, NOW) == [
        ("traefik", "2026-01-02T11:00:01.5Z first"),
        ("core", "Jan  2 11:00:02 h core: second"),
        ("core", "  trace of second"),
    ]


def run(script, path):
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{path}:/usr/bin:/bin"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def location(tmp_path):
    """A log folder as Harbor's log container writes it, and a docker that knows one container."""
    now = datetime.datetime.now(datetime.UTC)
    old, new = (now - datetime.timedelta(minutes=m) for m in (60, 1))
    stamps = [moment.strftime("%b %e %H:%M:%S") for moment in (old, new)]
    text = f"{stamps[0]} h core[1]: old\n{stamps[1]} h core[1]: new\n  traced\n"
    (tmp_path / "core.log").write_text(text)
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "docker $*"\n')
    docker.chmod(0o755)
    return tmp_path


def script(location, **wanted):
    values = {"services": ("core",), "since": "", "tail": 50, "grep": "", **wanted}
    harbor = settings(log={"location": str(location)})
    return logs.read_script(harbor, logs.Wanted(**values))


def test_read_from_the_file(location):
    lines = run(script(location), location)

    assert [line.split("\t")[0] for line in lines] == ["core"] * 3


def test_read_since(location):
    lines = run(script(location, since=logs.since("10m")), location)

    assert [line.rsplit(" ", 1)[-1] for line in lines] == ["new", "traced"]


def test_a_pattern_that_grep_does_not_understand(location):
    done = subprocess.run(
        ["bash", "-c", script(location, grep="(open")], check=False, capture_output=True
    )

    assert done.returncode == logs.NO_PATTERN


def test_grep_then_tail(location):
    assert len(run(script(location, grep="old|new", tail=1), location)) == 1
    assert run(script(location, grep="$(touch /x)"), location) == []


def test_without_a_file_docker_is_asked(location):
    lines = run(script(location, services=("traefik",), since="17"), location)

    assert lines == ["traefik\tdocker logs -t --since 17 traefik"]


def test_shown_with_its_service_where_there_are_several():
    assert logs.shown("core", "x", ["core", "registry"]) == "core     | x"
    assert logs.shown("core", "x", ["core"]) == "x"
