"""Image names and files for machines and fleets that these tasks do not reach.

Tasks import what they use when they run: `fab --list` loads none of it.
"""

import invoke
from fabric import task


@task(
    positional=["file"],
    help={
        "file": "a compose file, Kubernetes manifest or Dockerfile",
        "write": "change the file; else only the difference is printed",
        "cache": "the Harbor host whose cache it is (default: the only one)",
        "prefix": "Harbor's own name and project, even where there is a mirror name",
    },
)
def rewrite(
    c: invoke.Context, file: str, write: bool = False, cache: str = "", prefix: bool = False
) -> None:
    """Lead the image names of a file through the cache, and print the difference.

    Works without any host: nothing but the inventory is read.
    """
    from pathlib import Path

    from harbor.clients import rewrite as rewriting
    from harbor.errors import SettingsError
    from tasks import _names

    path = Path(file)
    try:
        before = path.read_text()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: {error}") from None
    found = _names.declared_cache(cache, prefix=prefix)
    after = rewriting.rewritten(before, found, dockerfile=rewriting.is_dockerfile(path.name))
    print(rewriting.diff(before, after, file), end="")  # noqa: T201
    if write and after != before:
        path.write_text(after)


@task(
    help={
        "kind": "files, cloud-init or daemonset",
        "runtime": "docker, containerd, podman, buildkit or k3s; several with commas",
        "cache": "the Harbor host whose cache it is (default: the only one)",
        "image": "daemonset: an image with sh, install and sleep",
    }
)
def render(
    c: invoke.Context,
    kind: str = "files",
    runtime: str = "containerd",
    cache: str = "",
    image: str = "docker.io/library/busybox:1.36",
) -> None:
    """Print what clients need, for fleets that another engine rolls out.

    The CA is read from the Harbor host, and has to be the one that answers on its port.
    """
    from tasks import _names

    print(_names.rendered(c, kind, runtime.split(","), cache, image), end="")  # noqa: T201
