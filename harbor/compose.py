"""What compose is told beside Harbor's own file, and how to tell that what runs is what is on disk.

Every service carries a label with a digest of the files it was created from. `.envrc` computes
the digests, so every compose call, ours or an operator's, recreates exactly what is outdated.
"""

from harbor import paths, versions
from harbor.acme import traefik as acme
from harbor.render import render
from harbor.settings import Settings

CONFIG_LABEL = "harbor-cache.config"
EDGE_LABEL = "harbor-cache.edge"
# core/env holds secrets that every run of prepare makes anew: it stands for all that it wrote.
CONFIG_DIGEST = "cat docker-compose.yml common/config/core/env | sha256sum | cut -c1-16"


def edge_digest(settings: Settings) -> str:
    """Shell text: a digest of what the service at the edge is created from, its secrets included."""
    secrets = " acme/*" if settings.harbor.acme else ""
    return f"cat docker-compose.override.yml .envrc{secrets} | sha256sum | cut -c1-16"


def edge_service(settings: Settings) -> str:
    """The service that is recreated when override or environment change."""
    return "traefik" if settings.harbor.with_traefik else "proxy"


def override(settings: Settings) -> bytes:
    """docker-compose.override.yml: merged by every compose call, never touched by prepare."""
    harbor = settings.harbor
    return render(
        "docker-compose.override.yml.j2",
        harbor=harbor,
        version=versions.compose_file_version(harbor.release_version),
        harbor_services=[name for name in harbor.containers if name != "traefik"],
        edge=edge_service(settings),
        config_label=CONFIG_LABEL,
        edge_label=EDGE_LABEL,
        network=f"{paths.PROJECT}_harbor",
        traefik_flags=traefik_flags(settings),
        certificates=paths.certificates(harbor.data_volume),
        dynamic=paths.TRAEFIK_DYNAMIC,
        acme=acme.environment(settings) if harbor.acme else {},
        acme_secrets=list(acme.handed(settings).secrets) if harbor.acme else [],
        acme_folders=(acme.FOLDER, acme.MOUNTED),
        uid=paths.UID,
    )


def traefik_flags(settings: Settings) -> list[str]:
    """Traefik's static configuration, as flags that v2.11 and v3 both know."""
    traefik, public_https = settings.harbor.traefik, settings.harbor.public_https_port
    flags = [
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=${LOG:?}",
        "--accesslog=true",
        "--accesslog.fields.headers.names.Authorization=redact",
        "--entrypoints.http.address=:80",
        # The port that clients see: inside the container it is always 443.
        f"--entrypoints.http.http.redirections.entrypoint.to=:{public_https}",
        "--entrypoints.http.http.redirections.entrypoint.scheme=https",
        "--entrypoints.https.address=:443",
        f"--entrypoints.https.transport.respondingtimeouts.readtimeout={traefik.read_timeout}s",
        "--providers.file.directory=/etc/traefik/dynamic",
        "--providers.file.watch=true",
    ]
    if traefik.provider == "docker":
        flags += ["--providers.docker=true", "--providers.docker.exposedbydefault=false"]
    if settings.harbor.acme:
        flags += acme.resolver_flags(settings, settings.harbor.acme.directory, "/certs")
    return flags
