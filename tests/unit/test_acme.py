"""Certificates by ACME: what Traefik is told, what its log and store say, and what is refused."""

import base64
import datetime
import json
import subprocess

import dns.message
import dns.rrset
import pytest
from cryptography import x509

from harbor import compose, paths
from harbor.acme import failures, ledger, providers, report, stored, zone
from harbor.acme import traefik as acme
from harbor.certificates import create_authority, issue
from harbor.changes import OrderCertificate
from harbor.errors import Refused
from harbor.steps import certificate, environment, store_import, store_watch, tls
from tests.unit.builders import NOW, failed, file, ok, parsed, settings

HOST = "harbor-cache.example.com"
SECRET = "Canary-Tsig-1"
RFC2136 = {
    "email": "ops@cache.test",
    "provider": "rfc2136",
    "variables": {
        "RFC2136_NAMESERVER": "192.0.2.1:53",
        "RFC2136_TSIG_SECRET": {"env": "TSIG"},
    },
}


def by_acme(*, traefik="v3.7.15", secrets=None, **changes):
    tls_block = {"mode": "acme", "acme": {**RFC2136, **changes}}
    known = {"TSIG": SECRET} if secrets is None else secrets
    return settings(known, tls=tls_block, traefik={"version": traefik})


def mistakes(**acme_block):
    return parsed(tls={"mode": "acme", "acme": {**RFC2136, **acme_block}})[1]


def acme_json(*pairs, resolver="letsencrypt"):
    """Traefik's store as it writes it, with these pairs in it."""

    def text(content):
        return base64.b64encode(content).decode()

    rows = [
        {
            "domain": {"main": HOST},
            "certificate": text(p.chain),
            "key": text(p.key.reveal().encode()),
            "Store": "default",
        }
        for p in pairs
    ]
    account = {"Registration": {"uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1"}}
    return json.dumps({resolver: {"Account": account, "Certificates": rows}}, indent=2)


AUTHORITY = create_authority("a CA", NOW)
PAIR = issue(AUTHORITY, [HOST], NOW)
CHAIN = ok(base64.b64encode(PAIR.chain).decode())


class TestSettings:
    def test_the_email_alone_makes_route53_with_its_keys_optional(self):
        assert parsed(tls={"mode": "acme", "acme": {"email": "a@b.test"}})[1] == []

    def test_an_email_that_the_ca_refuses(self):
        assert "no e-mail address" in mistakes(email="ops")[0]
        assert "no e-mail address" in mistakes(email="ops@example.com")[0]

    def test_unknown_provider_names_the_nearest(self):
        assert "did you mean `rfc2136`?" in mistakes(provider="rfc2163")[0]

    def test_a_provider_that_this_traefik_does_not_know_yet(self):
        newest = [name for name in providers.known((3, 7)) if name not in providers.known((3, 0))]
        block = {"mode": "acme", "acme": {**RFC2136, "provider": newest[0]}}

        (mistake,) = parsed(tls=block, traefik={"version": "v3.0.4"})[1]

        assert f"Traefik v3.0.4 knows no DNS provider `{newest[0]}`" in mistake

    def test_what_a_provider_cannot_do_without_is_asked_of_the_environment(self):
        found, wrong = parsed(
            tls={"mode": "acme", "acme": {"email": "a@b.test", "provider": "vultr"}}
        )

        assert wrong == []
        assert found.tls.acme.variables["VULTR_API_KEY"].env == "VULTR_API_KEY"

    def test_tls_must_end_at_traefik(self):
        block = {"mode": "acme", "ends_at": "harbor", "acme": RFC2136}
        assert "needs ends_at: traefik" in parsed(tls=block)[1][0]

    def test_lets_encrypts_staging_belongs_to_lets_encrypt_alone(self):
        assert "staging" in acme.acme_of(by_acme()).rehearsal
        assert acme.acme_of(by_acme(directory="https://ca.corp/dir")).rehearsal is None


class TestFlags:
    def of(self, version, **changes):
        chosen = by_acme(traefik=version, delay=5, ask_name_servers=False, **changes)
        return [f.split(".acme.")[1] for f in compose.traefik_flags(chosen) if ".acme." in f]

    def test_version_3_7(self):
        assert self.of("v3.7.15")[4:] == [
            "dnschallenge.provider=rfc2136",
            "dnschallenge.resolvers=8.8.8.8:53",
            "dnschallenge.propagation.delaybeforechecks=5",
            "dnschallenge.propagation.disableanschecks=true",
        ]

    @pytest.mark.parametrize("version", ["v2.11.0", "v3.0.4"])
    def test_older_ones_know_no_propagation(self, version):
        assert self.of(version)[6:] == [
            "dnschallenge.delaybeforecheck=5",
            "dnschallenge.disablepropagationcheck=true",
        ]

    def test_each_ca_has_a_store_of_its_own(self):
        files = {acme.store_file(d) for d in ("https://a:1/dir", "https://a:2/dir")}
        assert len(files) == 2
        assert acme.store_file(acme.acme_of(by_acme()).directory) == "acme.json"


