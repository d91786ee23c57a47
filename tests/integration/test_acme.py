"""Certificates by ACME with DNS-01, for real: Traefik, Pebble and BIND.

The tests of a suite share two hosts and run in the order they stand here. Pebble's log counts.
"""

import base64
import contextlib
import datetime
import json
import time

import pytest

from harbor.certificates import issue
from lab import HostSpec, Lab, network
from tests.integration import authority, refusing
from tests.integration.operator import operator

EXTRA = f"more.{authority.ZONE}"
COPY = "/var/backups/harbor-cache/certificates"
LEDGER = "/var/lib/harbor-cache/orders"


class Site:
    """A Harbor host whose certificate comes from the lab's CA."""

    def __init__(self, lab, folder, suite):
        specs = [
            HostSpec(f"harbor-{suite}", suite, "docker"),
            HostSpec(f"ca-{suite}", layer="acme"),
        ]
        self.host, ca = lab.up_all(specs)
        lab.delegate(authority.ZONE, ca)
        now = datetime.datetime.now(datetime.UTC)
        self.ca = authority.Authority(ca, {"harbor-cache": self.host}, now)
        tls = self.ca.settings(folder)
        self.me = operator(
            folder, lab, specs[0].name, hostname=authority.NAME, tls=tls, configure=False
        )
        self.me.secrets["RFC2136_TSIG_SECRET"] = self.ca.secret
        self.first = self.me.fab("deploy")

    @property
    def acme(self):
        return self.me.values["harbor"]["tls"]["acme"]

    @property
    def orders(self):
        return self.ca.orders("production")

    def served(self):
        """Whether a client that knows the production CA's root alone is answered."""
        root = self.ca.root("production")
        self.host.write("/root/root.pem", root)
        ask = f"curl -s --cacert /root/root.pem https://{authority.NAME}/api/v2.0/health"
        return '"healthy"' in self.host.run(ask, check=False).stdout

    def wait(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.host.run("docker logs --tail 20 traefik 2>&1")
            time.sleep(0.5)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def site(request, releases, tmp_path_factory):
    with Lab(f"it-acme-{request.param}") as lab:  # the zone is the whole lab's
        yield Site(lab, tmp_path_factory.mktemp(request.param), request.param)


def test_staging_first_and_then_one_order_in_production(site):
    assert (site.ca.orders("staging"), site.orders) == (1, 1)
    assert "rehearsed:" in site.first.text
    assert site.first.text.index("rehearsed:") < site.first.text.index("issued by")
    assert site.served()
    assert site.host.run("docker ps -aq --filter name=rehearsal").stdout == ""


def test_no_secret_in_what_docker_shows(site):
    shown = site.host.run("docker inspect $(docker ps -aq)").stdout
    readable = "find /opt/harbor/acme -perm /077"

    assert site.ca.secret not in shown
    assert "RFC2136_TSIG_SECRET_FILE" in shown
    assert site.host.run(readable).stdout == ""


def test_a_second_deploy_changes_nothing(site):
    assert site.me.fab("deploy").changes == []
    assert site.orders == 1


def test_cert_tells_and_exports(site):
    said = site.me.fab("cert").text
    site.me.fab("cert", "--days", "9999", expect=2)
    again = site.me.fab("cert.retry").text
    folder = site.me.folder / "out"
    site.me.fab("cert.export", "--to", str(folder))

    assert "1 of 5 this week" in said
    assert authority.NAME in said
    assert "nothing was ordered" in again
    keys = list(folder.glob("*/key.pem"))
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600]
    assert "PRIVATE KEY" in keys[0].read_text()


@pytest.mark.parametrize(
    "what",
    [
        "docker restart traefik",
        "docker rm -f traefik && harbor-compose up -d traefik",
        "systemctl restart harbor",
        "docker system prune -af --volumes",
    ],
)
def test_the_ordinary_day_orders_nothing(site, what):
    site.host.run(what, timeout=300)
    site.wait(site.served, 240)

    assert site.orders == 1


def test_a_power_cut_orders_nothing(site):
    site.host.power_off()
    site.host.power_on()
    site.wait(site.served, 240)

    assert site.orders == 1


