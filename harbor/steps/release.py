"""The pinned Harbor release is unpacked in /opt/harbor and all its images are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from harbor import paths
from harbor.changes import Change, FetchRelease, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command, quote

NAME = "release"
DOWNLOADS = f"{paths.STATE}/downloads"
IMAGES = f"{paths.STATE}/images"  # what the release's image archive holds, a name a line
UNPACKED = ("prepare", "install.sh", "common.sh", "harbor.yml.tmpl", "LICENSE")


@dataclass(frozen=True)
class Facts:
    installed: str  # version that `prepare` names, or empty
    lacking_files: tuple[str, ...]
    archive: bool
    images_known: bool
    lacking_images: tuple[str, ...]
    leftovers: tuple[str, ...]


def archive(version: object) -> str:
    """The image archive that the offline tarball holds."""
    return f"{paths.INSTALL}/harbor.v{version}.tar.gz"


def probe(settings: Settings) -> dict[str, str]:
    version = settings.harbor.version
    tagged = f"'^[^ ]*:v{version}$'"
    return {
        "installed": f"sed -n 's/.*goharbor\\/prepare:v\\([0-9.]*\\).*/\\1/p' {paths.INSTALL}/prepare",
        "files": f"cd {paths.INSTALL} && for f in {' '.join(UNPACKED)}; do "
        '[ -s "$f" ] || echo "$f"; done',
        "archive": f"[ -s {quote(archive(version))} ]",
        "images": f"grep -q {tagged} {IMAGES} && "
        "timeout 20 docker image ls --format '{{.Repository}}:{{.Tag}}' | "
        f"sort | comm -13 - {IMAGES}",
        "leftovers": f"find {DOWNLOADS} {paths.INSTALL}/.unpack -mindepth 1 -maxdepth 1; "
        f"find {paths.INSTALL} -maxdepth 1 -name 'harbor.v*.tar.gz' ! -name 'harbor.v{version}.tar.gz'",
    }


def parse(facts: Mapping[str, Output]) -> Facts:
    def get(key: str) -> Output:
        return facts.get(key, NOT_READ)

    return Facts(
        installed=get("installed").text.strip(),
        lacking_files=tuple(get("files").lines) if get("files").ok else UNPACKED,
        archive=get("archive").ok,
        images_known=get("images").ok,
        lacking_images=tuple(get("images").lines),
        leftovers=tuple(get("leftovers").lines),
    )


def plan(settings: Settings, outputs: Mapping[str, Output]) -> list[Change]:
    facts = parse(outputs)
    wanted = settings.harbor.version
    if facts.installed != wanted or facts.lacking_files:
        return [*_upgrade(settings, facts), *_install(wanted, _why(facts, wanted))]
    if facts.images_known and not facts.lacking_images:
        return _clean(facts)
    lacking = ", ".join(facts.lacking_images) or f"images of v{wanted}"
    if facts.archive:
        return [Run(f"not loaded: {lacking}", load(wanted), timeout=1800)]
    return _install(wanted, f"not loaded, and no archive to load from: {lacking}")


def _why(facts: Facts, wanted: str) -> str:
    if not facts.installed:
        return f"Harbor {wanted} is not unpacked"
    if facts.installed != wanted:
        return f"Harbor {facts.installed} is unpacked, not {wanted}"
    return f"missing in {paths.INSTALL}: {', '.join(facts.lacking_files)}"


def _upgrade(settings: Settings, facts: Facts) -> list[Change]:
    """A cold copy of the database before another version may migrate it (there is no way back)."""
    if not facts.installed or facts.installed == settings.harbor.version:
        return []
    if settings.harbor.external_database:
        return []
    source = f"{settings.harbor.data_volume}/database"
    copy = f"{settings.harbor.data_volume}/backup/database-v{facts.installed}"
    script = "\n".join(
        [
            f"[ -d {quote(source)} ] || exit 0",
            "systemctl stop harbor",
            command("install", "-d", "-m", "0700", f"{settings.harbor.data_volume}/backup"),
            # A copy of the same version stays: an interrupted upgrade may have migrated since.
            f"[ ! -d {quote(copy)} ] || exit 0",
            command("rm", "-rf", f"{copy}.new"),
            command("cp", "-a", "--reflink=auto", source, f"{copy}.new"),
            command("sync", "-f", f"{copy}.new"),
            command("mv", f"{copy}.new", copy),
        ]
    )
    return [
        Run(f"copy of the database of v{facts.installed} before the upgrade", script, timeout=7200)
    ]


def _install(version: str, why: str) -> list[Change]:
    tarball = f"{DOWNLOADS}/harbor-offline-installer-v{version}.tgz"
    unpack = f"{paths.INSTALL}/.unpack"
    script = "\n".join(
        [
            command("rm", "-rf", unpack),
            command("install", "-d", "-m", "0700", unpack),
            command("tar", "-xzf", tarball, "-C", unpack, "--no-same-owner"),
            # Only one archive may lie there: install.sh silently loads nothing when it finds two.
            f"find {paths.INSTALL} -maxdepth 1 -name 'harbor.v*.tar.gz' -delete",
            f"chown -R {paths.USER}:{paths.USER} {unpack}",
            f"sync -f {unpack}",
            # `prepare` last: it names the version that is unpacked.
            f"mv -f {unpack}/harbor/harbor.v{version}.tar.gz {paths.INSTALL}/",
            *(f"mv -f {unpack}/harbor/{name} {paths.INSTALL}/" for name in reversed(UNPACKED)),
            command("rm", "-rf", unpack, tarball),
        ]
    )
    return [
        FetchRelease(why, tarball),
        Run(f"unpack Harbor {version} into {paths.INSTALL}", script, timeout=1800),
        Run(f"load the images of Harbor {version}", load(version), timeout=1800),
    ]


def load(version: str) -> str:
    """Load the archive's images and note their names, as docker told them."""
    return "\n".join(
        [
            f"docker load -i {quote(archive(version))} > {IMAGES}.out",
            f"sed -n 's/^Loaded image: //p' {IMAGES}.out | sort > {IMAGES}.new",
            f"[ -s {IMAGES}.new ]",
            f"sync {IMAGES}.new",
            f"mv -f {IMAGES}.new {IMAGES}",
            f"rm -f {IMAGES}.out",
        ]
    )


def _clean(facts: Facts) -> list[Change]:
    if not facts.leftovers:
        return []
    return [Run(f"left over: {', '.join(facts.leftovers)}", command("rm", "-rf", *facts.leftovers))]
