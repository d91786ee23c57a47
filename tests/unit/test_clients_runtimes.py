"""containerd, podman and CRI-O, BuildKit, k3s, GitLab runner, the system's store."""

import tomllib

import pytest
from ruamel.yaml import YAML

from harbor.clients import buildkit, containerd, containers, gitlab, k3s, plan, system
from harbor.errors import Refused
from harbor.inventory import ClientOptions
from tests.unit.builders import failed, file, ok
from tests.unit.clients import CA, HOST, MIRROR, QUAY, cache

OPTIONS, STRICT = ClientOptions(), ClientOptions(fallback=False)
DEBIAN = """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
"""


# -- containerd --------------------------------------------------------------------------------


def containerd_facts(config=DEBIAN, *, dump=None, active=True, loaded=True, used=True):
    found = containerd.parse(
        {
            "installed": ok(),
            "used": ok() if used else failed(),
            "active": ok("active" if active else "inactive"),
            "config": file(config.encode()) if config is not None else failed(),
            "dump": ok(dump if dump is not None else config or "version = 2"),
            "loaded": ok() if loaded else failed(),
        }
    )
    assert found is not None
    return found


def config_of(part):
    return next((f.content.decode() for f in part.files if f.path == containerd.CONFIG), None)


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("mirror", [MIRROR, ""])
def test_hosts_toml_says_where_to_go_and_whether_to_go_on(fallback, mirror):
    options = ClientOptions(fallback=fallback)
    known = cache(mirror=mirror)
    text = containerd.hosts_toml(known, known.upstreams[0], "/certs", options)

    parsed = tomllib.loads(text.decode())
    url = f"https://{mirror}" if mirror else f"https://{HOST}/v2/proxy.docker.io"
    table = parsed["host"][url] if fallback else parsed
    assert parsed["server"] == ("https://registry-1.docker.io" if fallback else url)
    assert table["capabilities"] == ["pull", "resolve"]
    assert table.get("override_path", False) == (not mirror)
    assert table["ca"] == f"/certs/{mirror or HOST}/ca.crt"


def test_config_path_is_added_and_all_else_kept():
    part = containerd.use(cache(), containerd_facts(), OPTIONS)

    after = config_of(part)
    assert after.startswith(DEBIAN)
    cri = tomllib.loads(after)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["registry"] == {"config_path": "/etc/containerd/certs.d"}
    assert "systemctl restart containerd" in part.reload


def test_config_path_goes_into_a_table_that_is_there():
    text = (
        DEBIAN
        + '\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = ""\n[x]\ny = 1\n'
    )
    after = config_of(containerd.use(cache(), containerd_facts(text), OPTIONS))

    assert after.count("config_path") == 1
    assert tomllib.loads(after)["x"] == {"y": 1}


def test_version_3_of_the_file_has_another_table():
    after = config_of(containerd.use(cache(), containerd_facts("version = 3\n"), OPTIONS))

    registry = tomllib.loads(after)["plugins"]["io.containerd.cri.v1.images"]["registry"]
    assert registry == {"config_path": "/etc/containerd/certs.d"}


def test_the_single_quotes_of_containerd_2_are_understood():
    text = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = ''\n"

    after = config_of(containerd.use(cache(), containerd_facts(text), OPTIONS))

    assert after.count("config_path") == after.count("[plugins") == 1


def test_an_older_file_on_containerd_2_is_changed_in_its_own_format():
    old = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "x"\n'

    part = containerd.use(cache(), containerd_facts(old, dump="version = 3\n"), OPTIONS)

    plugins = tomllib.loads(config_of(part))["plugins"]
    assert list(plugins) == ["io.containerd.grpc.v1.cri"]
    assert part.check.endswith("| grep -F config_path | grep -qF /etc/containerd/certs.d")


def test_a_missing_config_is_made():
    after = config_of(
        containerd.use(cache(), containerd_facts(None, dump="version = 2\n"), OPTIONS)
    )

    assert tomllib.loads(after)["version"] == 2


