"""What Traefik is told: the certificate resolver, and the router that makes it order.

Certificates belong to Traefik as a whole and are chosen by the client's SNI, so one router that
no request reaches asks for one certificate with all names. Harbor's own routers and those of the
mirrors know nothing of ACME: asking again, or for more names, is a change of one watched file,
and no container is touched.
"""

import json
import re

from harbor import paths
from harbor.acme import providers
from harbor.acme.settings import LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Acme
from harbor.sections import FromEnvironment
from harbor.settings import Settings
from harbor.shell import command

RESOLVER = "letsencrypt"
FOLDER = f"{paths.INSTALL}/acme"  # secrets of the provider, for Traefik alone
MOUNTED = "/run/acme"
BUNDLE = "ca-bundle.pem"
ROUTE = f"{paths.TRAEFIK_DYNAMIC}/acme.yml"
UNASKED = "/.harbor-cache/certificate"
REHEARSAL = "harbor-acme-rehearsal"
REHEARSAL_FOLDER = f"{paths.STATE}/acme-rehearsal"


def store_file(directory: str) -> str:
    """The store's file name: one a CA, since Traefik would keep another CA's certificate."""
    known = {LETS_ENCRYPT: "acme.json", LETS_ENCRYPT_STAGING: "acme-staging.json"}
    slug = re.sub(r"[^a-z0-9]+", "-", directory.removeprefix("https://").lower()).strip("-")
    return known.get(directory, f"acme-{slug}.json")


def acme_of(settings: Settings) -> Acme:
    """The settings of ACME, for callers that know they are there."""
    assert settings.harbor.acme
    return settings.harbor.acme


def handed(settings: Settings) -> providers.Handed:
    """The provider's variables as Traefik gets them."""
    acme = acme_of(settings)
    given = acme.variables.items()
    plain = {name: value for name, value in given if isinstance(value, str)}
    secrets = {
        name: settings.secrets.of(value)
        for name, value in given
        if isinstance(value, FromEnvironment)
    }
    return providers.hand(acme.provider, plain, secrets, MOUNTED)


def environment(settings: Settings) -> dict[str, str]:
    """Traefik's environment as far as it holds no secret."""
    acme = acme_of(settings)
    bundle = {"LEGO_CA_CERTIFICATES": f"{MOUNTED}/{BUNDLE}"} if acme.ca_bundle else {}
    return {**handed(settings).environment, **bundle}


def resolver_flags(settings: Settings, directory: str, folder: str) -> list[str]:
    """The certificate resolver for one CA, in the words that this version of Traefik knows.

    v3.3 brought `propagation.*` and calls `delaybeforecheck` deprecated; up to 3.2, and in v2,
    `propagation.*` is a fatal mistake and `disablepropagationcheck` the nearest there is.
    """
    acme, new = acme_of(settings), settings.harbor.traefik.release >= (3, 3)
    own = f"--certificatesresolvers.{RESOLVER}.acme"
    dns = f"{own}.dnschallenge"
    delay = "propagation.delaybeforechecks" if new else "delaybeforecheck"
    unasked = "propagation.disableanschecks" if new else "disablepropagationcheck"
    return [
        f"{own}.email={acme.email}",
        f"{own}.caserver={directory}",
        f"{own}.storage={folder}/{store_file(directory)}",
        f"{own}.keytype={acme.key_type}",
        f"{dns}.provider={acme.provider}",
        *([f"{dns}.resolvers={','.join(acme.resolvers)}"] if acme.resolvers else []),
        *([f"{dns}.{delay}={acme.delay}"] if acme.delay else []),
        *([] if acme.ask_name_servers else [f"{dns}.{unasked}=true"]),
    ]


def route(names: list[str], attempt: int = 0) -> bytes:
    """The router that asks for one certificate. Another `attempt` makes Traefik ask once more."""
    router = {
        # No client asks for this path; Harbor's own routers have a higher priority besides.
        "rule": f"Host(`{names[0]}`) && Path(`{UNASKED}`)",
        "priority": 1 + attempt,
        "entryPoints": ["https"],
        "service": "noop@internal",
        "tls": {"certResolver": RESOLVER, "domains": [{"main": names[0], "sans": names[1:]}]},
    }
    text = json.dumps({"http": {"routers": {"certificate": router}}}, indent=2)
    about = "# Makes Traefik keep a certificate for these names; written by `fab deploy`."
    return f"{about}\n{text}\n".encode()


def rehearsal_script(settings: Settings, directory: str, write_route: str) -> str:
    """Shell text that starts a Traefik beside the real one which orders from a staging CA.

    It has no port and serves nobody; its store is new each time. The certificates that clients
    are served meanwhile stay what they are. `write_route`: shell text that writes its router.
    """
    flags = [
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=ERROR",
        "--entrypoints.https.address=:8443",
        "--providers.file.directory=/rehearsal",
        *resolver_flags(settings, directory, "/rehearsal"),
    ]
    visible = [f"{name}={value}" for name, value in environment(settings).items()]
    secret = handed(settings).secrets
    # With a name alone docker takes the value from its own environment: no argument list.
    options = [word for one in [*visible, *secret] for word in ("-e", one)]
    run = command(
        "docker", "run", "-d", "--name", REHEARSAL, "--user", f"{paths.UID}:{paths.UID}",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--read-only",
        "-v", f"{REHEARSAL_FOLDER}:/rehearsal", "-v", f"{FOLDER}:{MOUNTED}:ro", *options,
        f"traefik:{settings.harbor.traefik.version}", *flags,
    )  # fmt: skip
    owned = ("-o", paths.USER, "-g", paths.USER)
    make = command("install", "-d", "-m", "0700", *owned, REHEARSAL_FOLDER)
    known = f"cd {paths.INSTALL}\n. ./.envrc" if secret else ":"
    return "\n".join([end_rehearsal(), make, f"(\n{write_route}\n)", known, run])


def end_rehearsal() -> str:
    """Shell text that removes the rehearsal's container and its store."""
    there = f"docker inspect {REHEARSAL} >/dev/null 2>&1"
    return f"if {there}; then docker rm -f {REHEARSAL} >/dev/null; fi\nrm -rf {REHEARSAL_FOLDER}"
