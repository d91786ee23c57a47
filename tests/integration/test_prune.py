"""A prune on both engines: what goes, what stays, what is refused, and what it proves."""

import contextlib

import pytest

from tests.integration.operating import at_terminal

pytestmark = pytest.mark.integration

# A container image of one file a name, with a program that waits; no registry is needed.
IMAGE = """
d=$(mktemp -d); mkdir -p $d/bin; cp /bin/sh /bin/sleep $d/bin/
for f in $(ldd /bin/sh /bin/sleep | grep -o '/lib[^ ]*' | sort -u); do
    mkdir -p $d/$(dirname $f); cp -L $f $d/$f
done
echo "$1" > $d/mark; head -c 300000 /dev/urandom > $d/pad
tar -C $d -c . | docker import -c 'CMD ["sleep","9999"]' -c 'VOLUME /anonymous' - "$1" >/dev/null
rm -rf $d
"""
JUNK = """
docker run -d --name running -v kept_running:/kept app:1 >/dev/null
docker run -d --name stopped -v kept_stopped:/kept app:1 >/dev/null
docker exec stopped sh -c 'echo 0123456789 > /anonymous/file'
docker stop -t 0 stopped >/dev/null
docker run -d --name others --label com.docker.compose.project=wiki app:1 >/dev/null
docker stop -t 0 others >/dev/null
docker volume create kept_unused >/dev/null
docker network create unused >/dev/null
docker tag app:3 app:2
"""
CLEAN = """
docker rm -f running stopped others >/dev/null 2>&1
docker volume rm kept_running kept_stopped kept_unused >/dev/null 2>&1
docker network rm unused late >/dev/null 2>&1
docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E '^(app|goharbor/harbor-core:v2\\.(4|7|11))' |
    xargs -r docker rmi -f >/dev/null 2>&1
true
"""
EVERYTHING = (
    "{ docker ps -aq; docker image ls -aq; docker volume ls -q; docker network ls -q; } | sort"
)
OLD = ("v2.11.2", "v2.7.4", "v2.4.0")


def image(site, name):
    site.host.run(f"set -- {name}\n{IMAGE}")


@pytest.fixture
def littered(site):
    for name in ("app:1", "app:2", "app:3", *(f"goharbor/harbor-core:{v}" for v in OLD)):
        image(site, name)
    site.run(JUNK)
    if site.suite == "bookworm":  # trixie has no BuildKit without buildx
        site.run(
            "mkdir -p /tmp/ctx && head -c 5000 /dev/urandom > /tmp/ctx/file && "
            "printf 'FROM app:1\\nCOPY file /\\n' > /tmp/ctx/Dockerfile && "
            "DOCKER_BUILDKIT=1 docker build -q -t app:built /tmp/ctx"
        )
    yield site
    site.run(CLEAN)


def going(found):
    return {(item["kind"], item["reason"]) for item in found["details"]["prune"]["going"]}


def kept(found, kind):
    items = found["details"]["prune"]["staying"]
    return {item["title"]: item["reason"] for item in items if item["kind"] == kind}


EXPECTED = {
    ("container", "stopped container"),
    ("image", "dangling image"),
    ("image", "image of an older release (2.7.4)"),
    ("image", "image of an older release (2.4.0)"),
    ("volume", "anonymous volume"),
    ("network", "unused network"),
}


def test_dry_run_shows_everything_and_changes_nothing(littered):
    before = littered.run(EVERYTHING)

    found = littered.json("prune", "--dry-run")

    cache = {("build cache", "build cache")} if littered.suite == "bookworm" else set()
    assert going(found) == EXPECTED | cache
    assert kept(found, "container")["others"] == "belongs to com.docker.compose.project=wiki"
    assert kept(found, "container")["running"] == "running"
    volumes = kept(found, "volume")
    assert volumes["kept_unused"] == volumes["kept_stopped"] == "named volume"
    assert kept(found, "image")["goharbor/harbor-core:v2.11.2"] == "a previous release"
    assert found["details"]["prune"]["bytes"] > 600000
    after = littered.run(EVERYTHING)
    assert after == before


