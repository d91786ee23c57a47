"""The stand-in Harbor release on real hosts: both engines, an old and a new version.

The tests of a site share one host and run in the order they stand here; the last ones break
things on purpose.  Where the API specifications lie beside the project, every answer is checked
against that of the version.
"""

import hashlib
import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from jsonschema import Draft4Validator
from ruamel.yaml import YAML

from lab import HostSpec, waiting
from lab.release import upstream

pytestmark = pytest.mark.integration

SPECS = Path(__file__).parents[3] / "shared"
PASSWORD = "ChangeMe123"
ADMIN = ("admin", PASSWORD)
REGISTRY = "127.0.0.1:8080"
PROXY = "proxy.docker.io"
# The specification has rules' params as objects; Harbor answers, as it is given, with numbers.
DRIFT = re.compile("/retentions/[0-9]+$")
NAMES = {
    "harbor-log",
    "registry",
    "registryctl",
    "harbor-db",
    "harbor-core",
    "harbor-portal",
    "harbor-jobservice",
    "redis",
    "nginx",
}
HARBOR_YML = f"""
hostname: harbor-cache.example.com
external_url: http://harbor-cache.example.com:8080
http:
  port: 8080
harbor_admin_password: {PASSWORD}
database:
  password: OnlyLettersDigits
data_volume: /data
jobservice:
  max_job_workers: 10
  job_loggers: [STD_OUTPUT, FILE]
  logger_sweeper_duration: 1
notification:
  webhook_job_max_retry: 3
  webhook_job_http_client_timeout: 3
log:
  level: info
  local: {{rotate_count: 10, rotate_size: 50M, location: /var/log/harbor}}
_version: 2.15.0
"""
COMPOSE = "$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)"


class Specification:
    """The swagger file of a version; without it nothing is checked."""

    def __init__(self, version):
        path = SPECS / f"harbor-swagger-v{version}.yaml"
        self.document = YAML(typ="safe").load(path) if path.exists() else {"paths": {}}
        self.patterns = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), operations)
            for path, operations in self.document["paths"].items()
        ]

    def check(self, method, path, status, body):
        for pattern, operations in self.patterns:
            operation = operations.get(method.lower())
            if operation and pattern.fullmatch(path):
                if DRIFT.match(path):
                    return
                schema = operation["responses"].get(str(status), {}).get("schema")
                if schema and schema.get("type") != "file":
                    whole = {**schema, "definitions": self.document["definitions"]}
                    Draft4Validator(whole).validate(body)
                return


class Site:
    """One Harbor, installed by its own install.sh, and its API."""

    def __init__(self, host, version):
        self.host, self.version = host, version
        self.url = f"http://{host.address}:8080"
        self.specification = Specification(version)

    def __getattr__(self, name):
        return getattr(self.host, name)

    def compose(self, words):
        return self.run(f"cd /opt/harbor && {COMPOSE} {words}")

    def api(self, method, path, body=None, auth=ADMIN, **more):
        answer = requests.request(
            method, f"{self.url}/api/v2.0{path}", json=body, auth=auth, timeout=60, **more
        )
        if "json" in answer.headers.get("Content-Type", "") and answer.content:
            self.specification.check(method, path.split("?")[0], answer.status_code, answer.json())
        return answer

    def v2(self, method, path, authorization=None, **more):
        headers = {"Authorization": authorization} if authorization else {}
        headers |= more.pop("headers", {})
        return requests.request(
            method,
            f"{self.url}/v2/{path}",
            headers=headers,
            timeout=60,
            allow_redirects=False,
            **more,
        )

    def healthy(self):
        """While containers are recreated nginx may reach another one, which knows no status."""
        try:
            return self.api("GET", "/health", auth=None).json().get("status") == "healthy"
        except requests.RequestException:
            return False
        except ValueError:
            return False

    def wait(self):
        waiting.until(self.healthy, 90, f"Harbor on {self.host.name} to be healthy")

    def containers(self):
        text = self.run("docker ps -a --format '{{.Names}} {{.Status}}'").stdout
        return dict(line.split(" ", 1) for line in text.splitlines())

    def processes(self, name, column):
        """One column of ps for the processes of a container."""
        listed = self.run(f"docker top {name} -eo pid,{column}").stdout.splitlines()
        return [line.split()[1] for line in listed[1:]]

    def pull(self, reference, check=True):
        """Pull with a client that has none of the layers; Harbor's own images stay."""
        others = "docker images --format '{{.ID}} {{.Repository}}' | grep -v goharbor/"
        self.run(f"{others} | cut -d ' ' -f 1 | xargs -r docker rmi -f", check=False)
        return self.run(f"docker pull -q {REGISTRY}/{reference}", check=check)

    def cached(self, repository, reference):
        """Wait until the cache has it, the tag too."""
        name = repository.replace("/", "%252F")
        path = f"/projects/{PROXY}/repositories/{name}/artifacts/{reference}"
        waiting.until(
            lambda: self.api("GET", path).status_code == 200, 60, f"{repository} to be cached"
        )
        return self.api("GET", path).json()

    def switch(self, name, value):
        text = value if isinstance(value, str) else json.dumps(value)
        self.write(f"/data/stand-in/{name}", text)


