"""The certificate that clients must see lies in the store, with its key and the CA to trust."""

from collections.abc import Mapping

from harbor import files, mirrors, paths
from harbor.changes import Change
from harbor.render import render
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output

NAME = "tls"


def folder(settings: Settings) -> str:
    return f"{paths.certificates(settings.harbor.data_volume)}/own"


def chain_path(settings: Settings) -> str:
    return f"{folder(settings)}/fullchain.pem"


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
    wanted = [chain_path(settings), f"{folder(settings)}/key.pem", ca_path(settings)]
    if settings.harbor.with_traefik:
        wanted += [f"{paths.TRAEFIK_DYNAMIC}/{name}.yml" for name in ("tls", "mirrors")]
    return {path: files.probe(path) for path in wanted}


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    return [*_pair(settings, facts), *files.plan_all(_others(settings), facts)]


def _pair(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    if settings.harbor.acme:
        return []  # Traefik keeps its own
    chain_file, key_file = chain_path(settings), f"{folder(settings)}/key.pem"
    chain = files.content(facts.get(chain_file, NOT_READ))
    key = files.content(facts.get(key_file, NOT_READ))
    problem = settings.certificates.problem(chain, key, names(settings))
    if problem:
        pair = settings.certificates.issue(names(settings))
        chain, key = pair.chain, pair.key.reveal().encode()
    changes: list[Change] = []
    # The key first: whoever reads between the two still has the old pair in memory.
    for path, content in ((key_file, key), (chain_file, chain)):
        wanted = files.ManagedFile(path, content, paths.USER, paths.USER, 0o600, "nothing")
        changes += files.plan(wanted, facts.get(path, NOT_READ))
    return changes


def _others(settings: Settings) -> list[files.ManagedFile]:
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
            "tls": render("traefik-tls.yml.j2", harbor=settings.harbor),
            "mirrors": mirrors.rendered(settings.harbor),
        }
        found += [
            files.ManagedFile(
                f"{paths.TRAEFIK_DYNAMIC}/{name}.yml", content, paths.USER, paths.USER
            )
            for name, content in dynamic.items()
        ]
    return found
