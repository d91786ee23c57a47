"""The article's provider: Route 53, as moto plays it, on an older Traefik; Pebble asks real BIND.

What moto is told is copied to the zone by a bridge, so that the CA validates for real.
"""

import contextlib
import datetime

import pytest

from harbor.acme import providers
from lab import HostSpec, Lab, network
from lab.release import traefik
from tests.integration import authority, refusing
from tests.integration.aws import KEYS, REGION, Aws, Bridge
from tests.integration.operator import RELEASES, operator

TRAEFIK = "3.0.4"


class Site:
    def __init__(self, lab, aws, host, ca, folder):
        self.host, self.aws = host, aws
        lab.delegate(authority.ZONE, ca)
        now = datetime.datetime.now(datetime.UTC)
        self.ca = authority.Authority(ca, {"harbor-cache": host}, now)
        self.route53 = aws.client("route53")
        zone = self.route53.create_hosted_zone(Name=authority.ZONE, CallerReference="lab")
        self.zone = zone["HostedZone"]["Id"]
        self.bridge = Bridge(self.route53, self.zone, authority.ZONE, ca, self.ca.secret)
        tls = self.ca.settings(folder)
        tls["acme"] |= {
            "provider": "route53",
            "variables": {
                "AWS_ENDPOINT_URL": aws.url,
                "AWS_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
                **{name: {"env": name} for name in KEYS},
            },
        }
        archive = str(RELEASES / f"traefik-v{TRAEFIK}.tar")
        self.me = operator(
            folder, lab, host.name, hostname=authority.NAME, tls=tls, configure=False,
            traefik={"version": f"v{TRAEFIK}", "image_archive": archive},
        )  # fmt: skip
        self.me.secrets |= KEYS

    @property
    def variables(self):
        return self.me.values["harbor"]["tls"]["acme"]["variables"]


@pytest.fixture(scope="module")
def site(releases, tmp_path_factory):
    traefik.build(TRAEFIK, RELEASES)
    folder = tmp_path_factory.mktemp("route53")
    with Lab("it-route53") as lab:
        host, ca = lab.up_all([HostSpec("cache", "trixie", "docker"), HostSpec("ca", layer="acme")])
        with contextlib.closing(Aws(host, folder / "moto.log")) as aws:
            made = Site(lab, aws, host, ca, folder)
            yield made
            made.bridge.ends.set()
            made.bridge.join()


def test_keys_that_are_not_given_are_told_at_once(site):
    given = {name: site.variables.pop(name) for name in KEYS}

    failed = site.me.fab("deploy", expect=8)
    site.variables.update(given)
    found = site.me.fab("doctor", "--only", "certificate issuer", expect=8)

    assert "there are no AWS credentials" in failed.text
    assert "Traefik shows its own default certificate" in found.text
    assert site.ca.orders("production") == 0


def test_a_zone_that_is_not_in_the_account_is_told_at_once(site):
    site.variables["AWS_HOSTED_ZONE_ID"] = "ZNOTTHERE"

    failed = site.me.fab("deploy", expect=8)
    again = site.me.fab("cert.retry", expect=8)
    del site.variables["AWS_HOSTED_ZONE_ID"]

    assert "Route 53 has no such hosted zone" in failed.text
    assert "no such hosted zone" in again.text
    assert again.seconds < authority.SOON
    assert site.ca.orders("production") == 0


REFUSALS = {
    "InvalidClientTokenId": "AWS does not know the access key",
    "SignatureDoesNotMatch": "AWS refuses the secret key",
    "AccessDenied": "the AWS key may not change the zone",
    "ExpiredToken": "the AWS key has expired",
}


def test_what_aws_refuses_is_told_at_once(site):
    """By a stand-in for Route 53: moto's own refusals are not in the form that AWS has them in."""
    endpoint = site.variables["AWS_ENDPOINT_URL"]
    with refusing.aws(network.gateway(site.host.tag)) as server:
        site.variables["AWS_ENDPOINT_URL"] = server.url
        for server.says, cause in REFUSALS.items():
            failed = site.me.fab("cert.retry", expect=8)
            assert cause in failed.text, failed.text
            assert failed.seconds < authority.SOON
    site.variables["AWS_ENDPOINT_URL"] = endpoint

    assert site.ca.orders("production") == 0


def test_the_certificate_comes_with_one_order_by_traefik_3_0(site):
    done = site.me.fab("deploy")
    root = site.ca.root("production")
    site.host.write("/root/root.pem", root)
    ask = f"curl -sS --cacert /root/root.pem https://{authority.NAME}/api/v2.0/health"

    assert '"healthy"' in site.host.run(ask).stdout
    assert "rehearsed:" in done.text
    assert site.ca.orders("production") == 1
    assert site.me.fab("deploy").changes == []
    assert site.ca.orders("production") == 1


def test_no_key_shows_and_the_record_is_taken_away_again(site):
    shown = site.host.run("docker inspect $(docker ps -aq)").stdout

    assert not [key for key in KEYS.values() if key in shown]
    assert providers.AWS_FILE in shown
    sets = site.route53.list_resource_record_sets(HostedZoneId=site.zone)["ResourceRecordSets"]
    assert not [one for one in sets if one["Type"] == "TXT"]


def test_an_engine_that_this_traefik_cannot_talk_to_is_told(site):
    """As Engine 29, which wants API 1.44 at least; Traefik 3.0 asks for 1.24."""
    dropin = "/etc/systemd/system/docker.service.d/api.conf"
    site.host.write(dropin, "[Service]\nEnvironment=DOCKER_MIN_API_VERSION=1.44\n")
    site.host.run("systemctl daemon-reload; systemctl restart docker; docker restart -t 1 traefik")

    found = site.me.fab("doctor", "--only", "engine API", expect=8)
    refused = site.me.fab("deploy", expect=9)

    for done in (found, refused):
        assert "traefik:v3.0.4 asks the engine for API 1.24, engine 26.1" in done.text
