"""The lab, the stand-in releases and an upstream registry, made once for the whole session.

A test module asks for hosts of its own; `deployed` copies a host that was deployed once.
"""

import os
import subprocess
import sys

import pytest
from xdist.scheduler import LoadScopeScheduling

from lab import Lab
from tests.integration.operator import ROOT, operator

HARBOR_NAME = "harbor-cache.example.com"
SUITES = ["bookworm", "trixie"]
OPERATING = ("doctor", "history", "lifecycle", "prune")  # they share `site`, below


class BySite(LoadScopeScheduling):
    """What shares a deployed host runs in one worker, in the order it stands in."""

    def _split_scope(self, nodeid):
        module = nodeid.partition("::")[0].rpartition("test_")[2].removesuffix(".py")
        shared = "operate" if module in OPERATING else module
        return shared, next((suite for suite in SUITES if suite in nodeid), "")


def pytest_xdist_make_scheduler(config, log):
    return BySite(config, log)


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
    with Lab(f"it-{name}-{os.environ.get('PYTEST_XDIST_WORKER', 'one')}") as made:
        yield made


@pytest.fixture
def bare(lab, releases, tmp_path, request):
    """Make a host with nothing on it, and its operator: `host, me = bare("bookworm")`."""

    def make(suite, layer="base", **harbor):
        name = f"h{len(lab.hosts) + 1}-{suite}"
        host = lab.up(name, suite=suite, layer=layer, aliases=(HARBOR_NAME,))
        return host, operator(tmp_path, lab, name, **harbor)

    return make


@pytest.fixture(scope="session", params=SUITES)
def site(request, releases, tmp_path_factory):
    """A deployed host for the tests of the operating tasks; each of them leaves it healthy."""
    from tests.integration.operating import Site

    made = Site(request.param, tmp_path_factory.mktemp(f"operate-{request.param}"))
    yield made
    made.lab.down()
