"""docker as a client: what each engine and image store gets, and what is refused to it."""

import json

import pytest

from harbor.clients import docker
from harbor.errors import Refused
from harbor.inventory import ClientOptions
from tests.unit.builders import failed, file, ok
from tests.unit.clients import CA, HOST, MIRROR, cache

OPTIONS = ClientOptions()


def facts(
    version="26.1.5",
    *,
    store=False,
    mirrors=(),
    daemon=b"{}",
    running=0,
    live=False,
    ca=True,
    since_start=True,
):
    status = [["driver-type", "io.containerd.snapshotter.v1"]] if store else [["Backing", "ext4"]]
    info = {
        "ServerVersion": version,
        "DriverStatus": status,
        "LiveRestoreEnabled": live,
        "ContainersRunning": running,
        "RegistryConfig": {"Mirrors": [f"{url}/" for url in mirrors]},
    }
    outputs = {
        "installed": ok("/usr/bin/dockerd"),
        "info": ok(json.dumps(info)),
        "daemon.json": file(daemon) if daemon is not None else failed(),
        "ca": ok() if ca else failed(),
        "mirrors": ok() if since_start else failed(),
    }
    found = docker.parse(outputs)
    assert found is not None
    return found


def daemon_json(part):
    return json.loads(next(f for f in part.files if f.path == "/etc/docker/daemon.json").content)


def test_a_host_without_docker_has_no_facts():
    assert docker.parse({"installed": failed()}) is None


def test_trust_is_a_file_for_each_address_and_no_restart():
    part = docker.trust(cache(), facts(), OPTIONS)

    assert [f.path for f in part.files] == [
        f"/etc/docker/certs.d/{HOST}/ca.crt",
        f"/etc/docker/certs.d/{MIRROR}/ca.crt",
    ]
    assert {f.content for f in part.files} == {CA}
    assert part.loaded


@pytest.mark.parametrize(
    "content", [b"[1]", b'{"registry-mirrors": null}', b'{"registry-mirrors": "x"}']
)
def test_a_daemon_json_of_another_form_is_refused(content):
    assert isinstance(docker.use(cache(), facts(daemon=content), OPTIONS).refused, Refused)


def test_a_public_certificate_needs_no_file():
    assert docker.trust(cache(ca=b""), facts(), OPTIONS).files == ()


@pytest.mark.parametrize("version", ["20.10.24", "24.0.7", "26.1.5", "28.3.0", "29.0.1"])
@pytest.mark.parametrize("store", [False, True])
def test_a_mirror_name_is_for_every_engine_and_store(version, store):
    part = docker.use(cache(), facts(version, store=store), OPTIONS)

    assert part.refused is None
    assert daemon_json(part)["registry-mirrors"] == [f"https://{MIRROR}"]
    assert "systemctl reload docker" in part.reload
    assert "restart docker" not in part.reload


@pytest.mark.parametrize(
    ("version", "store", "works"),
    [
        ("20.10.24", False, False),
        ("24.0.9", True, False),
        ("26.1.5", False, False),
        ("26.1.5", True, True),
        ("27.5.1", True, True),
        ("28.0.0", False, False),
        ("28.0.0", True, True),
    ],
)
def test_a_mirror_with_a_path_is_refused_where_it_does_not_work(version, store, works):
    part = docker.use(cache(mirror=""), facts(version, store=store), OPTIONS)

    assert (part.refused is None) == works


def test_from_28_on_the_containerd_store_gets_hosts_toml_instead_of_a_path():
    part = docker.use(cache(mirror=""), facts("28.0.0", store=True), OPTIONS)

    paths = [f.path for f in part.files]
    assert "/etc/docker/certs.d/docker.io/hosts.toml" in paths
    assert "registry-mirrors" not in daemon_json(part)


def test_the_rest_of_daemon_json_stays_and_the_other_mirrors_stand_behind():
    daemon = {
        "runtimes": {"x": {"path": "/x"}},
        "registry-mirrors": ["https://other.example", f"https://{HOST}/proxy.docker.io"],
    }
    part = docker.use(cache(), facts(daemon=json.dumps(daemon).encode()), OPTIONS)

    assert daemon_json(part) == {
        "runtimes": {"x": {"path": "/x"}},
        "registry-mirrors": [f"https://{MIRROR}", "https://other.example"],
    }


def test_a_file_that_says_it_already_is_kept_to_the_byte():
    ours = b'{"registry-mirrors":   ["https://docker.mirror.test"]}'
    part = docker.use(cache(), facts(daemon=ours, mirrors=[f"https://{MIRROR}"]), OPTIONS)

    assert part.files[0].content == ours
    assert part.loaded


def test_a_right_file_that_the_engine_does_not_run_with_is_reloaded():
    ours = b'{"registry-mirrors": ["https://docker.mirror.test"]}'

    assert not docker.use(cache(), facts(daemon=ours), OPTIONS).loaded


def test_a_broken_daemon_json_is_refused():
    part = docker.use(cache(), facts(daemon=b"{,"), OPTIONS)

    assert isinstance(part.refused, Refused)


def test_docker_cannot_be_kept_from_its_fall_back():
    part = docker.use(cache(), facts(), ClientOptions(fallback=False))

    assert "cannot be kept from falling back" in str(part.refused)


def test_the_containerd_store_is_restarted_only_where_no_container_stops():
    without = cache(mirror="")
    safe = docker.trust(without, facts(store=True, ca=False), OPTIONS)
    busy = docker.trust(without, facts(store=True, ca=False, running=3), OPTIONS)
    live = docker.trust(without, facts(store=True, ca=False, running=3, live=True), OPTIONS)
    never = docker.trust(without, facts(store=True, ca=False), ClientOptions(restart="never"))
    named = docker.trust(cache(), facts(store=True, ca=False), OPTIONS)

    assert [p.loaded for p in (safe, busy, live, never, named)] == [False, True, False, True, True]
    assert "3 containers run" in busy.notes[0]


def test_validate_is_used_from_23_on():
    assert docker.use(cache(), facts("20.10.24"), OPTIONS).check == ""
    assert "dockerd --validate" in docker.use(cache(), facts("23.0.0"), OPTIONS).check


def test_an_engine_that_does_not_run_gets_its_files_and_nothing_else():
    outputs = {"installed": ok(), "info": failed(), "daemon.json": failed(), "ca": ok()}
    found = docker.parse(outputs)
    assert found is not None

    part = docker.use(cache(), found, OPTIONS)

    assert part.loaded
    assert (part.reload, part.test, part.confirm) == ("", "", "")
    assert "does not run" in part.notes[-1]


@pytest.mark.parametrize(
    ("version", "mirrors", "since_start", "said"),
    [
        ("20.10.24", (), True, True),  # they come now
        ("20.10.24", (f"https://{MIRROR}",), False, True),
        ("20.10.24", (f"https://{MIRROR}",), True, False),
        ("26.1.5", (), False, False),
    ],
)
def test_an_engine_whose_builds_need_a_restart_says_so(version, mirrors, since_start, said):
    part = docker.use(cache(), facts(version, mirrors=mirrors, since_start=since_start), OPTIONS)

    assert any("after docker's next restart" in note for note in part.notes) == said