class Source:
    """A registry that plays the upstream, with its images."""

    def __init__(self, host):
        self.host = host
        self.url = upstream.serve(host)
        pushed = upstream.push_all(self.url)
        self.images = {f"{one.name}:{one.tag}": one.digest for one in pushed}

    def layer(self, name, tag):
        """The descriptor of an image's last layer."""
        answer = requests.get(
            f"{self.url}/v2/{name}/manifests/{tag}",
            headers={"Accept": upstream.MANIFEST},
            timeout=30,
        )
        return answer.json()["layers"][-1]

    def alive(self):
        try:
            return requests.get(f"{self.url}/v2/", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    @contextmanager
    def away(self):
        """Nobody listens meanwhile."""
        self.host.run("systemctl stop docker-registry")
        try:
            yield
        finally:
            self.host.run("systemctl start docker-registry")
            waiting.until(self.alive, 30, "the upstream to be back")


@pytest.fixture(scope="module")
def source(lab, releases):
    return Source(lab.up("upstream", "bookworm", "registry"))


@pytest.fixture(scope="module", params=[("bookworm", "2.7.4"), ("trixie", "2.15.2")], ids="-".join)
def site(request, lab, releases):
    suite, version = request.param
    host = lab.up_all([HostSpec(f"harbor-{suite}", suite, "docker")])[0]
    tarball = releases / f"harbor-offline-installer-v{version}.tgz"
    (host.root / "opt").mkdir(exist_ok=True)
    shutil.copy(tarball, host.root / "opt")
    host.run("cd /opt && tar xzf *.tgz && rm *.tgz")
    host.write("/opt/harbor/harbor.yml", HARBOR_YML)
    made = Site(host, version)
    made.output = host.run("cd /opt/harbor && ./install.sh", timeout=300).stdout
    made.wait()
    return made


# the installation


def test_install_sh_brings_all_nine_containers_to_health(site):
    waiting.until(
        lambda: sum("(healthy)" in one for one in site.containers().values()) == len(NAMES),
        60,
        "nine healthy containers",
    )

    assert set(site.containers()) == NAMES
    assert f"STAND-IN Harbor {site.version}" in site.output
    assert "down" not in site.run("ls /opt/harbor").stdout
    assert "input" not in site.run("ls /opt/harbor").stdout.split()


def test_the_compose_file_is_that_of_the_version(site):
    text = site.read("/opt/harbor/docker-compose.yml")

    assert ("version: '2.3'" in text) == (site.version == "2.7.4")
    assert ("valkey-photon" in text) == (site.version == "2.15.2")
    assert site.run("docker network ls --format '{{.Name}}'").stdout.count("harbor_harbor") == 1
    assert site.run("ss -ltn | grep -c 127.0.0.1:1514").stdout.strip() == "1"


def test_anonymous_volumes_only(site):
    names = site.run("docker volume ls -q").stdout.split()

    assert len(names) == 9
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in names)


def test_owners_and_modes(site):
    listed = site.run(
        "cd /opt/harbor/common/config && stat -c '%u:%g %a %n' */env */*.yml */*.conf "
        "registry/passwd; stat -c '%u:%g %a %n' /data/database /data/redis /data/registry "
        "/data/secret /data/secret/*/* /var/log/harbor /opt/harbor/docker-compose.yml"
    ).stdout
    found = {line.split()[2]: tuple(line.split()[:2]) for line in listed.splitlines()}

    assert {found[f"{name}/env"] for name in ("core", "db", "jobservice", "registryctl")} == {
        ("0:0", "640")
    }
    assert found["nginx/nginx.conf"] == found["registry/config.yml"] == ("10000:10000", "640")
    assert found["registry/passwd"] == found["/opt/harbor/docker-compose.yml"] == ("0:0", "644")
    assert found["/data/database"] == ("999:999", "700")
    assert found["/data/redis"] == ("999:999", "755")
    assert found["/data/secret"] == ("0:0", "755")
    assert found["/data/secret/keys/secretkey"] == ("10000:10000", "600")
    assert found["/var/log/harbor"][0].startswith("10000:")


def test_who_runs_in_the_containers(site):
    uids = {name: set(site.processes(name, "uid")) for name in NAMES}

    assert uids.pop("harbor-db") == uids.pop("redis") == {"999"}
    assert "10000" in uids.pop("harbor-log")
    assert all(found == {"10000"} for found in uids.values())


def test_the_database_shows_the_major_of_the_version(site):
    major = {"2.7.4": "13", "2.15.2": "18"}[site.version]

    assert site.read(f"/data/database/pg{major}/PG_VERSION").strip() == major
    assert "STAND-IN" in site.run(f"ls /data/database/pg{major}").stdout


def test_logs_go_to_files_by_service(site):
    assert "STAND-IN core" in site.read("/var/log/harbor/core.log")
    for name in ("registry", "registryctl", "jobservice", "proxy", "postgresql", "redis"):
        assert site.read(f"/var/log/harbor/{name}.log")


def test_it_is_small(site):
    """Resident memory of all containers, shared pages counted once for each process."""
    kilobytes = sum(int(one) for name in NAMES for one in site.processes(name, "rss"))

    assert kilobytes / 1024 < 400


# the API


def test_ping_health_and_systeminfo(site):
    assert site.api("GET", "/ping", auth=None).text == "Pong"
    assert site.api("GET", "/health", auth=None).json()["status"] == "healthy"
    info = site.api("GET", "/systeminfo").json()
    assert re.fullmatch(f"v{re.escape(site.version)}-[0-9a-f]{{8}}", info["harbor_version"])
    assert info["external_url"] == "http://harbor-cache.example.com:8080"
    assert "external_url" not in site.api("GET", "/systeminfo", auth=None).json()
    assert site.api("GET", "/systeminfo/volumes").json()["storage"][0]["free"] > 0
    assert site.api("GET", "/systeminfo/volumes", auth=None).status_code == 401
    assert site.api("GET", "/systeminfo/getcert").status_code == 404
    assert "total_storage_consumption" in site.api("GET", "/statistics").json()


