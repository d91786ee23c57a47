"""What each layer of a host's disk is made of.

A layer is a suite, a parent layer, packages and a shell script.  To add one, add a Recipe to
RECIPES; it is built the first time that a host asks for it, and again when its text changes.
"""

from dataclasses import dataclass

from lab.errors import LabError

# Debian 12, 13 and the coming one, which has the engines of tomorrow.
SUITES = ("bookworm", "trixie", "forky")
SUDO_PASSWORD = "lab-sudo-password"

# A bare server: what a cloud image has, less cloud-init; no curl, no Python, no Docker.
BARE = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "iproute2",
    "ca-certificates",
    "procps",
    "iputils-ping",
    "kmod",
    "netbase",
    "tzdata",
)
# force-unsafe-io: no fsync for each unpacked file, which the lab's disks need not survive.
BARE_SETUP = f"""
useradd --create-home --shell /bin/bash --groups sudo --uid 1000 deploy
useradd --create-home --shell /bin/bash --groups sudo --uid 1001 careful
echo 'careful:{SUDO_PASSWORD}' | chpasswd
echo 'deploy ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/deploy
chmod 0440 /etc/sudoers.d/deploy
for name in deploy careful; do install -d -m 0700 -o $name -g $name /home/$name/.ssh; done
install -d -m 0700 /root/.ssh
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
: > /etc/machine-id
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/lab
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \\
    e2scrub_reap.service fstrim.timer dpkg-db-backup.timer console-getty.service getty@tty1.service
"""
# From trixie on, docker.io no longer brings the `docker` command along.
_CLI_APART = ("docker.io", "docker-cli", "docker-compose")
ENGINE = {
    "bookworm": ("docker.io", "docker-compose"),
    "trixie": _CLI_APART,
    "forky": _CLI_APART,
}
# What else pulls and builds images.  Debian has no nerdctl, and buildx from trixie on.
RUNTIMES = (
    "podman",
    "skopeo",
    "buildah",
    "crun",
    "netavark",
    "nftables",  # netavark of trixie calls nft
    "aardvark-dns",
    "uidmap",
)
BUILDX = {"bookworm": (), "trixie": ("docker-buildx",), "forky": ("docker-buildx",)}


@dataclass(frozen=True)
class Recipe:
    """One layer: `packages` and then `setup` (run by sh in it) on top of `parent`."""

    suite: str
    name: str
    parent: str | None
    packages: tuple[str, ...]
    setup: str = ""
    about: str = ""


def _of(suite: str) -> tuple[Recipe, ...]:
    return (
        Recipe(suite, "base", None, BARE, BARE_SETUP, "bare Debian with systemd and sshd"),
        Recipe(
            suite,
            "docker",
            "base",
            (*ENGINE[suite], "direnv", "curl", "git"),
            about="base with Docker, compose, direnv, curl, git",
        ),
        Recipe(
            suite,
            "registry",
            "base",
            ("docker-registry", "skopeo", "curl", "openssl"),
            about="base with Debian's docker-registry, to play an upstream",
        ),
        Recipe(
            suite,
            "clients",
            "docker",
            (*RUNTIMES, *BUILDX[suite]),
            about="docker with podman, skopeo, buildah, ctr",
        ),
        Recipe(
            suite,
            "acme",
            "base",
            ("pebble", "bind9", "bind9-dnsutils", "curl", "openssl"),
            "systemctl disable named.service",
            "base with the Pebble CA and BIND",
        ),
    )


RECIPES = {(one.suite, one.name): one for suite in SUITES for one in _of(suite)}


def find(suite: str, layer: str) -> Recipe:
    """The recipe of a layer; LabError with the known ones if there is none."""
    if (suite, layer) not in RECIPES:
        known = ", ".join(f"{suite}/{layer}" for suite, layer in RECIPES)
        raise LabError(f"no layer {suite}/{layer}; known: {known}")
    return RECIPES[suite, layer]


def chain(suite: str, layer: str) -> list[Recipe]:
    """The recipe of a layer and of all that it stands on, the base first."""
    recipe = find(suite, layer)
    below = chain(suite, recipe.parent) if recipe.parent else []
    return [*below, recipe]
