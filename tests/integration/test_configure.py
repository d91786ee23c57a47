"""Harbor's own configuration on a lab host: the article's, everything, every error, and back.

The tests share one site and run in the order they stand here; each says what it starts from.
"""

import copy
import json
import re
import signal
import subprocess
import time

import pytest
from ruamel.yaml import YAML

from tests.integration.configured import HARBOR_NAME, IMAGE, SECRETS, Site
from tests.integration.operator import ROOT
from tests.spec import RELEASES, UNLISTED, distil, load, original, specification
from tests.unit.test_configuration import ARTICLE, EVERYTHING

PROXIES = tuple(ARTICLE["projects"])
# What `fab configure` may need when there is nothing to do.
FEW_REQUESTS = 10


@pytest.fixture(scope="module")
def site(lab, releases, tmp_path_factory):
    made = Site(lab, tmp_path_factory.mktemp("operator"), "2.15.2", client=True)
    made.prepare()
    yield made
    made.close()


@pytest.fixture(scope="module")
def deployed(site):
    return site.me.fab("deploy")


def everything(site):
    """`EVERYTHING` as this site can have it: an upstream with a password would have to check it,
    a scan needs a scanner."""
    values = copy.deepcopy(EVERYTHING)
    values["auth"]["oidc"]["endpoint"] = site.provider.issuer
    values["auth"]["oidc"]["client_secret"] = {"env": "HARBOR_OIDC_CLIENT_SECRET"}
    del values["registries"]["hub"]
    del values["scan"]
    values["projects"]["plain"]["members"] = [{"group": "ops", "role": "maintainer"}]
    return values


# -- the article ------------------------------------------------------------------------------


def test_a_deploy_ends_with_the_articles_tables(site, deployed):
    registries, projects = site.registries(), site.projects()

    assert {n: (r["type"], r["url"]) for n, r in registries.items()} == {
        "docker_hub": ("docker-hub", "https://hub.docker.com"),
        "gcr.io": ("docker-registry", "https://gcr.io"),
        "k8s.gcr.io": ("docker-registry", "https://registry.k8s.io"),
        "quay.io": ("docker-registry", "https://quay.io"),
    }
    for name, wanted in ARTICLE["projects"].items():
        assert projects[name]["registry_id"] == registries[wanted["registry"]]["id"]
        assert projects[name]["metadata"]["public"] == "true"
    assert "configuration: project proxy.docker.io: is missing" in deployed.text


def test_a_second_run_makes_no_write_request(site, deployed):
    site.writes()

    deploy = site.me.fab("deploy")
    plan = site.me.fab("plan")
    configure = site.me.fab("configure", "--json")

    requests = json.loads(configure.text[configure.text.index("{") :])["hosts"][0]["details"]
    assert site.writes() == []
    assert "no changes" in deploy.text
    assert "no changes" in plan.text
    assert requests["requests"]["writes"] == 0
    assert requests["requests"]["reads"] <= FEW_REQUESTS


def test_a_pull_through_each_proxy_project(site, deployed):
    site.me.fab("trust-cert")

    for project in PROXIES:
        image = f"{HARBOR_NAME}/{project}/{IMAGE}"
        pulled = site.client.run(f"docker pull -q {image} && docker rmi {image}").stdout
        assert pulled.startswith(image)


def test_the_plan_shows_what_somebody_clicked_and_configure_mends_it(site, deployed):
    project = site.projects()["proxy.quay.io"]
    site.api("PUT", f"/projects/{project['project_id']}", {"metadata": {"public": "false"}})

    plan = site.me.fab("plan", expect=2)
    done = site.me.fab("configure")

    assert (
        plan.changes
        == done.changes
        == ["configuration: project proxy.quay.io: public: false → true"]
    )
    assert site.projects()["proxy.quay.io"]["metadata"]["public"] == "true"


def test_no_configure_and_configure_false_leave_it_alone(site, deployed):
    changed = copy.deepcopy(ARTICLE)
    changed["projects"]["proxy.gcr.io"]["public"] = False
    site.me.set(configuration=changed)

    flag = site.me.fab("deploy", "--no-configure")
    site.me.set(configure=False)
    setting = site.me.fab("deploy")
    plan = site.me.fab("plan")
    site.me.set(configure=None, configuration=ARTICLE)

    assert flag.changes == setting.changes == plan.changes == []


# -- errors -----------------------------------------------------------------------------------