def test_health_is_200_while_unhealthy(site):
    site.run("docker stop -t 1 registryctl")
    waiting.until(lambda: not site.healthy(), 30, "Harbor to notice")
    answer = site.api("GET", "/health", auth=None)
    site.run("docker start registryctl")

    assert answer.status_code == 200
    failed = [one["name"] for one in answer.json()["components"] if one["status"] != "healthy"]
    assert failed == ["registryctl"]
    site.wait()


def test_a_wrong_password_is_seen_by_users_current_only_and_locks(site):
    wrong = ("admin", "Wrong12345")
    began = time.monotonic()

    assert site.api("GET", "/users/current", auth=wrong).status_code == 401
    assert time.monotonic() - began > 1.4
    assert site.api("GET", "/projects", auth=wrong).status_code == 200
    waiting.until(
        lambda: site.api("GET", "/users/current").status_code == 200, 5, "the lock to end"
    )


def test_a_session_cookie_needs_a_csrf_token(site):
    body = {"banner_message": ""}
    cookie = {"Cookie": "sid=abc"}

    assert site.api("PUT", "/configurations", body, headers=cookie).status_code == 403
    token = site.api("GET", "/systeminfo", headers=cookie).headers["X-Harbor-Csrf-Token"]
    with_token = {**cookie, "X-Harbor-CSRF-Token": token}
    assert site.api("PUT", "/configurations", body, headers=with_token).status_code == 200
    assert site.api("PUT", "/configurations", body).status_code == 200


def test_registries(site, source):
    body = {"name": "docker_hub", "url": source.url, "type": "docker-registry", "insecure": True}
    dead = {**body, "name": "dead", "url": "http://127.0.0.1:9"}

    unhealthy = site.api("POST", "/registries", dead)
    assert unhealthy.status_code == 400
    assert unhealthy.json()["errors"][0]["message"] == "the registry is unhealthy"
    made = site.api("POST", "/registries", body)
    assert made.status_code == 201
    number = int(made.headers["Location"].rsplit("/", 1)[1])
    assert site.api("POST", "/registries", body).status_code == 409
    assert site.api("POST", "/registries", {**body, "type": "nonsense"}).status_code == 400
    assert site.api("POST", "/registries/ping", {"id": number}).status_code == 200
    assert site.api("POST", "/registries/ping", dead).status_code == 400
    secret = {"access_key": "me", "access_secret": "Secret123", "credential_type": "basic"}
    assert site.api("PUT", f"/registries/{number}", secret).status_code == 200
    shown = site.api("GET", "/registries?q=name=docker_hub").json()[0]["credential"]
    assert shown == {"type": "basic", "access_key": "me", "access_secret": "*****"}
    none = {"access_key": "", "access_secret": ""}
    assert site.api("PUT", f"/registries/{number}", none).status_code == 200
    assert site.api("GET", "/registries/999").status_code == 404
    assert site.api("GET", "/registries", auth=None).status_code == 401
    kinds = site.api("GET", "/replication/adapters").json()
    assert ("quay" in kinds) == (site.version == "2.7.4")
    assert "docker-hub" in site.api("GET", "/replication/adapterinfos").json()


def test_docker_hub_by_another_address(site, source):
    hub = {"name": "hub", "url": "https://hub.docker.com", "type": "docker-hub"}
    assert site.api("POST", "/registries", hub).status_code == 400

    site.switch("docker-hub-url", source.url)

    assert site.api("POST", "/registries", hub).status_code == 201


def registry_id(site, name):
    return site.api("GET", f"/registries?q=name={name}").json()[0]["id"]


def test_proxy_projects(site):
    number = registry_id(site, "docker_hub")
    body = {
        "project_name": PROXY,
        "registry_id": number,
        "metadata": {"public": "true"},
        "storage_limit": -1,
    }

    assert site.api("HEAD", f"/projects?project_name={PROXY}").status_code == 404
    assert site.api("POST", "/projects", body).status_code == 201
    assert site.api("POST", "/projects", body).status_code == 409
    assert site.api("POST", "/projects", {"project_name": "Bad Name"}).status_code == 400
    assert site.api("HEAD", f"/projects?project_name={PROXY}").status_code == 200
    assert site.api("DELETE", f"/registries/{number}").status_code == 412
    project = site.api("GET", f"/projects/{PROXY}").json()
    assert project["registry_id"] == number
    assert site.api("GET", "/projects/missing").status_code == 404
    assert site.api("GET", "/projects/missing", auth=None).status_code == 401
    assert site.api("GET", f"/projects/{PROXY}/summary").json()["registry"]["name"] == "docker_hub"
    assert site.api("GET", f"/projects/{PROXY}/_deletable").json()["deletable"]
    wrong = {"metadata": {"retention_id": "999"}}
    assert site.api("PUT", f"/projects/{PROXY}", wrong).status_code == 400
    silent = {"registry_id": 999, "storage_limit": 5, "metadata": {"auto_scan": "true"}}
    assert site.api("PUT", f"/projects/{PROXY}", silent).status_code == 200
    assert site.api("GET", f"/projects/{PROXY}").json()["registry_id"] == number


def test_types_that_a_proxy_project_may_have(site, source):
    site.switch("upstreams.json", {"quay.io": source.url})
    kind = {"name": "quay.io", "url": "https://quay.io", "type": "quay"}
    made = site.api("POST", "/registries", kind)
    if site.version == "2.15.2":
        assert made.status_code == 400
        return
    number = registry_id(site, "quay.io")
    body = {"project_name": "proxy.quay.io", "registry_id": number}
    assert site.api("POST", "/projects", body).status_code == 201