class TestSecrets:
    def test_a_file_where_the_provider_reads_one(self):
        chosen = by_acme()
        override = compose.override(chosen).decode()

        assert 'RFC2136_TSIG_SECRET_FILE: "/run/acme/RFC2136_TSIG_SECRET"' in override
        assert SECRET not in override + environment.envrc(chosen).decode()
        (written,) = [f for f in environment.managed(chosen) if f.path.startswith(acme.FOLDER)]
        assert (written.content, written.mode, written.shows) == (SECRET.encode(), 0o600, "nothing")

    def test_aws_gets_its_own_kind_of_file(self):
        keys = {"AWS_ACCESS_KEY_ID": {"env": "A"}, "AWS_SECRET_ACCESS_KEY": {"env": "B"}}
        chosen = by_acme(
            provider="route53", variables=keys, secrets={"A": "Canary-A", "B": "Canary-B"}
        )
        handed = acme.handed(chosen)

        assert handed.environment == {providers.AWS_FILE: f"/run/acme/{providers.AWS_FILE}"}
        assert "aws_secret_access_key = Canary-B" in handed.files[providers.AWS_FILE].reveal()
        assert "Canary" not in compose.override(chosen).decode()

    def test_through_envrc_where_there_is_no_other_way(self):
        chosen = by_acme(
            provider="azuredns",
            variables={"AZURE_CLIENT_SECRET": {"env": "A"}},
            secrets={"A": "Canary-$A"},
        )

        assert "export AZURE_CLIENT_SECRET='Canary-$A'" in environment.envrc(chosen).decode()
        assert (
            'AZURE_CLIENT_SECRET: "${AZURE_CLIENT_SECRET:?}"' in compose.override(chosen).decode()
        )

    def test_a_changed_secret_recreates_traefik(self):
        assert "acme/*" in compose.edge_digest(by_acme())

    def test_the_rehearsal_shows_no_secret_in_its_arguments(self):
        chosen = by_acme(
            provider="azuredns",
            variables={"AZURE_CLIENT_SECRET": {"env": "A"}},
            secrets={"A": "Canary-A"},
        )
        assert "Canary-A" not in acme.rehearsal_script(chosen, "https://x/dir", ":")


class TestPlan:
    def facts(self, stored_chain=CHAIN, route=None):
        content = route or acme.route([HOST])
        return {acme.ROUTE: file(content, paths.USER, paths.USER), "stored": stored_chain}

    def test_fresh(self):
        (change,) = certificate.plan(by_acme(), {})

        assert isinstance(change, OrderCertificate)
        assert "none yet" in change.why
        assert "rehearsed with staging first" in change.why

    def test_converged_whatever_the_attempt(self):
        assert certificate.plan(by_acme(), self.facts()) == []
        assert certificate.plan(by_acme(), self.facts(route=acme.route([HOST], 7))) == []

    def test_a_right_certificate_without_its_router_is_no_order(self):
        changes = certificate.plan(by_acme(), {"stored": CHAIN, acme.ROUTE: failed()})

        assert [change.path for change in changes] == [acme.ROUTE]

    def test_one_that_lacks_a_name_or_has_ended(self):
        other = ok(base64.b64encode(issue(AUTHORITY, ["x.test"], NOW).chain).decode())
        long_ago = NOW - datetime.timedelta(days=500)
        ended = ok(base64.b64encode(issue(AUTHORITY, [HOST], long_ago).chain).decode())

        assert "lacks the name" in certificate.plan(by_acme(), self.facts(other))[0].why
        assert "valid until" in certificate.plan(by_acme(), self.facts(ended))[0].why

    def test_another_mode_takes_the_router_away(self):
        (change,) = certificate.plan(settings(), {acme.ROUTE: ok("x")})

        assert change.script == f"rm -f {acme.ROUTE}"

    def test_tls_leaves_the_certificate_to_traefik(self):
        written = tls.plan(by_acme(), {})

        assert [c.path.rpartition("/")[2] for c in written] == [
            "ca.crt",
            "tls.yml",
            "mirrors.yml",
        ]
        assert b"certFile" not in written[1].content