def extra(name, **fields):
    return {
        **ARTICLE,
        "registries": {**ARTICLE["registries"], name: {"upstream": "quay.io", **fields}},
    }


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "registry r400 (is missing: create it"),
        (401, "the admin password of .env is not the one that Harbor has"),
        (403, "read-only mode"),
        (409, "something of this name is there already"),
        (412, "something else in Harbor still needs it"),
    ],
)
def test_a_refusal_is_reported_and_the_next_run_completes(site, deployed, status, hint):
    name = f"r{status}"
    site.writes()
    site.fault(method="POST", path="^/api/v2.0/registries$", status=status)

    refused = site.configure(extra(name), expect=6)
    attempts = site.writes()
    site.fault()
    done = site.me.fab("configure")

    assert f"registry {name} (is missing" in refused.text
    assert hint in " ".join(refused.text.replace("harbor hint:", "").split())
    assert attempts == ["POST /registries"]
    assert len(done.changes) == 1
    assert name in site.registries()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_out(site, deployed, status):
    site.writes()
    site.fault(method="POST", path="^/api/v2.0/registries$", status=status, times=2)

    site.configure(extra(f"r{status}"))

    assert site.writes().count("POST /registries") == 3


def test_a_connection_that_is_cut_after_the_fact(site, deployed):
    site.fault(method="POST", path="^/api/v2.0/projects$", times=1, cut=True, after=True)
    values = extra("cut")
    values["projects"] = {**values["projects"], "cut": {"registry": "cut", "public": True}}

    done = site.configure(values)

    assert len(done.changes) == 2
    assert "cut" in site.projects()


def test_a_server_fault_that_stays(site, deployed):
    site.fault(method="GET", path="^/api/v2.0/registries$", status=500)

    failed = site.configure(ARTICLE, expect=6)
    site.fault()

    assert "GET /registries: 500 UNKNOWN: internal server error" in failed.text
    assert "core.log" in failed.text


def test_a_conflict_over_what_is_there_by_now_is_no_failure(site, deployed):
    """As where Harbor still makes what a run that was killed had asked for."""
    site.fault(method="POST", path="^/api/v2.0/registries$", times=1, status=409, after=True)

    site.configure(extra("meanwhile"))
    site.fault()

    assert "meanwhile" in site.registries()


def test_a_run_that_is_killed_is_completed_by_the_next(site, deployed):
    values = extra("killed")
    values["projects"] = {
        **values["projects"],
        **{f"killed{n}": {"registry": "killed", "public": True} for n in range(5)},
    }
    site.me.set(configuration=values)
    site.fault(method="POST", path="^/api/v2.0/projects$", delay=1)

    started = site.me.start("configure")
    assert started.says("project killed0")
    started.process.send_signal(signal.SIGKILL)
    started.process.wait()
    site.fault()
    site.me.fab("configure")

    assert "no changes" in site.me.fab("configure").text
    assert {f"killed{n}" for n in range(5)} <= set(site.projects())


def test_an_upstream_that_is_down(site, deployed):
    site.upstream.run("systemctl stop docker-registry")

    refused = site.configure(extra("down"), expect=6)
    site.upstream.run("systemctl start docker-registry")
    done = site.me.fab("configure")

    assert "400 BAD_REQUEST: the registry is unhealthy" in refused.text
    assert "Harbor could not reach the upstream" in refused.text
    assert len(done.changes) == 1


def test_what_harbor_forbids_is_said_before_the_first_write(site, deployed):
    values = extra("never")
    values["projects"] = {**values["projects"], "proxy.gcr.io": {"registry": "quay.io"}}
    site.writes()

    refused = site.configure(values, expect=9)

    assert "project proxy.gcr.io: is bound to registry gcr.io, declared is quay.io" in refused.text
    assert site.writes() == []
    assert "never" not in site.registries()


# -- what is not declared -------------------------------------------------------------------------


def test_undeclared_objects_are_shown_and_deleted_only_when_confirmed(site, deployed):
    before = set(site.registries())

    nobody = site.configure(ARTICLE, "--prune-undeclared", expect=9)
    kept = set(site.registries())
    done = site.me.fab("configure", "--prune-undeclared", "--yes")

    assert "registry r409: is not declared: delete it" in nobody.text
    assert kept == before
    assert set(site.registries()) == set(ARTICLE["registries"])
    assert set(site.projects()) == {*PROXIES, "library"}
    assert "Delete" not in done.text


