"""From a bare Debian to a running cache, on both suites: two engines, two composes.

The tests of a suite share one host and run in the order they stand here.
"""

import datetime
import json
import re
import time

import pytest

from harbor.certificates import KeyPair, issue
from harbor.shell import Secret
from harbor.steps.config import ANEW
from lab import HostSpec, Lab
from lab.release import upstream
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import CANARIES, ask, operator

MIRROR = "registry.upstream.test"
# Everything that a deploy writes; what Harbor itself writes while it runs stays out.
OURS = (
    "/opt/harbor /etc /usr/local /var/lib/harbor-cache /home/harbor /root /data/certificates "
    "/data/ca_download /data/secret"
)
STATE = f"find {OURS} -xdev -printf '%p %m %u %g %s %T@ %C@\\n' | sort"
CONTAINERS = "docker ps -aq --no-trunc | sort"


class Site:
    """One bare host to deploy, an upstream registry, and a docker client."""

    def __init__(self, lab, folder, suite):
        self.lab, self.suite = lab, suite
        names = [f"{kind}-{suite}" for kind in ("harbor", "upstream", "client")]
        specs = [
            HostSpec(names[0], suite, "base", (HARBOR_NAME,)),
            HostSpec(names[1], "bookworm", "registry", (MIRROR,)),
            HostSpec(names[2], suite, "docker"),
        ]
        self.host, self.upstream, self.client = lab.up_all(specs)
        self.me = operator(folder, lab, names[0])

    def state(self):
        return self.host.run(STATE).stdout, self.host.run(CONTAINERS).stdout


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def site(request, releases, tmp_path_factory):
    # A lab for each: the cache has the same name in both.
    with Lab(f"it-deploy-{request.param}") as lab:
        yield Site(lab, tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def first_plan(site):
    before = site.host.run(STATE, check=False).stdout
    done = site.me.fab("plan", expect=2)
    assert site.host.run(STATE, check=False).stdout == before
    return done


@pytest.fixture(scope="module")
def first_deploy(site, first_plan):
    # Whoever looks at the process list of the host while we work must see no secret.
    watch = "while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -ao 'Canary-[A-Z][a-z]*'; sleep 0.05; done"
    site.host.run(f'setsid sh -c "{watch}" > /root/seen-in-argv 2>/dev/null </dev/null &')
    return site.me.fab("deploy")


def test_the_plan_of_a_bare_host_names_what_the_deploy_then_does(first_plan, first_deploy):
    # The copy of the certificate store: there was none to look at yet.
    later = [change for change in first_deploy.changes if change.startswith("store copy:")]

    assert first_deploy.changes == [*first_plan.changes, *later]
    assert len(later) == 1


def test_the_cache_answers_over_tls_with_the_certificate_of_our_ca(site, first_deploy):
    ca = site.host.read("/data/ca_download/ca.crt")
    site.client.write("/root/ca.crt", ca)

    answer = site.client.run(
        f"curl -s --cacert /root/ca.crt https://{HARBOR_NAME}/api/v2.0/health"
    ).stdout

    assert '"status": "healthy"' in answer or '"status":"healthy"' in answer
    assert (site.me.folder / "ca" / "ca.crt").read_text() == ca


def test_http_is_redirected_and_the_dashboard_and_harbors_own_port_are_not_exposed(
    site, first_deploy
):
    ask = "curl -s -o /dev/null -w '%{http_code} %{redirect_url}' --max-time 5"

    redirect = site.client.run(f"{ask} http://{HARBOR_NAME}/x").stdout
    dashboard = site.client.run(f"{ask} -k https://{HARBOR_NAME}/dashboard/").stdout
    own = site.client.run(f"{ask} http://{HARBOR_NAME}:8080/", check=False)

    assert redirect == f"301 https://{HARBOR_NAME}/x"
    assert (
        "traefik"
        not in site.client.run(f"curl -sk https://{HARBOR_NAME}/dashboard/").stdout.lower()
    )
    assert dashboard[:3] in ("200", "404")  # Harbor's portal answers every path of its own
    assert own.returncode != 0


def test_a_second_plan_is_empty(site, first_deploy):
    done = site.me.fab("plan")

    assert done.changes == []


def test_a_second_deploy_writes_nothing_and_needs_one_connection_and_two_commands(
    site, first_deploy
):
    before = site.state()
    accepted = "journalctl -q -o cat | grep -c 'Accepted publickey for deploy' || :"
    connections = int(site.host.run(accepted).stdout)

    done = site.me.fab("deploy")

    assert site.state() == before
    assert int(site.host.run(accepted).stdout) == connections + 1
    assert "no changes" in done.text
    assert int(re.search(r"(\d+)\s*$", done.text)[1]) <= 2


def test_an_image_is_pulled_through_the_cache_and_again_without_the_upstream(site, first_deploy):
    list(upstream.push_all(upstream.serve(site.upstream)))
    registry = {"name": "upstream", "type": "docker-registry", "url": f"http://{MIRROR}:5000"}
    project = {"project_name": "proxy.upstream", "metadata": {"public": "true"}}
    created = ask(site.host, "POST", "/registries", registry)
    (found,) = ask(site.host, "GET", "/registries")[1]
    made = ask(site.host, "POST", "/projects", {**project, "registry_id": found["id"]})
    site.client.run(f"install -D -m 0644 /root/ca.crt /etc/docker/certs.d/{HARBOR_NAME}/ca.crt")
    image = f"{HARBOR_NAME}/proxy.upstream/library/busybox:1.36"

    pulled = site.client.run(
        f"docker pull -q {image} && docker run --rm {image} -c 'echo it runs'"
    ).stdout

    assert (created[0], made[0]) == (201, 201)
    assert pulled.endswith("it runs\n")
    _wait_until_cached(site)
    site.upstream.run("systemctl stop docker-registry")
    site.client.run(f"docker rmi {image}")
    assert image in site.client.run(f"docker pull -q {image}").stdout
    site.upstream.run("systemctl start docker-registry")


def _wait_until_cached(site):
    path = "/projects/proxy.upstream/repositories/library%252Fbusybox/artifacts?q=tags%3D*"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, artifacts = ask(site.host, "GET", path)
        if status == 200 and "1.36" in json.dumps(artifacts):
            return
    pytest.fail("the image did not become local")


def test_one_setting_changes_one_thing(site, first_deploy):
    harbors_own = "docker ps --format '{{.ID}} {{.Names}}' | grep -v traefik | sort"
    before = site.host.run(harbors_own).stdout
    site.me.values["harbor"]["traefik"]["log_level"] = "DEBUG"

    plan = site.me.fab("plan", expect=2)
    site.me.fab("deploy")
    again = site.me.fab("plan")

    assert plan.changes[0] == "environment: /opt/harbor/.envrc: content differs"
    assert "-export LOG=INFO" in plan.text
    assert "+export LOG=DEBUG" in plan.text
    assert again.changes == []
    assert site.host.run(harbors_own).stdout == before
    running = site.host.run("docker inspect traefik --format '{{json .Args}}'").stdout
    assert "--log.level=DEBUG" in running


def test_another_database_password_is_refused_and_nothing_touched(site, first_deploy):
    before = site.state()
    site.me.secrets["HARBOR_DATABASE_PASSWORD"] = "Canary-Changed-4711"

    refused = site.me.fab("deploy", expect=9)
    site.me.secrets = dict(CANARIES)

    assert "is not the password that Harbor's database has" in refused.text
    assert "fab rotate database" in refused.text
    assert site.state() == before


@pytest.mark.parametrize(
    ("drift", "reasons"),
    [
        (
            "docker stop harbor-jobservice",
            ["stack: not running: jobservice"],
        ),
        (
            "chown root:root /opt/harbor/common/config/core/env",
            ["config: not owned by harbor: /opt/harbor/common/config/core/env"],
        ),
        (
            "echo '# by hand' >> /etc/systemd/system/harbor.service; systemctl daemon-reload",
            [
                "service: /etc/systemd/system/harbor.service: content differs",
                "service: systemd has an older harbor.service",
            ],
        ),
        (
            "chmod 644 /opt/harbor/harbor.yml",
            ["config: /opt/harbor/harbor.yml: mode is 644, not 600"],
        ),
        (
            "rm -rf /root/.local/share/direnv",
            ["environment: direnv: .envrc is not approved as it is"],
        ),
        ("systemctl disable harbor", ["service: harbor.service is not enabled"]),
        (
            "docker rm -f traefik; docker rmi traefik:v3.7.15",
            [
                "traefik: the image traefik:v3.7.15 is not on the host: send it",
                "traefik: load traefik:v3.7.15",
                "stack: not there: traefik",
            ],
        ),
    ],
    ids=["stopped", "owner", "unit", "mode", "approval", "disabled", "image"],
)
def test_drift_is_named_exactly_and_repaired_exactly(site, first_deploy, drift, reasons):
    site.host.run(drift)

    plan = site.me.fab("plan", expect=2)
    deploy = site.me.fab("deploy")

    assert plan.changes == reasons
    assert deploy.changes == plan.changes
    assert site.me.fab("plan").changes == []


def test_a_lost_key_comes_back_from_the_copy_of_the_store(site, first_deploy):
    before = site.host.read("/data/certificates/own/key.pem")
    site.host.run("rm /data/certificates/own/key.pem")

    plan = site.me.fab("plan", expect=2)
    deploy = site.me.fab("deploy")

    reason = "store: put back from the copy of the certificate store: own/key.pem (missing)"
    assert plan.changes[0] == reason
    assert deploy.changes == [reason]
    assert site.host.read("/data/certificates/own/key.pem") == before


def test_a_certificate_that_ends_soon_is_issued_again_by_the_same_ca(site, first_deploy):
    ca = site.me.folder / "ca"
    authority = KeyPair((ca / "ca.crt").read_bytes(), Secret((ca / "ca.key").read_text()))
    a_year_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=380)
    soon = issue(authority, [HARBOR_NAME], a_year_ago)
    own = "/data/certificates/own"
    for name, text in (("key.pem", soon.key.reveal()), ("fullchain.pem", soon.chain.decode())):
        site.host.write(f"{own}/{name}", text, mode="0600", owner="harbor")

    plan = site.me.fab("plan", expect=2)
    site.me.fab("deploy")

    assert f"tls: {own}/fullchain.pem: ends in " in "\n".join(plan.changes)
    shown = f"openssl s_client -CAfile /root/ca.crt -connect {HARBOR_NAME}:443 </dev/null 2>&1"
    renewed = (
        f"{shown} | grep -q 'Verify return code: 0' && {shown} | openssl x509 -checkend 31536000"
    )
    deadline = time.monotonic() + 15  # until Traefik has noticed
    while site.client.run(renewed, check=False).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert (ca / "ca.crt").read_bytes() == authority.chain
    assert site.me.fab("plan").changes == []