def test_a_lost_store_comes_back_without_an_order(site):
    site.host.run("systemctl stop harbor; rm -rf /data/certificates")
    done = site.me.fab("deploy")

    assert "put back from the copy" in done.text
    assert (site.orders, site.served()) == (1, True)


def test_a_store_that_others_can_read_is_mended(site):
    site.host.run("chmod 644 /data/certificates/acme*.json; docker restart traefik")
    done = site.me.fab("deploy")

    assert "others can read" in done.text
    assert (site.orders, site.served()) == (1, True)


def wrong_key(site, heals):
    site.me.secrets["RFC2136_TSIG_SECRET"] = base64.b64encode(b"x" * 32).decode()


def no_base64(site, heals):
    site.me.secrets["RFC2136_TSIG_SECRET"] = "no-base64-at-all"


def no_zone(site, heals):
    site.me.values["harbor"]["tls"]["extra_names"] = ["more.nowhere.invalid"]


def no_resolver(site, heals):
    site.acme["resolvers"] = [f"{site.ca.host.address}:5399"]


def no_directory(site, heals):
    site.acme["staging"] = f"https://{authority.CA_NAME}:14999/dir"


def unknown_front(site, heals):
    site.acme["ca_bundle"] = None


def unknown_name(site, heals):
    site.acme["staging"] = f"https://nowhere.{authority.ZONE}/dir"


def silent_ca(site, heals):
    gateway = network.gateway(site.host.tag)
    port = heals.enter_context(refusing.silent(gateway))
    site.acme["staging"] = f"https://{gateway}:{port}/dir"


def server_without_the_record(site, heals):
    other = f"other.{authority.ZONE}"
    site.ca.update(f"add {other} 1 A {site.host.address}", f"add {authority.ZONE} 1 NS {other}")
    heals.callback(site.ca.update, f"delete {authority.ZONE} NS {other}")
    site.acme["variables"]["RFC2136_PROPAGATION_TIMEOUT"] = "4"  # 60 unless told


def ca_that_asks_others(site, heals):
    site.ca.start("staging", dns=site.ca.serve_an_old_zone())
    heals.callback(site.ca.settings, site.me.folder)  # the root of the CA, when it has restarted
    heals.callback(site.ca.start, "staging")


FAILURES = {
    wrong_key: "refuses the TSIG key",
    no_base64: "not base64",
    no_zone: "no DNS zone is found for more.nowhere.invalid",
    no_resolver: "does not answer the host",
    no_directory: "no ACME directory",
    unknown_front: "no ACME directory",
    unknown_name: "Could not resolve host",
    silent_ca: "curl: (28)",
    server_without_the_record: "is not seen at the zone's name servers",
    ca_that_asks_others: "the CA does not see the right TXT record",
}


@pytest.mark.parametrize("breaks", FAILURES, ids=lambda breaks: breaks.__name__)
def test_each_failure_is_told_with_its_cause_and_costs_no_order(site, breaks):
    secret, values = site.ca.secret, json.loads(json.dumps(site.me.values))
    before = site.orders
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]
    with contextlib.ExitStack() as heals:
        breaks(site, heals)
        # What differs besides is applied first, so that the time is that of the order alone.
        site.me.fab("deploy", expect=8)
        failed = site.me.fab("cert.retry", expect=8)
    site.me.secrets["RFC2136_TSIG_SECRET"], site.me.values = secret, values
    print(f"said after {failed.seconds:.1f} s")

    assert FAILURES[breaks] in failed.text, failed.text
    assert "hint:" in failed.text
    assert failed.seconds < authority.SOON
    assert site.orders == before
    assert site.served()