class TestZone:
    def answered(self, question, *, zone):
        query = dns.message.make_query(question, "SOA")
        answer = dns.message.make_response(query)
        if zone:
            soa = f"ns.{zone} admin.{zone} 1 60 60 60 1"
            answer.answer.append(dns.rrset.from_text(zone, 60, "IN", "SOA", soa))
        return ok(base64.b64encode(answer.to_wire()).decode())

    def test_the_name_and_its_parents_are_asked_for(self):
        asked = zone.find("8.8.8.8:53", ["a.example.com", "*.b.example.com"])

        assert sorted(asked) == ["a.example.com.", "b.example.com.", "com.", "example.com."]
        assert "8.8.8.8 53" in asked["com."]

    def test_the_zone_may_be_any_parent(self):
        answers = {
            name: self.answered(name, zone=name if name == "example.com." else "")
            for name in ("a.example.com.", "example.com.", "com.", "b.nowhere.", "nowhere.")
        }

        assert zone.missing(["a.example.com", "b.nowhere"], answers) == ["b.nowhere"]

    @pytest.mark.parametrize("text", ["", "AAAA", "not base64"])
    def test_no_answer_and_rubbish_are_silence(self, text):
        assert zone.silent({"x:53": ok(text), "y:53": self.answered("a.", zone="")}) == ["x:53"]

    def test_a_resolver_without_a_port_has_the_usual_one(self):
        assert acme.acme_of(by_acme(resolvers=["1.1.1.1", "ns:5353"])).resolvers == [
            "1.1.1.1:53",
            "ns:5353",
        ]


class TestHold:
    """No order of Traefik's own beside a rehearsal."""

    def plan(self, **facts):
        return [c.why for c in tls.plan(by_acme(), facts) if "rehearsal" in c.why]

    def test_an_empty_store_and_a_router_would_order_unrehearsed(self):
        assert len(self.plan(**{acme.ROUTE: ok("x"), "stored": ok("")})) == 1

    def test_a_first_deploy_has_no_router_yet(self):
        assert self.plan(stored=ok("")) == []

    def test_a_certificate_that_lacks_a_name_keeps_the_router(self):
        stored_text = base64.b64encode(PAIR.chain).decode()
        assert self.plan(**{acme.ROUTE: ok("x"), "stored": ok(stored_text)}) == []


class TestStored:
    def read(self, tmp_path, text):
        (tmp_path / "acme.json").write_text(text)
        script = stored.probe(str(tmp_path / "acme.json"))
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        return done.stdout

    def test_the_chain_leaves_the_host_and_no_key_does(self, tmp_path):
        text = self.read(tmp_path, acme_json(PAIR))

        (one,) = stored.parse(ok(text))
        assert one.names == [HOST]
        assert base64.b64encode(PAIR.key.reveal().encode()).decode() not in text

    def test_pairs_for_an_export(self, tmp_path):
        (tmp_path / "acme.json").write_text(acme_json(PAIR, PAIR))
        script = stored.probe_pairs(str(tmp_path / "acme.json"))
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

        pairs = [line.split() for line in done.stdout.splitlines()]
        assert [base64.b64decode(key) for _, key in pairs] == [PAIR.key.reveal().encode()] * 2

    def test_nothing_in_an_empty_store(self, tmp_path):
        assert stored.parse(ok(self.read(tmp_path, ""))) == []

    def test_a_chain_that_does_not_fit_together(self):
        other = create_authority("another", NOW)
        whole = stored.of_pem((PAIR.chain + AUTHORITY.chain).decode())
        broken = stored.of_pem((PAIR.chain + other.chain).decode())

        assert stored.chain_problem(whole, AUTHORITY.chain) == ""
        assert "not signed by the next" in stored.chain_problem(broken, b"")
        assert "staging_ca" in stored.chain_problem(whole, other.chain)

    def test_renewal_thirty_days_before_the_end_of_ninety(self):
        leaf = stored.of_pem(PAIR.chain.decode())
        assert leaf.leaf.not_valid_after_utc - leaf.renewal == datetime.timedelta(days=120)


class TestLedger:
    def issued(self, *hours_ago, file="acme.json"):
        times = [NOW - datetime.timedelta(hours=h) for h in hours_ago]
        return [ledger.Event(t, f"{n:x}", file, frozenset([HOST])) for n, t in enumerate(times)]

    def test_four_in_a_week_leave_one(self):
        ledger.check(self.issued(100, 50, 20, 10), "acme.json", [HOST], NOW)

    def test_a_sixth_is_refused_with_the_date(self):
        with pytest.raises(Refused, match="limit") as caught:
            ledger.check(self.issued(100, 80, 60, 40, 20), "acme.json", [HOST], NOW)

        assert f"{NOW - datetime.timedelta(hours=100) + ledger.WEEK:%Y-%m-%d %H:%M}" in str(
            caught.value
        )
        assert caught.value.code == 9

    def test_other_names_and_other_cas_do_not_count(self):
        events = self.issued(5, 4, 3, 2, 1)

        ledger.check(events, "acme.json", [HOST, "more.test"], NOW)
        ledger.check(events, "acme-other.json", [HOST], NOW)

    def test_five_failures_in_an_hour(self):
        tried = [
            ledger.Event(NOW - datetime.timedelta(minutes=m), "-", "acme.json", frozenset([HOST]))
            for m in (50, 40, 30, 20, 10)
        ]
        with pytest.raises(Refused):
            ledger.check(tried, "acme.json", [HOST], NOW)
        ledger.check([*tried, *self.issued(0)], "acme.json", [HOST], NOW)

    def test_what_is_written_is_read(self):
        (event,) = ledger.parse([ledger.asked("acme.json", ["b", "a"], NOW), "half a li"])

        assert (event.time, event.issued, event.names) == (NOW, False, frozenset("ab"))