def test_an_edited_output_of_prepare_is_made_again_and_everything_recreated(site, first_deploy):
    site.host.run("echo '# by hand' >> /opt/harbor/common/config/nginx/nginx.conf")

    plan = site.me.fab("plan", expect=2)
    site.me.fab("deploy")

    changed = "changed since its last run: /opt/harbor/common/config/nginx/nginx.conf"
    expected = f"config: run prepare: {changed}{ANEW}"
    assert expected in plan.changes
    assert "by hand" not in site.host.read("/opt/harbor/common/config/nginx/nginx.conf")
    assert site.me.fab("plan").changes == []


def test_prepare_run_by_hand_is_noticed_although_harbor_says_it_is_healthy(site, first_deploy):
    site.host.run("cd /opt/harbor && runuser -u harbor -- ./prepare")

    plan = site.me.fab("plan", expect=2)
    site.me.fab("deploy")

    assert any("changed since its last run" in reason for reason in plan.changes)
    assert site.me.fab("plan").changes == []


def test_after_a_power_cut_the_cache_is_back_without_a_hand(site, first_deploy):
    site.host.power_off()
    site.host.power_on()

    began = time.monotonic()
    deadline = began + 120
    health = f"curl -sk --max-time 3 https://{HARBOR_NAME}/api/v2.0/health"
    while time.monotonic() < deadline:
        answered = site.client.run(health, check=False).stdout
        # Docker starts the containers by itself; the boot is over when the unit has seen to them.
        unit = site.host.run("systemctl is-active -q harbor", check=False)
        if re.search(r'^\{"status": ?"healthy"', answered) and not unit.returncode:
            break
    else:
        pytest.fail("not healthy again after 120 s")
    print(f"{site.suite}: healthy {time.monotonic() - began:.0f} s after boot")
    assert site.me.fab("plan").changes == []