REFUSALS = {
    "invalidContact": "the CA refuses the e-mail address",
    "rateLimited": "the CA's rate limit is reached",
    "rejectedIdentifier": "the CA issues nothing for one of the names",
    "caa": "a CAA record forbids this CA to issue",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_each_refusal_of_a_ca_is_told_and_costs_no_order(site, kind):
    """By a stand-in for the staging CA."""
    values, before = json.loads(json.dumps(site.me.values)), site.orders
    gateway, name = network.gateway(site.host.tag), f"refusing.{authority.ZONE}"
    site.ca.update(f"delete {name}", f"add {name} 1 A {gateway}")
    pair = issue(site.ca.front, [name], datetime.datetime.now(datetime.UTC))
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]
    with refusing.ca(gateway, name, pair, site.me.folder) as server:
        server.says, site.acme["staging"] = kind, f"{server.url}/dir"
        failed = site.me.fab("cert.retry", expect=8)
    site.me.values = values
    print(f"said after {failed.seconds:.1f} s")

    assert REFUSALS[kind] in failed.text, failed.text
    assert failed.seconds < authority.SOON
    assert site.orders == before
    assert site.served()


def test_after_the_cure_a_name_more_costs_one_order(site):
    before = site.orders
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]
    done = site.me.fab("deploy")

    assert "lacks the name" in done.text
    assert site.orders == before + 1
    assert EXTRA in site.me.fab("cert").text


def test_a_sixth_certificate_for_the_same_names_is_refused_with_the_date(site):
    before = site.orders, site.ca.orders("staging")
    file = site.host.run("cd /data/certificates; ls acme*.json").stdout.strip()
    names = ",".join(sorted([authority.NAME, EXTRA, f"third.{authority.ZONE}"]))
    now = int(time.time())
    lines = "".join(f"{now - n * 3600}\tab{n}\t{file}\t{names}\n" for n in range(1, 6))
    kept = site.host.read(LEDGER)
    site.host.write(LEDGER, kept + lines, mode="0600")
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA, f"third.{authority.ZONE}"]

    refused = site.me.fab("deploy", expect=9)

    allowed = datetime.datetime.fromtimestamp(now - 5 * 3600 + 7 * 86400, datetime.UTC)
    assert f"allowed from {allowed:%Y-%m-%d %H:%M}" in refused.text
    assert (site.orders, site.ca.orders("staging")) == before
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]
    site.me.fab("deploy")


def test_an_installation_made_by_hand_moves_without_an_order(site):
    before = site.orders
    site.host.run(
        "systemctl stop harbor; docker volume create harbor_traefik_certs >/dev/null; "
        "v=$(docker volume inspect -f '{{.Mountpoint}}' harbor_traefik_certs); "
        f"sed '0,/letsencrypt/s//byhand/' /data/certificates/acme*.json > $v/acme.json; "
        f"rm -f /data/certificates/acme* {COPY}/acme*"
    )

    done = site.me.fab("deploy")

    assert "take over the certificates of" in done.text
    assert (site.orders, site.served()) == (before, True)
    site.host.run("docker volume rm harbor_traefik_certs")


def test_store_and_copy_lost_cost_one_order_and_what_is_issued_is_renewed(site):
    """The CA issues for a day only, so that Traefik renews at its next start."""
    site.ca.start("production", validity=86400)
    site.ca.start("staging", PEBBLE_WFE_NONCEREJECT="30")
    site.me.values["harbor"]["tls"] = site.ca.settings(site.me.folder)
    site.host.run(f"systemctl stop harbor; rm -rf /data/certificates {COPY}")
    before = site.orders

    done = site.me.fab("deploy")

    assert "the store holds no certificate" in done.text
    assert (site.orders, site.served()) == (before + 1, True)
    issued = len(events(site))
    site.host.run("docker restart traefik")
    site.wait(lambda: site.orders == before + 2)
    site.wait(lambda: len(events(site)) == issued + 1)
    same = f"cd /data/certificates && for f in acme*.json; do cmp $f {COPY}/$f; done"
    site.wait(lambda: site.host.run(same, check=False).returncode == 0)
    assert site.me.fab("plan").changes == []


def events(site):
    """The certificates that the host has counted, ever."""
    return [line for line in site.host.read(LEDGER).splitlines() if "\t-\t" not in line]


def test_an_account_that_the_ca_does_not_know_is_told(site):
    """The production CA has started anew, as another CA at the same address would."""
    site.ca.start("production")
    site.ca.start("staging")
    site.me.values["harbor"]["tls"] = site.ca.settings(site.me.folder)
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]

    failed = site.me.fab("deploy", expect=8)

    assert "rehearsed:" in failed.text
    assert "the store belongs to an account of another CA" in failed.text