def test_a_project_that_holds_artifacts_is_never_deleted(site, deployed):
    # What was pulled before may have been lost: Harbor stores it while other tests break it.
    image = f"{HARBOR_NAME}/proxy.quay.io/{IMAGE}"
    site.client.run(f"docker pull -q {image} && docker rmi {image}")
    _wait_for_repository(site, "proxy.quay.io", "busybox")
    less = {**ARTICLE, "projects": {k: ARTICLE["projects"][k] for k in PROXIES[:3]}}
    less["registries"] = {k: v for k, v in ARTICLE["registries"].items() if k != "quay.io"}

    done = site.configure(less, "--prune-undeclared", "--yes")

    assert "project proxy.quay.io: is not declared, and holds 1 repositories: stays" in done.text
    assert "registry quay.io: is not declared, and used by proxy.quay.io: stays" in done.text
    assert "proxy.quay.io" in site.projects()


def _wait_for_repository(site, project, name):
    """A pull becomes a repository a while later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = site.api("GET", f"/projects/{project}/repositories?page_size=100")[1]
        if any(item["name"].endswith(name) for item in found):
            return
        time.sleep(0.5)
    pytest.fail(f"{name} did not become a repository of {project}")


def _pull_and_delete(site, project, name, tag):
    """Something that only the disk still holds."""
    image = f"{HARBOR_NAME}/{project}/{name}:{tag}"
    site.client.run(f"docker pull -q {image} && docker rmi {image}")
    _wait_for_repository(site, project, name)
    path = f"/projects/{project}/repositories/{name.replace('/', '%252F')}"
    assert site.api("DELETE", path)[0] == 200


# -- login --------------------------------------------------------------------------------------


def oidc_alone(site, **fields):
    values = everything(site)
    return {**ARTICLE, "auth": {"mode": "oidc", "oidc": {**values["auth"]["oidc"], **fields}}}


def test_local_users_in_the_way_are_named(site, deployed):
    person = {"username": "ada", "password": "Canary-Ada-1", "email": "a@x.org", "realname": "a"}
    site.api("POST", "/users", person)
    number = next(u["user_id"] for u in site.api("GET", "/users")[1] if u["username"] == "ada")
    site.writes()

    refused = site.configure(oidc_alone(site), expect=9)
    writes = site.writes()
    site.api("DELETE", f"/users/{number}")

    assert "while there are local users besides admin (ada)" in refused.text
    assert "PUT /configurations" not in writes


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/other", "the provider calls itself"),
        (None, "Harbor cannot use http://127.0.0.1:9/dex"),
    ],
)
def test_a_provider_that_is_not_what_is_declared(site, deployed, path, expected):
    endpoint = site.provider.issuer + path if path else "http://127.0.0.1:9/dex"

    refused = site.configure(oidc_alone(site, endpoint=endpoint), expect=9)

    assert expected in refused.text
    assert site.api("GET", "/configurations")[1]["auth_mode"]["value"] == "db_auth"


def test_the_articles_form_is_applied(site, deployed):
    site.writes()

    done = site.configure(oidc_alone(site))
    again = site.me.fab("configure")

    found = {k: v.get("value") for k, v in site.api("GET", "/configurations")[1].items()}
    assert f"redirect URI https://{HARBOR_NAME}/c/oidc/callback" in done.text
    assert {k: v for k, v in found.items() if k.startswith("oidc_") or k == "auth_mode"} | {
        "auth_mode": "oidc_auth",
        "oidc_name": "dex",
        "oidc_endpoint": site.provider.issuer,
        "oidc_client_id": "harbor-cache-oidc-dex",
        "oidc_groups_claim": "groups",
        "oidc_admin_group": "cluster_admins",
        "oidc_scope": "openid,profile,email,groups,offline_access",
        "oidc_verify_cert": True,
        "oidc_auto_onboard": False,
        "oidc_user_claim": "",
    } == {k: v for k, v in found.items() if k.startswith("oidc_") or k == "auth_mode"}
    assert [w for w in site.writes() if not w.endswith("/ping")] == ["PUT /configurations"]
    assert again.changes == []


def test_ldap_takes_its_place(site, deployed):
    ldap = {
        "url": "ldaps://ldap.example.com",
        "base_dn": "dc=example,dc=com",
        "search_dn": "cn=reader,dc=example,dc=com",
        "search_password": {"env": "LDAP_PASSWORD"},
        "group_base_dn": "ou=groups,dc=example,dc=com",
    }
    site.me.secrets["LDAP_PASSWORD"] = "Canary-Ldap-4711"

    site.configure({**ARTICLE, "auth": {"mode": "ldap", "ldap": ldap}})
    again = site.me.fab("configure")

    found = {k: v.get("value") for k, v in site.api("GET", "/configurations")[1].items()}
    assert {
        "auth_mode": "ldap_auth",
        "ldap_url": ldap["url"],
        "ldap_base_dn": ldap["base_dn"],
        "ldap_search_dn": ldap["search_dn"],
        "ldap_group_base_dn": ldap["group_base_dn"],
        "ldap_scope": 2,
    }.items() <= found.items()
    assert again.changes == []
    site.configure(oidc_alone(site))


def test_the_client_for_dex_is_printed_with_a_secret_that_stays(site, deployed):
    known = site.me.secrets.pop("HARBOR_OIDC_CLIENT_SECRET")
    site.me.write()

    first, second = (_dex_client(site) for _ in range(2))

    (client,) = YAML(typ="safe").load(first)["config"]["staticClients"]
    assert first == second
    assert client["id"] == "harbor-cache-oidc-dex"
    assert client["redirectURIs"] == [f"https://{HARBOR_NAME}/c/oidc/callback"]
    assert re.fullmatch(r"[A-Za-z0-9+/]{27}=", client["secret"])
    assert (
        f"HARBOR_OIDC_CLIENT_SECRET={client['secret']}\n" in (site.me.folder / ".env").read_text()
    )
    site.me.secrets["HARBOR_OIDC_CLIENT_SECRET"] = known


def _dex_client(site):
    """Its standard output alone: the operator's own `fab` writes .env anew."""
    fab = [str(ROOT / ".venv/bin/fab"), "dex-client"]
    done = subprocess.run(
        fab, cwd=ROOT, env=site.me.environment(), check=True, capture_output=True, text=True
    )
    return done.stdout