def test_the_environment_is_there_for_an_operator_who_enters_the_folder(site, first_deploy):
    said = site.host.run(
        "runuser -l harbor -c 'cd /opt/harbor && direnv export json' && runuser -l harbor -c 'id'"
    ).stdout

    assert re.search('"TZ": ?"America/Argentina/Buenos_Aires"', said)
    assert re.search('"VERSION": ?"v3.7.15"', said)
    assert "uid=10000(harbor) gid=10000(harbor)" in said


def test_no_secret_lies_where_others_can_read_it_or_was_ever_seen_in_argv(site, first_deploy):
    world_readable = site.host.run(
        "find / -xdev -type f -perm -o=r -not -path '/proc/*' -not -path '/sys/*' -size -4M "
        "-print0 | xargs -0 grep -l 'Canary-[AD]' || :"
    ).stdout
    reachable = [
        path
        for path in world_readable.splitlines()
        if site.host.run(f"runuser -u nobody -- cat {path}", check=False).returncode == 0
    ]
    logged = site.host.run("journalctl -q | grep -c 'Canary-[AD]' || :").stdout.strip()

    assert reachable == []
    assert site.host.read("/root/seen-in-argv") == ""
    assert logged == "0"


def test_nothing_is_left_behind(site, first_deploy):
    left = site.host.run(
        "ls -d /opt/harbor/input /opt/harbor/.unpack /var/lib/harbor-cache/candidate 2>/dev/null; "
        "ls -A /var/lib/harbor-cache/downloads; find /opt/harbor /etc -name '.*.new'",
        check=False,
    ).stdout

    assert left == ""
