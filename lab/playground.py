"""The default lab, ready for the shipped hosts.yaml: `python3 -m lab.playground`.

A bare host for Harbor, an upstream registry with images that plays the public ones, two docker
clients, and the stand-in release under `.lab/releases`.
"""

import json
import sys

from lab import Host, Lab
from lab.__main__ import DEFAULT_HOSTS
from lab.console import say
from lab.errors import LabError
from lab.paths import runs
from lab.release import bundle, traefik, upstream

HARBOR_VERSION = "2.15.2"
PUBLIC = ("gcr.io", "registry.k8s.io", "quay.io")


def main() -> int:
    """Build and start what is not there yet."""
    try:
        say("the stand-in Harbor release and Traefik's image (a few minutes the first time)")
        bundle.build([HARBOR_VERSION], runs() / "releases")
        traefik.build(traefik.VERSION, runs() / "releases")
        lab = Lab()
        there = {host.name for host in lab.hosts}
        lab.up_all([spec for spec in DEFAULT_HOSTS if spec.name not in there])
        url = upstream.serve(lab.host("upstream"))
        for pushed in upstream.push_all(url):
            say(f"the upstream has {pushed.name}:{pushed.tag}")
        play_public_registries(lab.host("ar-harbor-01"), url)
    except LabError as failed:
        say(f"{failed}")
        return 1
    return 0


def play_public_registries(harbor: Host, url: str) -> None:
    """The stand-in on `harbor` asks the registry at `url` where Harbor would ask the public ones."""
    harbor.run("install -d -o 10000 -g 10000 /data/stand-in")
    harbor.write("/data/stand-in/docker-hub-url", f"{url}\n")
    harbor.write("/data/stand-in/upstreams.json", json.dumps(dict.fromkeys(PUBLIC, url)))


if __name__ == "__main__":
    sys.exit(main())
