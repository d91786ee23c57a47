"""Certificates on the port, image names, evidence in Harbor's log, rewriting and rendering."""

import datetime
import json

import pytest
from ruamel.yaml import YAML

from harbor import mirrors
from harbor.certificates import create_authority, issue
from harbor.clients import cache as caches
from harbor.clients import cut, images, login, proof, pulls, rewrite, rollout, served
from harbor.errors import Refused, SettingsError
from harbor.inventory import ClientOptions, client_options, parse_inventory
from harbor.shell import Secret
from tests.unit.builders import AUTHORITY, NOW, parsed, settings
from tests.unit.clients import HOST, MIRROR, QUAY, cache
from tests.unit.test_clients_docker import facts

LATER = NOW + datetime.timedelta(days=1)
LEAF = issue(AUTHORITY, [HOST], NOW).chain
OTHER = create_authority("other", NOW)
NAMED = {"docker.io": {"name": MIRROR}, "quay.io": {"project": "q"}}


# -- what is served -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "trusted", "name", "now", "problem"),
    [
        (LEAF, AUTHORITY.chain, HOST, LATER, ""),
        (LEAF, OTHER.chain + AUTHORITY.chain, HOST, LATER, ""),
        (LEAF, LEAF, HOST, LATER, ""),
        (b"", AUTHORITY.chain, HOST, LATER, "shows no certificate"),
        (LEAF, OTHER.chain, HOST, LATER, "another CA"),
        (LEAF + OTHER.chain, OTHER.chain, HOST, LATER, "another CA"),
        (LEAF, AUTHORITY.chain, "x.example.com", LATER, f"for {HOST}, not for x.example.com"),
        (LEAF, AUTHORITY.chain, HOST, NOW + datetime.timedelta(days=500), "valid until"),
    ],
)
def test_what_answers_must_belong_to_the_ca(chain, trusted, name, now, problem):
    shown, anchors = (served.certificates(pem.decode()) for pem in (chain, trusted))

    found = served.problem(shown, anchors, name, now)

    assert problem in found
    assert bool(found) == bool(problem)