def test_a_config_path_of_the_operators_is_used_as_it_is():
    text = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/x:/y"\n'
    part = containerd.use(cache(), containerd_facts(text), OPTIONS)

    assert config_of(part) == text
    assert part.files[0].path == "/x/docker.io/hosts.toml"
    assert (
        containerd.trust(cache(), containerd_facts(text), OPTIONS).files[0].path.startswith("/x/")
    )


def test_legacy_mirrors_and_inline_tables_are_refused():
    legacy = '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://x"]\n'
    inline = 'plugins = {"io.containerd.grpc.v1.cri" = {registry = {}}}\n'

    for text in (legacy, inline):
        assert isinstance(containerd.use(cache(), containerd_facts(text), OPTIONS).refused, Refused)


def test_without_cri_only_hosts_toml_files_are_needed_and_no_restart():
    part = containerd.use(cache(), containerd_facts('disabled_plugins = ["cri"]\n'), OPTIONS)

    assert config_of(part) is None
    assert part.reload == ""


def test_a_process_older_than_its_file_is_restarted():
    text = (
        '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n'
    )

    assert not containerd.use(cache(), containerd_facts(text, loaded=False), OPTIONS).loaded
    assert containerd.use(cache(), containerd_facts(text), OPTIONS).loaded


def test_dockers_own_containerd_is_left_alone_unless_asked_for():
    outputs = {
        "containerd\x1finstalled": ok(),
        "containerd\x1fused": failed(),
        "containerd\x1factive": ok("active"),
    }

    assert "containerd" not in plan.found(outputs, OPTIONS)
    assert "containerd" in plan.found(outputs, ClientOptions(runtimes=["containerd"]))


# -- podman and CRI-O ------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "blocked"), [(OPTIONS, False), (STRICT, True)])
def test_registries_conf_has_a_mirror_for_each_upstream(options, blocked):
    text = containers.registries_conf(cache(more=(QUAY,)), options).decode()

    hub, quay = tomllib.loads(text)["registry"]
    assert hub["mirror"] == [{"location": MIRROR}]
    assert quay["mirror"] == [{"location": f"{HOST}/proxy.quay.io"}]
    assert hub.get("blocked", False) == blocked


def test_crio_is_reloaded_and_podman_is_not():
    podman = containers.Facts(podman=True, crio=False)
    crio = containers.Facts(podman=False, crio=True)

    assert containers.use(cache(), podman, OPTIONS).reload == ""
    assert containers.use(cache(), crio, OPTIONS).reload == "systemctl reload crio"


# -- BuildKit -------------------------------------------------------------------------------------


def test_buildkitd_toml_keeps_what_is_there():
    before = "# mine\ndebug = true\n"
    after = buildkit.with_registries(before, cache())

    parsed = tomllib.loads(after)
    assert after.startswith(before)
    assert parsed["registry"]["docker.io"] == {"mirrors": [MIRROR]}
    assert parsed["registry"][MIRROR] == {"ca": [f"/etc/buildkit/certs/{MIRROR}/ca.crt"]}
    assert buildkit.with_registries(after, cache()) == after


def test_buildkitd_toml_with_other_mirrors_is_refused():
    with pytest.raises(Refused, match=r"has settings of its own for docker\.io"):
        buildkit.with_registries('[registry."docker.io"]\nmirrors = ["x"]\n', cache())


# -- k3s --------------------------------------------------------------------------------------------


def test_registries_yaml_is_merged_with_its_comments():
    before = b"# mine\nmirrors:\n  quay.io:\n    endpoint: [https://q]  # keep\n"
    after = k3s.merged(before, cache(), "/etc/rancher/k3s")

    parsed = YAML(typ="safe").load(after)
    assert b"# mine" in after
    assert b"# keep" in after
    assert parsed["mirrors"]["docker.io"] == {"endpoint": [f"https://{MIRROR}"]}
    assert parsed["mirrors"]["quay.io"] == {"endpoint": ["https://q"]}
    assert k3s.merged(after, cache(), "/etc/rancher/k3s") == after