def test_metadata_one_key_at_a_time(site):
    path = f"/projects/{PROXY}/metadatas"
    newer = site.version == "2.15.2"

    assert site.api("POST", f"{path}/", {"severity": "high"}).status_code == 200
    assert site.api("POST", f"{path}/", {"severity": "high"}).status_code == 409
    assert site.api("POST", f"{path}/", {"a": "1", "b": "2"}).status_code == 400
    assert site.api("PUT", f"{path}/severity", {"severity": "low"}).status_code == 200
    assert site.api("PUT", f"{path}/prevent_vul", {"prevent_vul": "true"}).status_code == 404
    assert site.api("GET", f"{path}/severity").json() == {"severity": "low"}
    speed = site.api("POST", f"{path}/", {"proxy_speed_kb": "-1"})
    assert speed.status_code == (200 if newer else 400)


def test_quotas(site):
    project = site.api("GET", f"/projects/{PROXY}").json()["project_id"]
    found = site.api("GET", f"/quotas?reference=project&reference_id={project}").json()

    assert [one["hard"] for one in found] == [{"storage": -1}]
    path = f"/quotas/{found[0]['id']}"
    assert site.api("PUT", path, {"hard": {"storage": 1 << 30}}).status_code == 200
    assert site.api("GET", path).json()["hard"] == {"storage": 1 << 30}
    assert site.api("PUT", path, {"hard": {"storage": 0}}).status_code == 400
    assert site.api("PUT", path, {"hard": {"storage": -1}}).status_code == 200


def test_members(site):
    path = f"/projects/{PROXY}/members"
    group = {"role_id": 3, "member_group": {"group_name": "ci", "group_type": 3}}

    assert site.api("POST", path, group).status_code == 201
    assert site.api("POST", path, group).status_code == 409
    assert site.api("POST", path, {**group, "role_id": 9}).status_code == 400
    found = {one["entity_name"]: one for one in site.api("GET", path).json()}
    assert found["ci"]["role_id"] == 3
    assert site.api("PUT", f"{path}/{found['ci']['id']}", {"role_id": 2}).status_code == 200
    assert site.api("DELETE", f"{path}/{found['ci']['id']}").status_code == 200


ROBOT = {
    "name": "puller",
    "level": "system",
    "duration": -1,
    "description": "",
    "disable": False,
    "permissions": [
        {
            "kind": "project",
            "namespace": "*",
            "access": [{"resource": "repository", "action": "pull"}],
        }
    ],
}


def test_robots(site):
    made = site.api("POST", "/robots", {**ROBOT, "secret": "Ignored123"})
    assert made.status_code == 201
    robot = made.json()
    assert robot["name"] == "robot$puller"
    assert robot["secret"] != "Ignored123"
    assert site.api("POST", "/robots", ROBOT).status_code == 409
    assert site.api("POST", "/robots", {**ROBOT, "duration": 0}).status_code == 400
    assert site.api("POST", "/robots", {**ROBOT, "name": "Bad+Name"}).status_code == 400
    path = f"/robots/{robot['id']}"
    assert site.api("PATCH", path, {"secret": "weak"}).status_code == 400
    own = site.api("PATCH", path, {"secret": "OwnSecret1"})
    assert (own.status_code, own.json().get("secret")) == (200, None)
    full = {**ROBOT, "name": "robot$puller", "description": "pulls"}
    assert site.api("PUT", path, full).status_code == 200
    assert site.api("PUT", path, ROBOT).status_code == 400
    assert site.api("GET", path).json()["description"] == "pulls"
    assert [one["name"] for one in site.api("GET", "/robots").json()] == ["robot$puller"]
    project = site.api("GET", f"/projects/{PROXY}").json()["project_id"]
    mine = {
        **ROBOT,
        "level": "project",
        "permissions": [{**ROBOT["permissions"][0], "namespace": PROXY}],
    }
    assert site.api("POST", "/robots", mine).json()["name"] == f"robot${PROXY}+puller"
    listed = site.api("GET", f"/robots?q=Level=project,ProjectID={project}").json()
    assert [one["name"] for one in listed] == [f"robot${PROXY}+puller"]


def test_configurations(site):
    assert site.api("GET", "/configurations", auth=None).status_code == 401
    oidc = {
        "oidc_name": "dex",
        "oidc_client_secret": "Secret123",
        "oidc_scope": "openid,profile",
        "oidc_verify_cert": "true",
        "token_expiration": "45",
    }
    assert site.api("PUT", "/configurations", oidc).status_code == 200
    found = site.api("GET", "/configurations").json()
    assert found["oidc_name"] == {"value": "dex", "editable": True}
    assert found["token_expiration"]["value"] == 45
    assert "oidc_client_secret" not in found
    assert ("banner_message" in found) == (site.version == "2.15.2")
    for wrong in (
        {"oidc_scope": "profile"},
        {"token_expiration": 0},
        {"auth_mode": "nonsense"},
        {"oidc_extra_redirect_parms": "{"},
        {"skip_audit_log_database": True},
        {"audit_log_forward_endpoint": "127.0.0.1:9"},
    ):
        assert site.api("PUT", "/configurations", wrong).status_code == 400, wrong
    assert site.api("PUT", "/configurations", {"token_expiration": 30}).status_code == 200
    ping = {"url": "http://127.0.0.1:9", "verify_cert": False}
    assert site.api("POST", "/system/oidc/ping", ping).status_code == 400