def test_both_cas_are_kept_during_a_change_each_once_and_no_expired_one():
    old = create_authority("old", NOW - datetime.timedelta(days=4000))

    found = served.bundle(OTHER.chain, AUTHORITY.chain + OTHER.chain, old.chain, now=NOW)

    assert found == OTHER.chain + AUTHORITY.chain


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "full", "reference"),
    [
        ("nginx", "docker.io/library/nginx:latest", "latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "1.27"),
        ("grafana/loki", "docker.io/grafana/loki:latest", "latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest", "latest"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x", "x"),
        ("localhost:5000/a", "localhost:5000/a:latest", "latest"),
        ("nginx@sha256:ab", "docker.io/library/nginx@sha256:ab", "sha256:ab"),
        ("nginx:1@sha256:ab", "docker.io/library/nginx:1@sha256:ab", "sha256:ab"),
    ],
)
def test_names_are_read_as_docker_reads_them(text, full, reference):
    image = images.parse(text)

    assert (str(image), image.reference) == (full, reference)


@pytest.mark.parametrize("text", ["", "A/B", "a b", ":x"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(SettingsError):
        images.parse(text)


def test_an_index_gives_the_manifest_of_a_platform():
    index = {
        "manifests": [
            {"digest": "sha256:a", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:x", "platform": {"os": "unknown", "architecture": "unknown"}},
        ]
    }

    assert images.choose(index, "linux/amd64", "x") == "sha256:a"
    with pytest.raises(Refused, match="it has linux/amd64"):
        images.choose(index, "linux/s390x", "x")


def test_an_image_is_its_configuration_and_its_layers():
    manifest = {"config": {"digest": "c", "size": 1}, "layers": [{"digest": "l", "size": 20}]}

    content = images.content("sha256:m", json.dumps(manifest), index=False)

    assert (dict(content.blobs), content.size) == ({"c": 1, "l": 20}, 21)


# -- evidence -----------------------------------------------------------------------------------------

LOG = """\
2026-11-25T01:38:00+00:00 172.18.0.1 proxy[914]: 172.18.0.7 - - [25/Nov/2026:01:38:00 +0000] \
"GET /v2/proxy.docker.io/library/busybox/manifests/1.36 HTTP/1.1" 200 527 "-" "docker/20.10"
2026-11-25T01:38:00+00:00 172.18.0.1 proxy[914]: 172.18.0.7 - - [25/Nov/2026:01:38:00 +0000] \
"GET /v2/proxy.docker.io/library/busybox/blobs/sha256:16 HTTP/1.1" 200 1093725 "-" "docker/20.10"
2026-11-25T01:38:00+00:00 172.18.0.1 proxy[914]: 172.18.0.7 - - [25/Nov/2026:01:38:00 +0000] \
"GET /v2/proxy.docker.io/library/busybox/blobs/sha256:17 HTTP/1.1" 404 90 "-" "docker/20.10"
2026-11-25T01:38:00+00:00 172.18.0.1 proxy[914]: 172.18.0.7 - - [25/Nov/2026:01:38:00 +0000] \
"GET /v2/proxy.docker.io/library/busybox2/manifests/1.36 HTTP/1.1" 200 527 "-" "curl/8.14.1"
"""


def test_the_log_of_requests_tells_who_came():
    assert proof.evidence(LOG, "proxy.docker.io", "library/busybox") == proof.Evidence(
        1, 1, 1093725
    )


def test_our_own_questions_and_other_repositories_prove_nothing():
    assert not proof.evidence(LOG, "proxy.docker.io", "library/busybox2").seen
    assert not proof.evidence(LOG, "proxy.quay.io", "library/busybox").seen


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        ("ratelimit-limit: 100;w=21600\r\nratelimit-remaining: 76;w=21600", "76 of 100 in 6 h"),
        ("RateLimit-Limit: 200\nRateLimit-Remaining: 7", "7 of 200"),
        ("content-type: x", "unlimited"),
    ],
)
def test_docker_hubs_headers_are_read(headers, budget):
    assert proof.parse_budget(headers) == budget


def test_each_runtime_is_asked_for_the_name_that_it_mirrors():
    hub, quay = cache(more=(QUAY,)).upstreams
    known, image = cache(more=(QUAY,)), images.parse("quay.io/a:1")

    assert pulls.name_for("docker", facts(), known, hub, images.parse("a")) == (
        "docker.io/library/a:latest"
    )
    assert pulls.name_for("docker", facts(), known, quay, image) == f"{HOST}/proxy.quay.io/a:1"
    assert pulls.name_for("podman", None, known, quay, image) == "quay.io/a:1"


def test_a_cut_that_would_hurt_the_database_is_refused():
    secrets = {"PASSWORD": "x"}
    outside = {"host": "db", "username": "u", "password": {"env": "PASSWORD"}}

    assert cut.refusal(settings()) is None
    assert "external_database" in str(cut.refusal(settings(secrets, external_database=outside)))
    assert "--on-active=180" in cut.cut()


# -- mirror names -------------------------------------------------------------------------------------


def test_two_routers_a_name_and_only_reads_of_one_project():
    harbor = settings(mirrors=NAMED).harbor
    found = mirrors.configuration(harbor)

    assert sorted(found["routers"]) == ["mirror-docker-io", "mirror-docker-io-ping"]
    read = found["routers"]["mirror-docker-io"]
    assert f"Host(`{MIRROR}`) && (Method(`GET`) || Method(`HEAD`))" in read["rule"]
    assert found["middlewares"]["mirror-docker-io"]["replacePathRegex"] == {
        "regex": "^/v2/(.+)",
        "replacement": "/v2/proxy.docker.io/$1",
    }
    assert read["priority"] < found["routers"]["mirror-docker-io-ping"]["priority"]


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/v2/library/nginx/manifests/1.27", True),
        ("/v2/a/b/c/blobs/sha256:" + "a" * 64, True),
        ("/v2/a/tags/list", True),
        ("/v2/a/referrers/sha256:" + "a" * 64, True),
        ("/v2/../api/v2.0/projects", False),
        ("/v2/a/../b/manifests/1", False),
        ("/v2/a//manifests/1", False),
        ("/v2/a/manifests/..", False),
        ("/v2/a%2fb/manifests/1", False),
        ("/v2/a/blobs/uploads/", False),
        ("/v2/_catalog", False),
        ("/v2/a/manifests/1/x", False),
        ("/v2/a/manifests/1\n", False),
    ],
)
def test_the_pattern_admits_one_repository_and_nothing_else(path, reached):
    import re

    # Go's `$` is the end of the text; Python's would admit a line feed before it.
    assert bool(re.fullmatch(mirrors.READ_PATH.strip("^$"), path)) == reached