# -- everything, and the way back ---------------------------------------------------------------


def test_everything_is_applied_and_a_second_run_writes_nothing(site, deployed):
    site.configure(everything(site))
    site.writes()

    again = site.me.fab("configure")

    assert again.changes == []
    assert site.writes() == []


def test_a_robot_can_log_in_with_its_own_secret(site, deployed):
    name, secret = "robot$puller", SECRETS["ROBOT"]
    url = "http://127.0.0.1:8080/service/token?service=harbor-registry"

    answer = site.host.run(
        f"curl -sS -o /dev/null -w '%{{http_code}}' -K- '{url}'",
        stdin=f'user = "{name}:{secret}"\n',
    ).stdout

    assert answer == "200"


def test_secrets_are_sent_when_they_change_and_when_asked_to(site, deployed):
    site.writes()

    rotated = site.me.fab("configure", "--rotate")
    site.me.secrets["ROBOT"] = "Canary-Robot-4712"
    changed = site.me.fab("configure")
    again = site.me.fab("configure")

    assert len(rotated.changes) == 3
    assert len(changed.changes) == 2
    assert again.changes == []
    text = site.host.run("cat /var/lib/harbor-cache/fingerprints.json").stdout
    assert not [secret for secret in site.me.secrets.values() if secret in text]


def test_an_export_applied_where_it_came_from_changes_nothing(site, deployed, tmp_path):
    file = tmp_path / "exported.yaml"

    done = site.me.fab("export", "--file", str(file))
    exported = YAML(typ="safe").load(file)
    applied = site.configure(exported["configuration"])
    site.me.set(configuration=everything(site))

    assert "oidc_client_secret: stays as it is" in done.text
    assert "robot robot$puller: left out" in done.text
    assert exported["configuration"]["projects"]["proxy.docker.io"]["quota"] == str(500 * 2**30)
    assert applied.changes == []


def test_every_answer_is_of_the_specification(site, deployed):
    api = specification("2.15.2")
    number = site.projects()["plain"]["project_id"]
    policy = site.projects()["plain"]["metadata"]["retention_id"]

    for path in (
        "/configurations",
        "/projects",
        f"/projects/{number}/members",
        "/quotas?reference=project",
        "/registries",
        f"/retentions/{policy}",
        "/robots",
        "/system/gc/schedule",
        "/system/purgeaudit/schedule",
        "/systeminfo",
        "/systeminfo/volumes",
        "/users",
        "/users/current",
    ):
        status, body = site.api("GET", path)
        assert status == 200, path
        api.check_answer("GET", path.partition("?")[0], body)


# -- garbage collection -------------------------------------------------------------------------


