"""Certificates by ACME with DNS-01, for real: Traefik, Pebble and BIND.

The tests of a suite share two hosts and run in the order they stand here. Pebble's log counts.
"""

import base64
import datetime
import json
import time

import pytest

from lab import HostSpec, Lab
from tests.integration import authority
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


FAILURES = {
    "key": ("refuses the TSIG key", 10),
    "base64": ("not base64", 10),
    "zone": ("no DNS zone is found for more.nowhere.invalid", 10),
    "resolver": ("does not answer the host", 10),
    "directory": ("no ACME directory", 10),
    "front": ("no ACME directory", 10),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_is_told_with_its_cause_and_costs_no_order(site, kind):
    secret, values = site.ca.secret, json.loads(json.dumps(site.me.values))
    before = site.orders
    site.me.values["harbor"]["tls"]["extra_names"] = [EXTRA]
    if kind == "key":
        site.me.secrets["RFC2136_TSIG_SECRET"] = base64.b64encode(b"x" * 32).decode()
    elif kind == "base64":
        site.me.secrets["RFC2136_TSIG_SECRET"] = "no-base64-at-all"
    elif kind == "zone":
        site.me.values["harbor"]["tls"]["extra_names"] = ["more.nowhere.invalid"]
    elif kind == "resolver":
        site.acme["resolvers"] = [f"{site.ca.host.address}:5399"]
    elif kind == "directory":
        site.acme["staging"] = f"https://{authority.CA_NAME}:14999/dir"
    else:
        site.acme["ca_bundle"] = None
    # What differs besides is applied first, so that the time is that of the order alone.
    site.me.fab("deploy", expect=8)
    failed = site.me.fab("cert.retry", expect=8)
    site.me.secrets["RFC2136_TSIG_SECRET"], site.me.values = secret, values

    cause, seconds = FAILURES[kind]
    assert cause in failed.text, failed.text
    assert "hint:" in failed.text
    assert failed.seconds < seconds
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