LINES = {
    "bad authentication": "TSIG",
    "illegal base64 data at input byte 4": "not base64",
    "could not find the start of authority for '_acme-challenge.x.' [NXDOMAIN]": "no DNS zone",
    "could not find the start of authority: dial udp: connection refused": "does not answer",
    "unexpected response for 'x.' [question='x. IN  SOA', code=REFUSED]": "answers for the zone",
    "NoSuchHostedZone: no": "no such hosted zone",
    "InvalidClientTokenId": "does not know the access key",
    "SignatureDoesNotMatch": "refuses the secret key",
    "AccessDenied": "may not change the zone",
    "ExpiredToken": "has expired",
    "no EC2 IMDS role found": "no AWS credentials",
    "dns01: time limit exceeded: last error": "not seen at the zone's name servers",
    "urn:ietf:params:acme:error:unauthorized": "does not see the right TXT",
    "429 :: urn:ietf:params:acme:error:rateLimited": "rate limit",
    "400 :: urn:ietf:params:acme:error:invalidContact": "e-mail",
    "urn:ietf:params:acme:error:accountDoesNotExist": "account of another CA",
    "get directory at 'https://x': dial tcp: connect: connection refused": "cannot be reached",
    "get directory at 'https://x': no such host": "not known to the host's resolver",
    "get directory at 'https://x': i/o timeout": "does not answer",
    "get directory at 'https://x': x509: certificate signed by unknown authority": "not trust",
    "unrecognized DNS provider: x": "does not know the DNS provider",
}


@pytest.mark.parametrize("text", LINES)
def test_each_known_line_has_its_cause_and_a_cure(text):
    line = f'\x1b[31mERR\x1b[0m Unable to obtain ACME certificate for domains error="{text}"'

    failure = failures.find(["INF all is well", line])

    assert LINES[text] in failure.cause
    assert failure.cure
    assert "\x1b" not in failure.line


def test_no_failure_in_what_is_no_error():
    assert failures.find(["WRN acme: something", "INF Unable to obtain ACME certificate"]) is None


def test_an_unknown_error_is_shown_as_it_is():
    failure = failures.find(["ERR Unable to obtain ACME certificate for domains error=new"])
    assert failure.line.endswith("error=new")


class TestImport:
    def test_a_volume_of_an_installation_by_hand(self):
        (change,) = store_import.plan(by_acme(), {"there": failed(), "found": ok("/v/acme.json")})

        assert "no new order" in change.why

    def test_never_over_a_store_that_is_there(self):
        assert store_import.plan(by_acme(), {"there": ok(), "found": ok("/v/acme.json")}) == []

    def test_the_resolver_gets_our_name(self, tmp_path):
        (tmp_path / "acme.json").write_text(acme_json(PAIR, resolver="myresolver"))
        (change,) = store_import.plan(
            by_acme(), {"there": failed(), "found": ok(f"{tmp_path}/acme.json")}
        )
        (rename,) = [line for line in change.script.splitlines() if line.startswith("sed")]
        command = rename.rpartition(">")[0]
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

        assert list(json.loads(done.stdout)) == ["letsencrypt"]


class TestWatch:
    def test_fresh_and_converged(self):
        chosen = by_acme()
        files = {
            f.path: file(f.content, f.owner, f.group, f.mode) for f in store_watch.managed(chosen)
        }

        assert len(store_watch.plan(chosen, {})) == 4
        assert store_watch.plan(chosen, {**files, "active": ok(), "enabled": ok()}) == []

    def test_another_mode_ends_it(self):
        assert store_watch.plan(settings(), {"active": failed()}) == []
        assert len(store_watch.plan(settings(), {"active": ok()})) == 1


def test_the_report_counts_and_dates():
    served = stored.of_pem(PAIR.chain.decode())
    orders = [
        f"{int(NOW.timestamp()) - 3600 * n}\t{n}\tacme.json\t{HOST}" for n in (100, 80, 60, 40, 20)
    ]

    found = report.of(by_acme(), served, orders, NOW)

    assert (found.orders_this_week, found.days_left) == (5, 397)
    assert found.next_order_allowed == "2026-11-27 20:00"
    assert found.serial == f"{x509.load_pem_x509_certificate(PAIR.chain).serial_number:x}"
