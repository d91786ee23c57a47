"""The same on Harbor 2.7.4: the article, everything that it has, and its specification."""

import pytest

from tests.integration import test_configure
from tests.integration.configured import Site
from tests.integration.operator import RELEASES
from tests.spec import specification
from tests.unit.test_configuration import ARTICLE, EVERYTHING


@pytest.fixture(scope="module")
def site(lab, releases, tmp_path_factory):
    made = Site(lab, tmp_path_factory.mktemp("operator"), "2.7.4", client=False)
    made.prepare()
    made.me.set(trivy={"enabled": True})
    made.me.fab("deploy")
    yield made
    made.close()


def everything(site):
    """With the scans too: here is a scanner."""
    return {**test_configure.everything(site), "scan": EVERYTHING["scan"]}


def test_everything_is_applied_and_a_second_run_writes_nothing(site):
    assert set(site.registries()) == set(ARTICLE["registries"])

    site.configure(everything(site))
    site.writes()
    again = site.me.fab("configure")

    assert again.changes == []
    assert site.writes() == []
    scans = site.api("GET", "/system/scanAll/schedule")[1]["schedule"]
    assert scans["cron"].split()[3:] == ["*", "*", "*"]


def test_what_this_release_has_not_is_refused_by_name(site):
    newer = {**ARTICLE, "projects": {"p": {"registry": "quay.io", "max_upstream_conn": 5}}}

    refused = site.configure(newer, expect=3)

    assert "max_upstream_conn needs Harbor 2.14.1 (2.7.4 is declared)" in refused.text
    site.me.set(configuration=everything(site))


def test_every_answer_is_of_the_specification(site):
    api = specification("2.7.4")
    for path in (
        "/configurations",
        "/projects",
        "/quotas?reference=project",
        "/registries",
        "/robots",
        "/system/gc/schedule",
        "/system/purgeaudit/schedule",
        "/systeminfo",
        "/systeminfo/volumes",
        "/users/current",
    ):
        status, body = site.api("GET", path)
        assert status == 200, path
        api.check_answer("GET", path.partition("?")[0], body)


def test_garbage_collection_without_numbers_in_its_result(site):
    done = site.me.fab("gc", "--dry-run")

    assert "dry run: 0 blobs eligible for deletion, the GC could free up 0 bytes" in done.text


def test_an_upgrade_over_too_many_release_lines_is_refused(site):
    newer = RELEASES / "harbor-offline-installer-v2.15.2.tgz"
    site.me.set(version="2.15.2", release={"file": str(newer)})

    refused = site.me.fab("deploy", expect=9)

    assert "2.7.4 is installed: 2.15.2 upgrades from 2.12 and later only" in refused.text
    assert site.api("GET", "/systeminfo")[1]["harbor_version"].startswith("v2.7.4")