def test_without_a_mirror_name_k3s_rewrites_to_the_project():
    wanted = k3s.registries(cache(mirror=""), "/etc/rancher/k3s")

    assert wanted["mirrors"]["docker.io"] == {
        "endpoint": [f"https://{HOST}"],
        "rewrite": {"^(.*)$": "proxy.docker.io/$1"},
    }


def test_k3s_is_restarted_when_its_process_is_older():
    outputs = {
        "flavour": ok("k3s"),
        "unit": ok("k3s-agent"),
        "registries.k3s": failed(),
        "loaded.k3s": failed(),
    }
    found = k3s.parse(outputs)
    assert found is not None

    part = k3s.use(cache(), found, OPTIONS)

    assert part.files[0].path == "/etc/rancher/k3s/registries.yaml"
    assert "systemctl restart k3s-agent" in part.reload


# -- GitLab runner -----------------------------------------------------------------------------------

RUNNER = """concurrent = 4

[[runners]]
  name = "shell"
  executor = "shell"

[[runners]]
  name = "docker"
  executor = "docker"
  [runners.docker]
    image = "alpine"
    volumes = ["/cache"]
  [runners.cache]
    Type = "s3"

[[runners]]
  executor = "docker"
  [runners.docker]
    image = "alpine"
"""


def test_every_docker_executor_gets_the_volumes_once():
    wanted = gitlab.volumes(cache())
    after = gitlab.with_volumes(RUNNER, wanted)

    runners = tomllib.loads(after)["runners"]
    assert "docker" not in runners[0]
    assert runners[1]["docker"]["volumes"] == ["/cache", *wanted]
    assert runners[1]["cache"] == {"Type": "s3"}
    assert runners[2]["docker"]["volumes"] == wanted
    assert gitlab.with_volumes(after, wanted) == after


def test_a_runner_config_of_another_style_is_refused():
    inline = '[[runners]]\ndocker = {image = "alpine"}\n'

    with pytest.raises(Refused, match="cannot be changed safely"):
        gitlab.with_volumes(inline, ["/a:/b"])


def test_dind_needs_a_mirror_name():
    found = gitlab.parse({"installed": ok(), "config": file(RUNNER.encode())})
    assert found is not None

    assert isinstance(gitlab.use(cache(mirror=""), found, OPTIONS).refused, Refused)


# -- the system's store ---------------------------------------------------------------------------


def test_one_file_a_certificate_and_the_bundle_tells_whether_it_is_in():
    lacking = system.trust(cache(ca=CA + CA), system.Facts(system.DEBIAN, ""), OPTIONS)
    there = system.trust(cache(), system.Facts(system.DEBIAN, CA.decode()), OPTIONS)

    assert len(lacking.files) == 2
    assert (lacking.loaded, there.loaded) == (False, True)
    assert "update-ca-certificates" in lacking.reload


def test_red_hats_folder_and_tool():
    found = system.parse({"debian": failed(127), "redhat": ok("")})

    assert "update-ca-trust" in system.trust(cache(), found, OPTIONS).reload


@pytest.mark.parametrize(
    ("choice", "version", "needed"),
    [
        ("auto", "20.10.24", False),
        ("auto", "26.1.5", True),
        ("always", "20.10.24", True),
        ("never", "26.1.5", False),
    ],
)
def test_the_systems_store_is_filled_only_where_a_runtime_needs_it(choice, version, needed):
    from tests.unit.test_clients_docker import facts

    options = ClientOptions(system_store=choice)

    assert plan.system_store_needed(cache(), {"docker": facts(version)}, options) == needed


def test_where_nothing_may_be_restarted_the_files_wait():
    there = {"containerd": containerd_facts(loaded=False)}

    (part,) = plan.use(cache(), there, ClientOptions(restart="never"))

    assert (part.loaded, part.reload) == (True, "")
    assert part.files
    assert "was not restarted" in part.notes[-1]
