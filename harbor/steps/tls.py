"""The certificate that clients must see lies in the store, with its key and the CA to trust."""

import hashlib
from collections.abc import Mapping

from harbor import files, mirrors, paths, store
from harbor.acme import stored
from harbor.acme import traefik as acme
from harbor.changes import Change, Run
from harbor.render import render
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command

NAME = "tls"


def folder(settings: Settings) -> str:
    return f"{paths.certificates(settings.harbor.data_volume)}/own"


def chain_path(settings: Settings) -> str:
    return f"{folder(settings)}/fullchain.pem"


def pair_paths(settings: Settings) -> tuple[str, str]:
    """Chain and key."""
    return chain_path(settings), f"{folder(settings)}/key.pem"


def store_path(settings: Settings) -> str:
    """Where Traefik keeps the certificates of the CA that is asked."""
    return f"{store.folder(settings)}/{acme.store_file(acme.acme_of(settings).directory)}"


def store_copy(settings: Settings) -> str:
    """Its copy, from which `store_restore` brings it back."""
    return f"{paths.STORE_COPY}/{acme.store_file(acme.acme_of(settings).directory)}"


def stored_probe(settings: Settings) -> str:
    """Snippet: the chains that Traefik has, or will have when the copy has been put back."""
    return stored.probe(store_path(settings), store_copy(settings))


def ca_path(settings: Settings) -> str:
    """Harbor offers this file at /api/v2.0/systeminfo/getcert."""
    return f"{settings.harbor.data_volume}/ca_download/ca.crt"


def names(settings: Settings) -> list[str]:
    """The names that the certificate must carry, the clients' name first, none twice."""
    harbor = settings.harbor
    return list(
        dict.fromkeys(
            [harbor.url_host, harbor.hostname, *mirrors.names(harbor), *harbor.tls.extra_names]
        )
    )


def probe(settings: Settings) -> dict[str, str]:
    wanted = [*pair_paths(settings), ca_path(settings)]
    if settings.harbor.with_traefik:
        wanted += [f"{paths.TRAEFIK_DYNAMIC}/{name}.yml" for name in ("tls", "mirrors")]
    found = {path: files.probe(path) for path in wanted}
    if settings.harbor.acme:
        found |= {acme.ROUTE: files.probe(acme.ROUTE), "stored": stored_probe(settings)}
    return found


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    chain, key, why = _wanted_pair(settings, facts)
    wanted = [*_pair_files(settings, chain, key, why), *_others(settings, chain)]
    return [*_hold_order(settings, facts), *files.plan_all(wanted, facts)]


def _hold_order(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    """With an empty store Traefik would order by itself at its start, beside our rehearsal, and
    the two would overwrite each other's TXT record.
    """
    there = facts.get(acme.ROUTE, NOT_READ).ok
    if not settings.harbor.acme or not there or stored.parse(facts.get("stored", NOT_READ)):
        return []
    why = f"{acme.ROUTE}: the store holds no certificate: Traefik orders none before the rehearsal"
    return [Run(why, f"{command('rm', '-f', acme.ROUTE)}\n{store.RELOAD}")]


def pair(settings: Settings, facts: Mapping[str, Output]) -> tuple[bytes, bytes]:
    """Chain and key that belong there: those that are, or new ones; empty where Traefik orders."""
    chain, key, _ = _wanted_pair(settings, facts)
    return chain, key


def _wanted_pair(settings: Settings, facts: Mapping[str, Output]) -> tuple[bytes, bytes, str]:
    """`pair`, and why it is a new one."""
    if settings.harbor.acme:
        return b"", b"", ""
    chain, key = (files.content(facts.get(path, NOT_READ)) for path in pair_paths(settings))
    why = settings.certificates.problem(chain, key, names(settings))
    if why:
        new = settings.certificates.issue(names(settings))
        chain, key = new.chain, new.key.reveal().encode()
    return chain, key, why


def _pair_files(settings: Settings, chain: bytes, key: bytes, why: str) -> list[files.ManagedFile]:
    if settings.harbor.acme:
        return []
    chain_file, key_file = pair_paths(settings)
    # The key first: whoever reads between the two still has the old pair in memory.
    return [
        files.ManagedFile(path, content, paths.USER, paths.USER, 0o600, "nothing", why)
        for path, content in ((key_file, key), (chain_file, chain))
    ]


def _others(settings: Settings, chain: bytes) -> list[files.ManagedFile]:
    found = []
    if settings.certificates.trust:
        found.append(
            files.ManagedFile(
                ca_path(settings),
                settings.certificates.trust,
                paths.USER,
                paths.USER,
                shows="nothing",
            )
        )
    if settings.harbor.with_traefik:
        dynamic = {
            "tls": render(
                "traefik-tls.yml.j2",
                harbor=settings.harbor,
                certificate=hashlib.sha256(chain).hexdigest(),
            ),
            "mirrors": mirrors.rendered(settings.harbor),
        }
        found += [
            files.ManagedFile(
                f"{paths.TRAEFIK_DYNAMIC}/{name}.yml", content, paths.USER, paths.USER
            )
            for name, content in dynamic.items()
        ]
    return found