def test_users_and_the_auth_mode(site):
    user = {"username": "alice", "password": "Alice1234", "email": "a@example.org", "realname": "A"}
    assert site.api("PUT", "/configurations", {"auth_mode": "oidc_auth"}).status_code == 200
    assert site.api("POST", "/users", user).status_code == 403
    assert site.api("PUT", "/configurations", {"auth_mode": "db_auth"}).status_code == 200
    assert site.api("POST", "/users", {**user, "password": "weak"}).status_code == 400
    assert site.api("POST", "/users", {**user, "comment": "x" * 31}).status_code == 400
    made = site.api("POST", "/users", user)
    assert made.status_code == 201
    assert site.api("POST", "/users", user).status_code == 409
    assert site.api("PUT", "/configurations", {"auth_mode": "oidc_auth"}).status_code == 400
    assert not site.api("GET", "/configurations").json()["auth_mode"]["editable"]
    path = made.headers["Location"].removeprefix("/api/v2.0")
    alice = ("alice", "Alice1234")
    assert site.api("GET", "/users/current", auth=alice).json()["username"] == "alice"
    assert site.api("GET", "/users", auth=alice).status_code == 403
    new = {"old_password": "Alice1234", "new_password": "Alice5678"}
    same = {"old_password": "Alice1234", "new_password": "Alice1234"}
    bad = {"old_password": "Wrong1234", "new_password": "Alice5678"}
    assert site.api("PUT", f"{path}/password", same, auth=alice).status_code == 400
    assert site.api("PUT", f"{path}/password", bad, auth=alice).status_code == 403
    assert site.api("PUT", f"{path}/password", new, auth=alice).status_code == 200
    assert site.api("PUT", f"{path}/sysadmin", {"sysadmin_flag": True}).status_code == 200
    assert site.api("GET", "/users", auth=("alice", "Alice5678")).status_code == 200
    assert site.api("DELETE", path).status_code == 200


def test_retention(site):
    project = site.api("GET", f"/projects/{PROXY}").json()
    number = project["metadata"]["retention_id"]
    policy = site.api("GET", f"/retentions/{number}").json()

    assert policy["rules"][0]["params"] == {"nDaysSinceLastPull": 7}
    assert policy["trigger"]["settings"]["cron"] == "0 0 0 * * *"
    assert site.api("POST", "/retentions", policy).status_code == 400
    policy["rules"][0]["params"] = {"nDaysSinceLastPull": 30}
    assert site.api("PUT", f"/retentions/{number}", policy).status_code == 200
    twice = {**policy, "rules": policy["rules"] * 2}
    many = {**policy, "rules": policy["rules"] * 16}
    assert site.api("PUT", f"/retentions/{number}", twice).status_code == 409
    assert site.api("PUT", f"/retentions/{number}", many).status_code == 400
    assert site.api("GET", "/retentions/metadatas").status_code == 200
    started = site.api("POST", f"/retentions/{number}/executions", {"dry_run": True})
    assert started.status_code == 201
    listed = site.api("GET", f"/retentions/{number}/executions").json()
    assert [one["dry_run"] for one in listed] == [True]


def test_schedules(site):
    gc = "/system/gc/schedule"
    daily = {
        "schedule": {"type": "Custom", "cron": "0 30 4 * * *"},
        "parameters": {"delete_untagged": True, "workers": 1},
    }

    assert site.api("GET", gc).content == b""
    assert site.api("PUT", gc, daily).status_code == 200
    assert site.api("POST", gc, daily).status_code == 201
    assert site.api("GET", gc).json()["schedule"]["cron"] == "0 30 4 * * *"
    five = {"schedule": {"type": "Custom", "cron": "30 4 * * *"}}
    eleven = {**daily, "parameters": {"workers": 11}}
    assert site.api("PUT", gc, five).status_code == 400
    assert site.api("PUT", gc, eleven).status_code == 400
    assert site.api("PUT", gc, {"schedule": {"type": "None"}}).status_code == 200
    assert site.api("GET", gc).content == b""
    assert site.api("GET", "/system/scanAll/schedule").status_code == 412
    newer = site.version == "2.15.2"
    name = "include_event_types" if newer else "include_operations"
    other = "include_operations" if newer else "include_event_types"
    purge = {
        "schedule": {"type": "Weekly", "cron": "0 0 0 * * 0"},
        "parameters": {"audit_retention_hour": 168, name: "create_artifact"},
    }
    wrong = {**purge, "parameters": {"audit_retention_hour": 168, other: "x"}}
    assert site.api("PUT", "/system/purgeaudit/schedule", purge).status_code == 200
    assert site.api("PUT", "/system/purgeaudit/schedule", wrong).status_code == 400
    logs = site.api("GET", "/auditlog-exts")
    assert logs.status_code == (200 if newer else 404)
    assert site.api("GET", "/audit-logs").json()


def test_faults_on_demand_and_the_log_of_requests(site):
    site.switch(
        "faults.json",
        [
            {"method": "GET", "path": "/quotas", "times": 2, "status": 500},
            {"method": "GET", "path": "/quotas", "times": 1, "cut": True},
        ],
    )
    site.run(": > /data/stand-in/requests.log")

    assert [site.api("GET", "/quotas").status_code for _ in range(2)] == [500, 500]
    # The connection to core is cut; nginx in front of it says 502.
    assert site.api("GET", "/quotas").status_code == 502
    assert site.api("GET", "/quotas").status_code == 200
    lines = site.read("/data/stand-in/requests.log").splitlines()
    asked = [line.split()[1:] for line in lines if "/quotas" in line]
    assert asked == [["GET", "/api/v2.0/quotas", code] for code in ("500", "500", "cut", "200")]
    site.run("rm /data/stand-in/faults.json")


# pulls and pushes