def test_nobody_to_ask_is_refused(littered):
    done = littered.me.fab("prune", expect=9)

    assert "Nobody can be asked" in done.text
    assert littered.run("docker ps -aq -f name=stopped") != ""


def test_the_answer_is_no_by_default(littered):
    code, shown = at_terminal(littered, ["prune"], "")

    assert code == 0
    assert "nothing removed: the answer was no" in shown
    assert littered.run("docker ps -aq -f name=stopped") != ""


def test_exactly_what_was_shown_goes_and_nothing_that_appeared_since(littered):
    store = littered.store()

    def meanwhile():
        """After the list was shown: new waste, and a listed network that is used now."""
        littered.run("docker network create late >/dev/null; docker start stopped >/dev/null")

    code, shown = at_terminal(littered, ["prune"], "yes", meanwhile)

    assert code == 0, shown
    assert "kept: container stopped is not the same any more" in shown
    networks = littered.run("docker network ls --format '{{.Name}}'").split()
    assert "late" in networks
    assert "unused" not in networks
    assert littered.run("docker ps -q -f name=stopped") != ""
    assert littered.run("docker volume ls -q -f name=kept_").split() == [
        "kept_running",
        "kept_stopped",
        "kept_unused",
    ]
    tags = littered.run("docker image ls --format '{{.Repository}}:{{.Tag}}'").split()
    assert {"goharbor/harbor-core:v2.15.2", "goharbor/harbor-core:v2.11.2", "app:1"} <= set(tags)
    assert not {"goharbor/harbor-core:v2.7.4", "goharbor/harbor-core:v2.4.0"} & set(tags)
    assert littered.store() == store
    assert littered.is_healthy()


def test_yes_keep_and_json(littered):
    found = littered.json("prune", "--yes", "--keep", "1")

    removed = found["details"]["removed"]
    titles = {item["title"] for item in removed["items"]}
    assert {f"goharbor/harbor-core:{version}" for version in OLD} <= titles
    assert "stopped" in titles
    assert "others" not in titles
    assert removed["bytes"] > 900000
    assert "store and volumes unchanged" in found["status"]
    assert going(littered.json("prune", "--dry-run", "--keep", "1")) <= {
        ("build cache", "build cache")
    }
    assert littered.json("status")["details"]["status"]["last_audit"]["why"] == "prune"


@pytest.mark.parametrize("service", ["portal", "traefik", "log"])
def test_refused_while_something_is_down(site, service):
    name = {"portal": "harbor-portal", "log": "harbor-log"}.get(service, service)
    site.run(f"docker stop -t 1 {name}")

    done = site.me.fab("prune", "--yes", expect=9)

    assert "Harbor is not whole" in done.text
    assert f"  {service}: " in done.text
    assert f"container {name}" in done.text
    site.me.fab("start")


def test_refused_while_a_stopped_container_of_ours_is_there(site):
    labels = "--label com.docker.compose.project=harbor --label com.docker.compose.service=once"
    image(site, "app:1")
    site.run(f"docker run --name once {labels} app:1 sh -c true")

    done = site.me.fab("prune", "--yes", expect=9)

    assert "container once does not run" in done.text
    site.run("docker rm once; docker rmi app:1")


def test_a_store_that_changes_meanwhile_is_put_back(littered):
    """Whatever did it: the difference is an error, and the copy comes back."""
    store = littered.store()
    littered.run(
        "mv /usr/bin/docker /usr/bin/docker.real; printf '%s\\n' '#!/bin/sh' "
        '\'[ "$1 $2" = "network rm" ] && : > /data/certificates/own/key.pem\' '
        "'exec /usr/bin/docker.real \"$@\"' > /usr/bin/docker; chmod 755 /usr/bin/docker"
    )
    with contextlib.ExitStack() as stack:
        stack.callback(littered.run, "mv -f /usr/bin/docker.real /usr/bin/docker")
        done = littered.me.fab("prune", "--yes", expect=1)

    assert "the certificate store had changed during the prune, and was put back" in done.text
    assert littered.store() == store
