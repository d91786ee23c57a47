"""The files of `trust-cert` and `use-cache` for fleets that something else rolls out.

files: every file under its path · cloud-init: write_files and the commands behind it ·
daemonset: for Kubernetes nodes with containerd, where config_path is set already.
"""

import io
import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from harbor.clients import buildkit, containerd, containers, k3s, system
from harbor.clients.cache import Cache
from harbor.clients.part import ca_files
from harbor.errors import Refused, SettingsError
from harbor.files import ManagedFile
from harbor.inventory import ClientOptions
from harbor.paths import DAEMON_JSON

KINDS = ("files", "cloud-init", "daemonset")
RUNTIMES = ("docker", "containerd", "podman", "buildkit", "k3s")
NAME = "harbor-cache-hosts"
# A node may have none of them; `try-restart` fails on a unit that is not installed.
_IF_ACTIVE = "for u in {units}; do if systemctl is-active -q $u; then systemctl {verb} $u; fi; done"
RELOADS = {
    "docker": "systemctl try-reload-or-restart docker",
    "containerd": "systemctl try-restart containerd",
    "podman": _IF_ACTIVE.format(units="crio", verb="reload-or-restart"),
    "buildkit": _IF_ACTIVE.format(units="buildkit", verb="restart"),
    "k3s": _IF_ACTIVE.format(units="k3s k3s-agent", verb="restart"),
}


def files(cache: Cache, runtime: str, options: ClientOptions) -> list[ManagedFile]:
    """What a new machine needs for one runtime. Raises SettingsError, Refused."""
    if runtime == "docker":
        return [*ca_files("/etc/docker/certs.d", cache.hosts, cache.ca), _daemon_json(cache)]
    if runtime == "containerd":
        return [*ca_files(containerd.CERTS, cache.hosts, cache.ca), *_hosts_toml(cache, options)]
    if runtime == "podman":
        conf = ManagedFile(containers.REGISTRIES, containers.registries_conf(cache, options))
        return [*ca_files(containers.CERTS, cache.hosts, cache.ca), conf]
    if runtime == "buildkit":
        toml = ManagedFile(buildkit.CONFIG, buildkit.with_registries("", cache).encode())
        return [*ca_files(buildkit.CERTS, cache.hosts, cache.ca), toml]
    if runtime == "k3s":
        folder = "/etc/rancher/k3s"
        content = k3s.merged(b"", cache, folder)
        registries = ManagedFile(f"{folder}/registries.yaml", content, mode=0o600)
        return [*ca_files(f"{folder}/harbor-cache", cache.hosts, cache.ca), registries]
    raise SettingsError(f"--runtime {runtime}: one of {', '.join(RUNTIMES)}")


def _daemon_json(cache: Cache) -> ManagedFile:
    urls = [f"https://{u.mirror}" for u in cache.upstreams if u.origin == "docker.io" and u.mirror]
    if not urls:
        raise Refused(
            "docker: needs a mirror at the root of a host name",
            "set harbor.mirrors.docker.io.name",
        )
    return ManagedFile(
        DAEMON_JSON, (json.dumps({"registry-mirrors": urls}, indent=2) + "\n").encode()
    )


def _hosts_toml(cache: Cache, options: ClientOptions) -> list[ManagedFile]:
    return [
        ManagedFile(
            f"{containerd.CERTS}/{u.origin}/hosts.toml",
            containerd.hosts_toml(cache, u, containerd.CERTS, options),
        )
        for u in cache.upstreams
    ]


def cloud_init(cache: Cache, runtimes: list[str], options: ClientOptions) -> str:
    """`#cloud-config` for a new machine."""
    wanted = [file for runtime in runtimes for file in files(cache, runtime, options)]
    wanted += [
        ManagedFile(f"{system.DEBIAN}/harbor-cache-{number}.crt", pem)
        for number, pem in enumerate(system.pem_blocks(cache.ca), 1)
    ]
    document = {
        "write_files": [
            {
                "path": file.path,
                "permissions": f"{file.mode:04o}",
                "content": LiteralScalarString(file.content.decode()),
            }
            for file in wanted
        ],
        "runcmd": [
            *(["update-ca-certificates"] if cache.ca else []),
            *(RELOADS[runtime] for runtime in runtimes),
        ],
    }
    return "#cloud-config\n" + _yaml(document)


def daemonset(cache: Cache, options: ClientOptions, image: str) -> str:
    """ConfigMap and DaemonSet that keep containerd's hosts.toml files on every node."""
    wanted = files(cache, "containerd", options)
    data = {
        f"file-{n}": LiteralScalarString(file.content.decode()) for n, file in enumerate(wanted)
    }
    lines = [
        f"install -D -m 0644 /files/file-{number} /host{file.path}"
        for number, file in enumerate(wanted)
    ]
    script = "\n".join(["set -eu", *lines, "echo written", "exec sleep infinity"]) + "\n"
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": "kube-system"},
        "data": data,
    }
    return _yaml(config_map) + "---\n" + _yaml(_daemonset(image, script))


def _daemonset(image: str, script: str) -> dict[str, Any]:
    container = {
        "name": "write",
        "image": image,
        "command": ["sh", "-c", LiteralScalarString(script)],
        "volumeMounts": [
            {"name": "files", "mountPath": "/files", "readOnly": True},
            {"name": "certs", "mountPath": f"/host{containerd.CERTS}"},
        ],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": NAME}},
            {
                "name": "certs",
                "hostPath": {"path": containerd.CERTS, "type": "DirectoryOrCreate"},
            },
        ],
    }
    labels = {"app": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _yaml(document: Any) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def as_text(wanted: list[ManagedFile]) -> str:
    """Every file with its path above it, for people and for copying."""
    return "\n".join(f"# {file.path} ({file.mode:04o})\n{file.content.decode()}" for file in wanted)