def test_the_challenge_comes_only_without_an_authorization_header(site):
    bare = site.v2("GET", "")
    path = f"{PROXY}/library/busybox/manifests/1.36"
    public = site.v2("HEAD", path)

    assert bare.status_code == public.status_code == 401
    realm = f'Bearer realm="http://{site.address}:8080/service/token",service="harbor-registry"'
    assert bare.headers["WWW-Authenticate"] == realm
    scope = f'scope="repository:{PROXY}/library/busybox:pull"'
    assert public.headers["WWW-Authenticate"] == f"{realm},{scope}"
    assert site.v2("HEAD", path, "anonymous").status_code == 200
    assert site.v2("GET", "", "anonymous").status_code == 401
    token = requests.get(
        f"{site.url}/service/token?service=harbor-registry"
        f"&scope=repository:{PROXY}/library/busybox:pull",
        timeout=30,
    ).json()["token"]
    assert site.v2("HEAD", path, f"Bearer {token}").status_code == 200
    assert requests.post(f"{site.url}/service/token", timeout=30).status_code == 405


def test_a_pull_goes_through_and_is_cached(site, source):
    digest = source.images["team/app:1.0"]
    layer = source.layer("team/app", "1.0")
    blob = f"{PROXY}/team/app/blobs/{layer['digest']}"

    assert site.v2("HEAD", blob, "anonymous").status_code == 404
    site.pull(f"{PROXY}/team/app:1.0")
    assert site.cached("team/app", "1.0")["digest"] == digest
    hit = site.v2("GET", blob, "anonymous")
    assert site.v2("HEAD", blob, "anonymous").status_code == 200
    assert hit.headers["Docker-Content-Digest"] == layer["digest"]
    assert int(hit.headers["Content-Length"]) == layer["size"]
    assert "Cache-Control" in hit.headers
    assert "is not found in proxy cache" in site.read("/var/log/harbor/core.log")


def test_a_blob_that_is_not_here_comes_without_length_and_digest(site, source):
    layer = source.layer("library/alpine-like", "latest")
    answer = site.v2("GET", f"{PROXY}/library/alpine-like/blobs/{layer['digest']}", "anonymous")

    assert hashlib.sha256(answer.content).hexdigest() == layer["digest"].removeprefix("sha256:")
    assert "Content-Length" not in answer.headers
    assert "Docker-Content-Digest" not in answer.headers


def test_an_index_is_cached_trimmed_and_so_under_another_digest(site, source):
    digest = source.images["library/busybox:1.36"]
    site.pull(f"{PROXY}/library/busybox:1.36")
    found = site.cached("library/busybox", "1.36")

    assert found["digest"] != digest
    assert [one["platform"]["architecture"] for one in found["references"]] == ["amd64"]
    path = f"/projects/{PROXY}/repositories/library%252Fbusybox/artifacts/{digest}"
    assert site.api("GET", path).status_code == 404
    tags = site.v2("GET", f"{PROXY}/library/busybox/tags/list", "anonymous").json()["tags"]
    assert tags == ["1.36"]


def test_docker_hub_names_without_library_are_redirected(site):
    body = {
        "project_name": "hub",
        "registry_id": registry_id(site, "hub"),
        "metadata": {"public": "true"},
    }
    assert site.api("POST", "/projects", body).status_code == 201

    answer = site.v2("GET", "hub/busybox/manifests/1.36", "anonymous")

    assert answer.status_code == 301
    assert answer.headers["Location"] == "/v2/hub/library/busybox/manifests/1.36"
    other = site.v2("GET", f"{PROXY}/busybox/manifests/1.36", "anonymous")
    assert other.status_code == 404
    site.pull("hub/busybox:1.36")


def test_a_push_to_a_proxy_project_is_denied(site):
    site.run(f"docker login -u admin --password-stdin {REGISTRY} <<< {PASSWORD}")
    image = f"{REGISTRY}/{PROXY}/mine:1"
    site.pull(f"{PROXY}/library/busybox:1.36")
    pushed = site.run(
        f"docker tag {REGISTRY}/{PROXY}/library/busybox:1.36 {image} && docker push {image}",
        check=False,
    )

    assert pushed.returncode
    assert "can not push" in pushed.stderr + pushed.stdout
    site.run(f"docker image rm {image}")


def test_ordinary_projects_take_pushes_and_robots_pull(site):
    assert site.api("POST", "/projects", {"project_name": "team"}).status_code == 201
    image = f"{REGISTRY}/team/app/own:1"
    site.run(
        f"docker tag {REGISTRY}/{PROXY}/library/busybox:1.36 {image} && docker push -q {image}"
        f" && docker logout {REGISTRY}"
    )

    assert site.pull("team/app/own:1", check=False).returncode
    login = f"docker login -u 'robot$puller' --password-stdin {REGISTRY}"
    assert site.run(f"{login} <<< Wrong12345", check=False).returncode
    site.run(f"{login} <<< OwnSecret1")
    site.pull("team/app/own:1")
    site.run(f"docker logout {REGISTRY}")
    assert site.api("DELETE", "/projects/team").status_code == 412
    path = "/projects/team/repositories/app%252Fown"
    assert site.api("GET", path).json()["artifact_count"] == 1
    assert site.api("GET", f"{path}/artifacts/1").json()["tags"][0]["name"] == "1"


