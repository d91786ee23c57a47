"""The lab, the stand-in releases and an upstream registry, made once for the whole session.

A test module asks for hosts of its own; `deployed` copies a host that was deployed once.
"""

import os
import subprocess
import sys

import pytest

from lab import Lab
from tests.integration.operator import ROOT, operator

HARBOR_NAME = "harbor-cache.example.com"


@pytest.fixture(scope="session", autouse=True)
def run_as_root():
    assert os.geteuid() == 0, "the integration tests make real hosts: run them as root"


@pytest.fixture(scope="session")
def releases():
    """The stand-in releases and images under .lab/releases."""
    for what in ("build", "traefik"):
        subprocess.run([sys.executable, "-m", "lab.release", what], cwd=ROOT, check=True)
    return ROOT / ".lab" / "releases"


@pytest.fixture(scope="module")
def lab(request):
    """A lab of the module's own, taken down at its end."""
    name = request.module.__name__.rpartition(".test_")[2].replace("_", "-")
    with Lab(f"it-{name}") as made:
        yield made


@pytest.fixture
def bare(lab, releases, tmp_path, request):
    """Make a host with nothing on it, and its operator: `host, me = bare("bookworm")`."""

    def make(suite, layer="base", **harbor):
        name = f"h{len(lab.hosts) + 1}-{suite}"
        host = lab.up(name, suite=suite, layer=layer, aliases=(HARBOR_NAME,))
        return host, operator(tmp_path, lab, name, **harbor)

    return make


# Deploying is tested on trixie as well; these on both would take too long for one run.
@pytest.fixture(scope="session", params=["bookworm"])
def site(request, releases, tmp_path_factory):
    """A deployed host for the tests of the operating tasks; each of them leaves it healthy."""
    from tests.integration.operating import Site

    made = Site(request.param, tmp_path_factory.mktemp(f"operate-{request.param}"))
    yield made
    made.lab.down()
