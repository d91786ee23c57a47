"""The work of `fab cert`, `fab cert.retry` and `fab cert.export` on one host."""

import base64
import dataclasses
import datetime
import os
from collections.abc import Callable
from pathlib import Path

from harbor import status, store
from harbor.acme import report, stored
from harbor.certificates import is_pair
from harbor.changes import OrderCertificate
from harbor.errors import CHANGES_PENDING, RemoteError, Unhealthy
from harbor.settings import Settings
from harbor.steps import certificate, tls
from tasks import _certificate, _converge
from tasks._fleet import Target, holder

Work = Callable[[Target, Settings], str]


def showing(days: int) -> Work:
    """Say everything about the certificate; the exit code says whether it ends too soon."""

    def work(target: Target, settings: Settings) -> str:
        snippets = {"served": status.served_certificate(settings), **_certificate.ORDERS}
        answers = target.host.read(snippets)
        served = stored.of_pem(answers["served"].text)
        if served is None:
            raise Unhealthy("no certificate is shown to clients", "fab status; fab start")
        now = datetime.datetime.now(datetime.UTC)
        found = report.of(settings, served, answers["orders"].lines, now)
        target.result.details["certificate"] = dataclasses.asdict(found)
        for line in report.lines(found):
            target.say(line)
        if found.days_left < days:
            target.result.code = CHANGES_PENDING
        return f"{found.days_left} days left"

    return work


def retry(target: Target, settings: Settings) -> str:
    """Order where the store has nothing that does; have Traefik look again where it should renew."""
    if not settings.harbor.acme:
        return "not by ACME: `fab deploy` renews it"
    with target.host.lock(holder("cert.retry"), target.progress):
        facts = target.host.read(certificate.probe(settings))
        held = certificate.held(settings, facts)
        changes = certificate.plan(settings, facts)
        if held and held.renewal < settings.certificates.now:
            # Traefik looks for what is to be renewed at its start, and then once a day.
            target.host.read_write(store.RELOAD)
            words = "due for renewal: Traefik was restarted and asks for it"
        elif any(isinstance(change, OrderCertificate) for change in changes):
            _certificate.order(target, settings)
            words = "issued"
        else:
            return "the certificate is right: nothing was ordered"
        _converge.audit(target, "cert.retry")
    return words


def exporting(to: str) -> Work:
    """Write chain and key where only their owner can read them; nothing of the key is shown."""

    def work(target: Target, settings: Settings) -> str:
        chain, key = _pair(target, settings)
        folder = Path(to).expanduser() / target.host.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in (("fullchain.pem", chain), ("key.pem", key)):
            _private(folder / name, content)
        target.say(f"{folder}/fullchain.pem and {folder}/key.pem")
        return "exported"

    return work


def _pair(target: Target, settings: Settings) -> tuple[bytes, bytes]:
    if not settings.harbor.acme:
        paths = zip(("chain", "key"), tls.pair_paths(settings), strict=True)
        answers = target.host.read({name: f"cat {path}" for name, path in paths})
        chain, key = (f"{answers[name].text}\n".encode() for name in ("chain", "key"))
        if not is_pair(chain, key):
            raise RemoteError("the store holds no whole certificate with its key", "fab start")
        return chain, key
    facts = target.host.read(
        {
            **certificate.probe(settings),
            "pairs": stored.probe_pairs(tls.store_path(settings)),
        }
    )
    held = certificate.held(settings, facts)
    for line in facts["pairs"].lines:
        chain64, key64 = line.split()
        chain_bytes = base64.b64decode(chain64)
        one = stored.of_pem(chain_bytes.decode())
        if held and one and one.serial == held.serial:
            return chain_bytes, base64.b64decode(key64)
    raise RemoteError(f"no certificate for {settings.harbor.url_host} in the store", "fab deploy")


def _private(path: Path, content: bytes) -> None:
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    staged.replace(path)