def test_garbage_collection_says_what_it_would_free_and_then_frees_it(site, deployed):
    _pull_and_delete(site, "proxy.gcr.io", "team/app", "1.0")

    dry = site.me.fab("gc", "--dry-run")
    real = site.me.fab("gc", "--workers", "2")
    after = site.me.fab("gc", "--dry-run")

    would = re.search(r"would free (\S+ \S+ in \d+ blobs) \(dry run\)", dry.text)[1]
    assert not would.startswith("0 B")
    assert f"freed {would}" in real.text
    assert "would free 0 B" in after.text


def test_garbage_collection_that_fails_shows_the_end_of_its_log(site, deployed):
    _pull_and_delete(site, "proxy.gcr.io", "library/alpine-like", "latest")
    site.host.run("docker stop registryctl")

    failed = site.me.fab("gc", expect=6)
    site.host.run("docker start registryctl")

    assert re.search(r"garbage collection \d+ ended with Error", failed.text)
    assert "registryctl" in failed.text


# -- passwords --------------------------------------------------------------------------------------


def test_a_password_that_harbor_has_not_is_said_clearly(site, deployed):
    right = site.me.secrets["HARBOR_ADMIN_PASSWORD"]
    site.me.secrets["HARBOR_ADMIN_PASSWORD"] = "Canary-Wrong-1"

    failed = site.me.fab("configure", expect=6)
    site.me.secrets["HARBOR_ADMIN_PASSWORD"] = right

    assert "401 UNAUTHORIZED" in failed.text
    assert "the admin password of .env is not the one that Harbor has" in failed.text


def test_the_admin_password_is_rotated_and_an_interrupted_rotation_goes_on(site, deployed):
    old = site.me.secrets["HARBOR_ADMIN_PASSWORD"]
    site.me.secrets["HARBOR_ADMIN_PASSWORD__NEXT"] = "Canary-Next-4711"
    # As if the run had been cut off between Harbor's change and .env's.
    changed = {"old_password": old, "new_password": "Canary-Next-4711"}
    assert site.api("PUT", "/users/1/password", changed)[0] == 200

    site.me.fab("rotate", "admin")
    site.renewed_secrets()

    assert site.me.secrets["HARBOR_ADMIN_PASSWORD"] == "Canary-Next-4711"
    assert "HARBOR_ADMIN_PASSWORD__NEXT" not in site.me.secrets
    assert site.me.fab("plan").changes == []


def test_both_passwords_are_random_new_ones_and_harbor_is_well_with_them(site, deployed):
    before = dict(site.me.secrets)

    site.me.fab("rotate", "admin")
    site.renewed_secrets()
    site.me.fab("rotate", "database")
    site.renewed_secrets()

    for name in ("HARBOR_ADMIN_PASSWORD", "HARBOR_DATABASE_PASSWORD"):
        assert len(site.me.secrets[name]) == 24
        assert site.me.secrets[name] != before[name]
    assert site.me.fab("deploy").changes == []
    in_container = "docker exec harbor-core printenv POSTGRESQL_PASSWORD"
    assert site.host.run(in_container).stdout.strip() == site.me.secrets["HARBOR_DATABASE_PASSWORD"]


# -- credentials ------------------------------------------------------------------------------------


def test_an_upstream_that_wants_a_login(site, deployed):
    url = site.want_login("puller", "Canary-Upstream-4711")
    login = {"username": "puller", "password": {"env": "UPSTREAM"}}
    values = extra("login", upstream=None, type="docker-registry", url=url, credentials=login)
    values["projects"] = {**values["projects"], "login": {"registry": "login", "public": True}}

    site.me.secrets["UPSTREAM"] = "Canary-Wrong-4711"
    refused = site.configure(values, expect=6)
    site.me.secrets["UPSTREAM"] = "Canary-Upstream-4711"
    site.me.fab("configure")
    image = f"{HARBOR_NAME}/login/{IMAGE}"
    pulled = site.client.run(f"docker pull -q {image} && docker rmi {image}").stdout

    assert "400 BAD_REQUEST: the registry is unhealthy" in refused.text
    assert pulled.startswith(image)
    assert site.me.fab("configure").changes == []


# -- the specifications -----------------------------------------------------------------------------


def test_the_distilled_specifications_are_those_of_harbor():
    for release in RELEASES:
        if original(release).is_file():
            distilled = distil(load(original(release)))
            for key in UNLISTED:
                distilled["PUT /configurations"]["body"]["properties"][key] = {"type": "boolean"}
            assert specification(release).operations == distilled