def test_the_certificate_carries_the_names_and_the_service_is_that_of_the_provider():
    from harbor.steps import tls

    labels, file = (
        settings(mirrors=NAMED, traefik={"provider": provider}) for provider in ("docker", "file")
    )

    assert MIRROR in tls.names(labels)
    assert b'"harbor@docker"' in mirrors.rendered(labels.harbor)
    assert b"@docker" not in mirrors.rendered(file.harbor)
    assert mirrors.rendered(settings().harbor).count(b"\n") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"mirrors": {"docker.io": {"name": HOST}}},
        {"mirrors": {"docker.io": {"name": MIRROR}, "quay.io": {"name": MIRROR}}},
        {"mirrors": NAMED, "traefik": {"version": "v2.11.31"}},
        {"mirrors": NAMED, "tls": {"ends_at": "harbor"}},
        {"mirrors": {"docker.io": {"nme": "x"}}},
    ],
)
def test_mirror_names_that_cannot_work_are_refused(changes):
    assert len(parsed(**changes)[1]) == 1


def test_only_upstreams_with_a_project_are_offered():
    harbor = settings(mirrors=NAMED, external_url="https://h.example.com:8443").harbor

    found = caches.of(harbor, b"", ["proxy.docker.io"])

    assert [u.origin for u in found.upstreams] == ["docker.io"]
    assert found.hosts == ["h.example.com:8443", f"{MIRROR}:8443"]
    assert found.test_references() == [f"{MIRROR}:8443/library/hello-world:latest"]


# -- rewriting --------------------------------------------------------------------------------------


def test_compose_and_manifests_keep_everything_but_the_names():
    before = (
        "services:\n  web:\n    image: nginx:1.27  # the web\n  q:\n    image: 'quay.io/a/b'\n"
        "  own:\n    image: registry.example.com/x\n  var:\n    image: ${IMAGE}\n"
        'containers:\n- image: "redis"\n  imagePullPolicy: Always\n'
    )
    after = rewrite.rewritten(before, cache(more=(QUAY,)), dockerfile=False)

    assert after == (
        f"services:\n  web:\n    image: {MIRROR}/library/nginx:1.27  # the web\n  q:\n"
        f"    image: '{HOST}/proxy.quay.io/a/b:latest'\n"
        "  own:\n    image: registry.example.com/x\n  var:\n    image: ${IMAGE}\n"
        f'containers:\n- image: "{MIRROR}/library/redis:latest"\n  imagePullPolicy: Always\n'
    )
    assert rewrite.rewritten(after, cache(more=(QUAY,)), dockerfile=False) == after


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a: {image: nginx:1.27}", "{image: docker.mirror.test/library/nginx:1.27}"),
        ('a: {x: 1, "image": "nginx", y: 2}', '"docker.mirror.test/library/nginx:latest", y: 2}'),
        ('command: "a, image: nginx"', 'command: "a, image: nginx"'),
        ("# {image: nginx}", "# {image: nginx}"),
    ],
)
def test_images_in_flow_style_are_led_and_other_text_is_not(line, name):
    assert rewrite.rewritten(line, cache(), dockerfile=False).endswith(name)