def test_garbage_collection_frees_what_was_deleted(site):
    path = "/projects/team/repositories/app%252Fown"
    artifact = site.api("GET", f"{path}/artifacts/1").json()
    site.switch("settings.json", {"blob_age_hours": 0})
    manifest = f"/data/registry/docker/registry/v2/blobs/sha256/{artifact['digest'][7:9]}"
    assert site.run(f"ls {manifest}").stdout
    assert site.api("DELETE", path).status_code == 200

    def collect(**parameters):
        body = {"schedule": {"type": "Manual"}, "parameters": parameters}
        started = site.api("POST", "/system/gc/schedule", body)
        run = started.headers["Location"].removeprefix("/api/v2.0")
        waiting.until(
            lambda: site.api("GET", run).json()["job_status"] == "Success", 30, "the collection"
        )
        return site.api("GET", run).json(), site.api("GET", f"{run}/log").text

    _, dry = collect(dry_run=True)
    assert "could free up" in dry
    assert artifact["digest"][7:] in site.run(f"ls {manifest}").stdout
    done, log = collect(delete_untagged=False)
    assert artifact["digest"] in log
    assert artifact["digest"][7:] not in site.run(f"ls {manifest}", check=False).stdout
    if site.version == "2.15.2":
        assert json.loads(done["job_parameters"])["purged_blobs"] > 0
    assert site.api("DELETE", "/projects/team").status_code == 200
    site.run("rm /data/stand-in/settings.json")
    site.pull(f"{PROXY}/team/app:1.0")


def test_the_upstream_goes_and_comes_back(site, source):
    pinned = source.images["library/busybox:1.36"]
    path = f"/registries/{registry_id(site, 'docker_hub')}"
    with source.away():
        site.pull(f"{PROXY}/team/app:1.0")
        site.pull(f"{PROXY}/team/app@{source.images['team/app:1.0']}")
        site.pull(f"{PROXY}/library/busybox:1.36")
        assert site.pull(f"{PROXY}/library/busybox@{pinned}", check=False).returncode
        missing = site.pull(f"{PROXY}/library/alpine-like:latest", check=False)
        assert "not found" in missing.stderr
        waiting.until(
            lambda: site.api("GET", path).json()["status"] == "unhealthy", 60, "Harbor to notice"
        )
        site.pull(f"{PROXY}/team/app:1.0")

    assert site.api("PUT", path, {"description": "again"}).status_code == 200
    site.pull(f"{PROXY}/library/alpine-like:latest")


class _Limited(BaseHTTPRequestHandler):
    """An upstream that is a registry but answers every manifest with `status`."""

    status = 429

    def do_GET(self):
        self.send_response(200 if self.path == "/v2/" else self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_429_and_404_of_the_upstream(site):
    gateway = site.run("ip route show default").stdout.split()[2]
    server = ThreadingHTTPServer((gateway, 0), _Limited)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    number = registry_id(site, "docker_hub")
    before = site.api("GET", f"/registries/{number}").json()["url"]
    limited = {"url": f"http://{gateway}:{server.server_port}"}
    try:
        assert site.api("PUT", f"/registries/{number}", limited).status_code == 200
        _Limited.status = 429
        new = site.v2("GET", f"{PROXY}/library/new/manifests/1", "anonymous")
        assert new.status_code == 429
        assert site.v2("GET", f"{PROXY}/team/app/manifests/1.0", "anonymous").status_code == 200
        _Limited.status = 500
        new = site.v2("GET", f"{PROXY}/library/new/manifests/1", "anonymous")
        assert new.status_code == 404
        _Limited.status = 404
        gone = site.v2("GET", f"{PROXY}/team/app/manifests/1.0", "anonymous")
        assert gone.status_code == 404
        if site.version == "2.15.2":
            key = {"proxy_cache_local_on_not_found": "true"}
            assert site.api("POST", f"/projects/{PROXY}/metadatas/", key).status_code == 200
            gone = site.v2("GET", f"{PROXY}/team/app/manifests/1.0", "anonymous")
            assert gone.status_code == 200
    finally:
        assert site.api("PUT", f"/registries/{number}", {"url": before}).status_code == 200
        server.shutdown()
        server.server_close()


def test_traversal_by_encoded_slashes_reaches_the_api_as_in_harbor(site):
    """Why a router in front must match strictly: nginx decodes and normalises."""
    prepared = requests.Request("GET", f"{site.url}/v2/x").prepare()
    prepared.url = f"{site.url}/v2/{PROXY}/..%2f..%2fapi%2fv2.0%2fprojects"
    with requests.Session() as session:
        assert isinstance(session.send(prepared, timeout=30).json(), list)


# what hurts


def test_prepare_without_recreating_breaks_pulls_while_health_stays_good(site):
    site.run("cd /opt/harbor && ./prepare")

    waiting.until(lambda: pull_fails(site), 20, "the registry to refuse core")
    assert site.healthy()
    site.compose("up -d")
    site.run("docker restart -t 2 nginx")  # compose v2 leaves it running with core's old address
    site.wait()
    waiting.until(lambda: not pull_fails(site), 60, "pulls to work again")


def pull_fails(site):
    try:
        answer = site.v2("GET", f"{PROXY}/team/app/manifests/1.0", "anonymous")
    except requests.RequestException:
        return True
    return answer.status_code != 200


def test_a_rejected_file_empties_the_configuration_and_leaves_input_behind(site):
    bad = HARBOR_YML.replace("harbor-cache.example.com", "127.0.0.1", 1)
    site.write("/opt/harbor/harbor.yml", bad)
    done = site.run("cd /opt/harbor && ./prepare", check=False)

    assert done.returncode == 255
    assert site.run("find /opt/harbor/common/config -type f").stdout == ""
    assert PASSWORD in site.read("/opt/harbor/input/harbor.yml")
    unknown = site.run("cd /opt/harbor && ./prepare --with-nothing", check=False)
    assert unknown.returncode == 2


def test_install_sh_again_deletes_named_volumes_and_keeps_the_rest(site):
    version = "version: '2.3'\n" if site.version == "2.7.4" else ""
    override = (
        f"{version}services:\n  portal:\n    volumes: ['precious:/precious', './kept:/kept']\n"
        "volumes: {precious: {}}\n"
    )
    other = HARBOR_YML.replace(PASSWORD, "Another123")
    site.write("/opt/harbor/docker-compose.override.yml", override)
    site.write("/opt/harbor/harbor.yml", other)
    site.run("cd /opt/harbor && ./prepare")
    site.compose("up -d")
    created = site.run("docker volume inspect -f '{{.CreatedAt}}' harbor_precious").stdout
    site.run("echo x > /opt/harbor/kept/x")
    mount = site.run("docker volume inspect -f '{{.Mountpoint}}' harbor_precious").stdout.strip()
    site.run(f"echo certificate > {mount}/acme.json")

    site.run("cd /opt/harbor && ./install.sh", timeout=300)

    site.wait()
    assert created
    assert site.run(f"cat {mount}/acme.json", check=False).returncode
    assert site.read("/opt/harbor/kept/x") == "x\n"
    assert site.api("HEAD", f"/projects?project_name={PROXY}").status_code == 200
    assert site.api("GET", "/users/current").status_code == 200
    assert site.api("GET", "/users/current", auth=("admin", "Another123")).status_code == 401
    assert site.run("cd /opt/harbor && ./install.sh --with-clair", check=False).returncode == 1


def test_https_of_its_own_and_metrics(site):
    more = (
        "https: {port: 8443, certificate: /root/c.pem, private_key: /root/k.pem}\n"
        "metric: {enabled: true, port: 9090, path: /metrics}\n"
    )
    site.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=harbor-cache.example.com "
        "-keyout /root/k.pem -out /root/c.pem 2>/dev/null"
    )
    with written(site, HARBOR_YML + more):
        health = "curl -sk https://127.0.0.1:8443/api/v2.0/health"
        waiting.until(
            lambda: '{"status": "healthy"' in site.run(health, check=False).stdout, 90, "https"
        )

        plain = site.run("curl -s -o /dev/null -w '%{http_code} %{redirect_url}' 127.0.0.1:8080/x")
        assert plain.stdout == "308 https://127.0.0.1:8443/x"
        assert "harbor_health 1" in site.run("curl -s 127.0.0.1:9090/metrics").stdout
        registry = site.run("curl -s '127.0.0.1:9090/metrics?comp=registry'").stdout
        assert "registry_http_in_flight_requests" in registry
        assert site.run("stat -c '%u %a' /data/secret/cert/server.key").stdout == "10000 600\n"
    site.wait()


