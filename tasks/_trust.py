"""How trust-cert gets the CA and gives it to a client."""

import http.client
import ssl
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import invoke

from harbor.clients import plan as planning
from harbor.clients import served
from harbor.clients.part import Part
from harbor.errors import ConnectError, Refused, SettingsError
from harbor.inventory import cache_of, client_options
from harbor.settings import Settings
from tasks import _clients, _fleet, _login
from tasks._inventory import harbor_settings, load

FETCH_SECONDS = 15


@dataclass(frozen=True)
class How:
    """The flags of trust-cert."""

    ca: str
    from_tls: bool
    fingerprint: str
    restart: str
    login: bool
    plan: bool
    json: bool


def trust(c: invoke.Context, how: How) -> None:
    loaded = load()
    clients = _clients.gather(c, loaded, _ca_of(how))
    limit = threading.Semaphore(_fleet.PARALLEL)

    def work(target: _fleet.Target) -> str:
        words = _trust_one(target, clients, how, limit)
        if how.login:
            _login.log_in(c, target, loaded, clients.source(target.host.name))
        changed = len(target.result.changes)
        return words if how.plan or not changed else f"{changed} changed"

    _fleet.run(
        c,
        "client",
        work,
        loaded=loaded,
        secrets=_clients.secrets(clients),
        read_only=how.plan,
        as_json=how.json,
    )


def untrust(c: invoke.Context, *, force: bool, as_json: bool) -> None:
    loaded = load()
    names = list(loaded.hosts(_fleet.wanted(c), "client"))
    harbors = _clients.Clients(loaded, names).harbors()
    settings = {s.name: s for s in harbor_settings(loaded, harbors, keep_ca=False)}

    def work(target: _fleet.Target) -> str:
        name = target.host.name
        _clients.refuse_while_used(target)
        _login.log_out(c, target, loaded, settings[str(cache_of(loaded.inventory, name))])
        return _clients.undo(target, "trust", client_options(loaded.inventory, name), force=force)

    secrets = [secret for one in settings.values() for secret in one.secrets.all()]
    _fleet.run(c, "client", work, loaded=loaded, secrets=secrets, as_json=as_json)


def _trust_one(
    target: _fleet.Target, clients: _clients.Clients, how: How, limit: threading.Semaphore
) -> str:
    name = target.host.name
    source, options = clients.source(name), clients.options(name)
    if how.restart:
        options = options.model_copy(update={"restart": how.restart})
    cache = source.cache

    def parts_of(there: planning.Found) -> list[Part]:
        return planning.trust(cache, there, options)

    def again() -> _clients.Look:
        return _clients.look(target, "trust", options, parts_of, {})[0]

    shown = {f"served {host}": served.probe(host) for host in cache.hosts} if cache.ca else {}
    first, outputs = _clients.look(target, "trust", options, parts_of, shown)
    if cache.ca:
        _clients.check_served(cache.hosts, outputs, cache.ca, name)
    else:
        target.say("the certificate is a public one: nothing is needed")
    _clients.say_notes(target, [note for part in first.parts for note in part.notes])
    target.result.details["runtimes"] = sorted(first.there)
    return _clients.bring(target, "trust", again, first, limit)


def _ca_of(how: How) -> _clients.CaOf | None:
    if how.restart not in ("", "safe", "always", "never"):
        raise SettingsError(f"--restart {how.restart}: safe, always or never")
    if how.ca and how.from_tls:
        raise SettingsError("--ca and --from-tls exclude each other")
    if how.ca:
        return _clients.ca_from_file(Path(how.ca).expanduser())
    if how.from_tls:
        return lambda settings, _on_host: _fetched(settings, how.fingerprint)
    return None


def _fetched(settings: Settings, fingerprint: str) -> bytes:
    """Harbor's CA as its address offers it to anybody; only its fingerprint makes it trustworthy."""
    name, port = served.split(settings.harbor.url.split("://")[1])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(name, port, timeout=FETCH_SECONDS, context=context)
    try:
        connection.request("GET", "/api/v2.0/systeminfo/getcert")
        answer = connection.getresponse()
        pem = answer.read()
    except OSError as error:
        raise ConnectError(f"{name}:{port}: {error}") from None
    finally:
        connection.close()
    certificates = served.certificates(pem.decode("utf-8", "replace"))
    if answer.status != 200 or not certificates:
        raise ConnectError(f"{name}:{port} offers no CA ({answer.status})")
    _confirm(name, served.fingerprint(certificates[0]), fingerprint)
    return pem


def _confirm(name: str, found: str, given: str) -> None:
    if given:
        if given.replace(":", "").lower() != found:
            raise Refused(f"{name}: its CA has the fingerprint {found}, not the one given")
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"{name}: its CA has the fingerprint {found}, which nobody has confirmed",
            "compare it on the Harbor host (openssl x509 -noout -fingerprint -sha256 -in "
            "/data/ca_download/ca.crt), then give it with --fingerprint",
        )
    if input(f"{name}: CA with SHA-256 {found}: the same on the host? [y/N] ").lower() != "y":
        raise Refused("not confirmed: nothing was changed")