def test_dockerfiles_keep_their_stages():
    before = (
        "FROM --platform=linux/amd64 golang:1 AS build\nFROM scratch\nFROM build AS two\n"
        "COPY --from=build /a /a\nCOPY --from=busybox /b /b\nFROM $BASE\n"
    )
    after = rewrite.rewritten(before, cache(), dockerfile=True)

    assert after == (
        f"FROM --platform=linux/amd64 {MIRROR}/library/golang:1 AS build\nFROM scratch\n"
        f"FROM build AS two\nCOPY --from=build /a /a\n"
        f"COPY --from={MIRROR}/library/busybox:latest /b /b\nFROM $BASE\n"
    )
    assert rewrite.is_dockerfile("app.Dockerfile")
    assert not rewrite.is_dockerfile("compose.yaml")


# -- rendering ----------------------------------------------------------------------------------------


def test_cloud_init_writes_files_and_reloads():
    text = rollout.cloud_init(cache(), ["docker", "podman"], ClientOptions())

    document = YAML(typ="safe").load(text)
    assert text.startswith("#cloud-config\n")
    assert {f["path"] for f in document["write_files"]} >= {
        f"/etc/docker/certs.d/{MIRROR}/ca.crt",
        "/etc/docker/daemon.json",
        "/etc/containers/registries.conf.d/50-harbor-cache.conf",
    }
    assert document["runcmd"][0] == "update-ca-certificates"


def test_the_daemonset_carries_every_file():
    text = rollout.daemonset(cache(), ClientOptions(), "busybox:1.36")

    config_map, daemonset = YAML(typ="safe").load_all(text)
    script = daemonset["spec"]["template"]["spec"]["containers"][0]["command"][2]
    assert len(config_map["data"]) == script.count("install -D")
    assert "/host/etc/containerd/certs.d/docker.io/hosts.toml" in script


def test_docker_is_not_rendered_without_a_mirror_name():
    with pytest.raises(Refused):
        rollout.files(cache(mirror=""), "docker", ClientOptions())
    with pytest.raises(SettingsError):
        rollout.files(cache(), "rkt", ClientOptions())


# -- options and login ----------------------------------------------------------------------------------


def test_options_of_a_client_win_and_mistakes_are_named():
    hosts = {
        "h": {"role": "harbor"},
        "c": {"role": "client", "client": {"fallback": False}},
    }
    found, mistakes = parse_inventory(
        {"hosts": hosts, "client": {"restart": "never", "fallback": True}}, "hosts.yaml"
    )
    assert (found is not None, mistakes) == (True, [])
    options = client_options(found, "c")
    assert (options.fallback, options.restart) == (False, "never")

    hosts["c"]["client"] = {"restrt": "never"}
    _, mistakes = parse_inventory({"hosts": hosts}, "hosts.yaml")

    assert mistakes == ["hosts.yaml: hosts.c.client.restrt: unknown key; did you mean `restart`?"]


def test_the_password_of_a_login_is_no_argument():
    script = login.script(HOST, "robot$client-x", Secret("Aa1secret"))

    assert script.splitlines()[0] == (
        f"docker login {HOST} -u 'robot$client-x' --password-stdin >/dev/null <<'@end'"
    )
    assert login.keeps_in_clear({}, HOST)
    assert not login.keeps_in_clear({"credsStore": "pass"}, HOST)
    permissions = login.robot("x", cache())["permissions"]
    assert permissions[0]["access"] == [{"resource": "repository", "action": "pull"}]


def test_a_project_is_found_by_the_registry_that_it_is_bound_to():
    harbor = settings(
        mirrors={"registry.k8s.io": {}, "quay.io": {}},
        configuration={
            "registries": {"k8s": {"upstream": "registry.k8s.io"}},
            "projects": {"proxy.k8s.gcr.io": {"registry": "k8s", "public": True}},
        },
    ).harbor

    assert caches.all_projects(harbor) == ["proxy.k8s.gcr.io", "proxy.quay.io"]
