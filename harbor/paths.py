"""Where things lie on a host."""

INSTALL = "/opt/harbor"  # the folder's name is compose's project name: never another
PROJECT = "harbor"
STATE = "/var/lib/harbor-cache"  # stamps, fingerprints, lock, audit log; never secrets
USER = "harbor"
UID = 10000  # hard-coded in Harbor's images (make/photon/prepare/g.py)
DATABASE_UID = 999

HARBOR_YML = f"{INSTALL}/harbor.yml"
COMPOSE = f"{INSTALL}/docker-compose.yml"
OVERRIDE = f"{INSTALL}/docker-compose.override.yml"
ENVRC = f"{INSTALL}/.envrc"
CONFIG = f"{INSTALL}/common/config"
TRAEFIK_DYNAMIC = f"{INSTALL}/traefik"
# Compose, run as prepare leaves them, dies on these: its client reads env files itself.
ENV_FILES = tuple(f"{CONFIG}/{name}/env" for name in ("core", "db", "jobservice", "registryctl"))

COMPOSE_WRAPPER = "/usr/local/sbin/harbor-compose"
START = "/usr/local/sbin/harbor-start"
UNIT = "/etc/systemd/system/harbor.service"
KEEP = "/usr/local/sbin/harbor-keep-certificates"
KEEP_UNIT = "/etc/systemd/system/harbor-certificates.service"
KEEP_PATH = "/etc/systemd/system/harbor-certificates.path"
PROFILE = "/etc/profile.d/harbor-direnv.sh"
DAEMON_JSON = "/etc/docker/daemon.json"

PREPARE_STAMP = f"{STATE}/prepare.sha256"  # digest of prepare's inputs at its last good run
GENERATED = f"{STATE}/generated.sha256"  # digests of what prepare wrote then
ROTATED = f"{STATE}/database-password-changed"  # there while harbor.yml has still the old one
LOCK = f"{STATE}/lock"
LOCK_HOLDER = f"{STATE}/lock.json"
APPLY_LOCK = f"{STATE}/apply.lock"
AUDIT = f"{STATE}/audit.log"
ORDERS = f"{STATE}/orders"  # certificates that were issued and asked for, never a key
BACKUPS = "/var/backups/harbor-cache"  # holds private keys: for root only
STORE_COPY = f"{BACKUPS}/certificates"


def certificates(data_volume: str) -> str:
    """The certificate store: a bind mount inside the data, which no docker command deletes."""
    return f"{data_volume}/certificates"