@contextmanager
def written(site, harbor_yml):
    """Harbor with this harbor.yml, and with the ordinary one again afterwards."""
    try:
        prepared(site, harbor_yml)
        yield
    finally:
        prepared(site, HARBOR_YML)


def prepared(site, harbor_yml):
    site.write("/opt/harbor/harbor.yml", harbor_yml)
    site.run("cd /opt/harbor && ./prepare")
    site.compose("up -d --force-recreate --remove-orphans")


def test_without_the_log_container_the_others_do_not_start(site):
    site.compose("stop")
    failed = site.run("docker start redis", check=False)

    assert failed.returncode
    assert "127.0.0.1:1514" in failed.stderr or "[::1]:1514" in failed.stderr
    site.compose("up -d")
    site.wait()


def test_power_cut_does_not_hurt_the_data(site):
    site.power_off()
    site.power_on()
    site.run("systemctl start docker")
    site.compose("up -d log")
    site.run("until ss -ltn | grep -q 127.0.0.1:1514; do sleep 0.1; done", timeout=30)
    site.compose("up -d")
    site.wait()

    assert site.api("HEAD", f"/projects?project_name={PROXY}").status_code == 200


# the database's majors


@pytest.fixture(scope="module")
def databases(lab, releases):
    """A host with the database images of several versions."""
    host = lab.up("databases", "trixie", "docker")
    for version in ("2.7.4", "2.14.4", "2.15.1", "2.15.2"):
        tarball = releases / f"harbor-offline-installer-v{version}.tgz"
        shutil.copy(tarball, host.root / "root" / "release.tgz")
        host.run(
            "cd /root && tar xzf release.tgz && docker load -qi harbor/harbor.v*.tar.gz "
            "&& rm -r harbor release.tgz"
        )
    return host


def start_database(host, version):
    host.run("docker rm -f db >/dev/null 2>&1; install -d -m 0700 -o 999 -g 999 /db", check=False)
    host.run(
        f"docker run -d --name db -e POSTGRES_PASSWORD=x -v /db:/var/lib/postgresql/data "
        f"goharbor/harbor-db:v{version}"
    )
    waiting.until(
        lambda: host.run("docker exec db pg_isready -q", check=False).returncode == 0,
        60,
        f"the database of {version}",
    )


def sql(host, text):
    return host.run(f'docker exec db psql -U postgres -d registry -tAc "{text}"').stdout.strip()


def majors(host):
    return host.run("cat /db/pg*/PG_VERSION").stdout.split()


def test_upgrades_that_harbor_can_do_keep_the_data_and_delete_the_old_folder(databases):
    start_database(databases, "2.15.1")
    sql(databases, "CREATE TABLE kept AS SELECT 42 AS answer")

    start_database(databases, "2.15.2")

    assert majors(databases) == ["18"]
    assert sql(databases, "SELECT answer FROM kept") == "42"


def test_going_back_or_skipping_a_major_starts_empty_in_silence(databases):
    start_database(databases, "2.15.1")

    assert majors(databases) == ["15", "18"]
    assert sql(databases, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == "0"
    databases.run("docker rm -f db; rm -rf /db")
    start_database(databases, "2.7.4")
    start_database(databases, "2.15.2")
    assert majors(databases) == ["13", "18"]
