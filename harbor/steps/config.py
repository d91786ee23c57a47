"""harbor.yml is rendered, and what `prepare` made of it is exactly what lies on disk.

`prepare` is not idempotent: every run makes new secrets. A stamp of its inputs decides whether
it runs, and digests of its outputs tell when somebody changed them since.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from harbor import files, paths
from harbor.changes import Change, Run
from harbor.errors import Refused
from harbor.render import render
from harbor.sections import FromEnvironment
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, as_user, await_start, command, write_file
from harbor.steps import preflight, tls

NAME = "config"
ANEW = "; Harbor's containers are made anew then"
CANDIDATE = f"{paths.STATE}/candidate"


@dataclass(frozen=True)
class Facts:
    harbor_yml: Output
    stamp: str
    altered: tuple[str, ...]
    wrong_owner: tuple[str, ...]
    leftovers: tuple[str, ...]


def env_files(settings: Settings) -> list[str]:
    """The env files that the compose client of user `harbor` has to read."""
    without = {f"{paths.CONFIG}/db/env"} if settings.harbor.external_database else set()
    extra = []
    if settings.harbor.trivy.enabled:
        extra.append(f"{paths.CONFIG}/trivy-adapter/env")
    if settings.harbor.metrics.enabled:
        extra.append(f"{paths.CONFIG}/exporter/env")
    return [*(path for path in paths.ENV_FILES if path not in without), *extra]


def probe(settings: Settings) -> dict[str, str]:
    env = " ".join(env_files(settings))
    return {
        "harbor.yml": files.probe(paths.HARBOR_YML),
        "stamp": f"cat {paths.PREPARE_STAMP}",
        "altered": f"[ -s {paths.GENERATED} ] && sha256sum -c --quiet {paths.GENERATED} | sed 's/: FAILED.*//'",
        **{path: files.probe(path) for path in _pair(settings)},
        "owners": f"stat -c '%U %n' {env}",
        "database": preflight.probe(settings)["database"],
        "rotated": f"[ -e {paths.ROTATED} ]",
        "leftovers": f"ls -d {paths.INSTALL}/input {CANDIDATE} {paths.INSTALL}/.harbor.yml.new",
    }


def _pair(settings: Settings) -> tuple[str, ...]:
    """What prepare copies for Harbor's own nginx, which goes on with the copy."""
    return () if settings.harbor.with_traefik else tls.pair_paths(settings)


def parse(facts: Mapping[str, Output]) -> Facts:
    def get(key: str) -> Output:
        return facts.get(key, NOT_READ)

    owners = (line.split(" ", 1) for line in get("owners").lines)
    return Facts(
        harbor_yml=get("harbor.yml"),
        stamp=get("stamp").text.strip(),
        altered=tuple(get("altered").lines),
        wrong_owner=tuple(path for owner, path in owners if owner != paths.USER),
        leftovers=tuple(get("leftovers").lines),
    )


def harbor_yml(settings: Settings) -> bytes:
    """The text of harbor.yml for this version, passwords included."""
    harbor = settings.harbor
    store = paths.certificates(harbor.data_volume)

    def secret(reference: FromEnvironment | None) -> str:
        return settings.secrets.of(reference).reveal() if reference else ""

    options = {
        key: secret(value) if isinstance(value, FromEnvironment) else value
        for key, value in harbor.storage.options.items()
    }
    return render(
        "harbor.yml.j2",
        harbor=harbor,
        version=harbor.release_version,
        admin_password=settings.secrets.admin_password.reveal(),
        database_password=settings.secrets.database_password.reveal(),
        storage_options=options,
        secret=secret,
        certificate=f"{store}/own/fullchain.pem",
        private_key=f"{store}/own/key.pem",
    )


def flags(settings: Settings) -> list[str]:
    """The options of `prepare` (make/prepare of each release)."""
    return ["--with-trivy"] if settings.harbor.trivy.enabled else []


def inputs_digest(settings: Settings, certificate: bytes) -> str:
    """What decides whether prepare has to run: settings, version, flags and certificate."""
    parts = [
        harbor_yml(settings),
        settings.harbor.version.encode(),
        " ".join(flags(settings)).encode(),
    ]
    if not settings.harbor.with_traefik:
        parts.append(certificate)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def plan(settings: Settings, outputs: Mapping[str, Output]) -> list[Change]:
    facts = parse(outputs)
    _check_database_password(settings, facts, outputs)
    text = harbor_yml(settings)
    wanted = files.ManagedFile(
        paths.HARBOR_YML, text, paths.USER, paths.USER, 0o600, shows="masked"
    )
    chain, _ = tls.pair(settings, outputs) if _pair(settings) else (b"", b"")
    digest = inputs_digest(settings, chain)
    write = files.plan(wanted, facts.harbor_yml)
    reason = _prepare_reason(facts, digest)
    if not reason:
        return [*write, *_owners(facts), *_leftovers(facts)]
    return [
        Run(
            f"check the new {paths.HARBOR_YML} before prepare can wipe the old configuration",
            _validate(settings, text),
            timeout=300,
        ),
        *write,
        Run(reason, _prepare(settings, digest), timeout=600),
    ]


def _check_database_password(
    settings: Settings, facts: Facts, outputs: Mapping[str, Output]
) -> None:
    """The database keeps the password that it was made with: with another Harbor cannot log in."""
    in_use = outputs.get("database", NOT_READ).text and not settings.harbor.external_database
    rotated = outputs.get("rotated", NOT_READ).ok
    installed = _database_password(files.content(facts.harbor_yml))
    wanted = settings.secrets.database_password.reveal()
    if in_use and not rotated and installed not in (None, wanted):
        raise Refused(
            "HARBOR_DATABASE_PASSWORD is not the password that Harbor's database has",
            "put the old one back into .env, or `fab rotate database` gives it a new one",
        )


def _database_password(text: bytes) -> str | None:
    try:
        return str(YAML(typ="safe", pure=True).load(text)["database"]["password"])
    except (YAMLError, KeyError, TypeError):
        return None


def _prepare_reason(facts: Facts, digest: str) -> str:
    if not facts.stamp:
        return "prepare has not finished here yet"
    if facts.altered:
        return f"run prepare: changed since its last run: {', '.join(facts.altered)}{ANEW}"
    if facts.stamp != digest:
        return f"run prepare: its inputs changed{ANEW}"
    return ""


def _owners(facts: Facts) -> list[Change]:
    if not facts.wrong_owner:
        return []
    script = command("chown", f"{paths.USER}:{paths.USER}", *facts.wrong_owner)
    return [Run(f"not owned by {paths.USER}: {', '.join(facts.wrong_owner)}", script)]


def _leftovers(facts: Facts) -> list[Change]:
    if not facts.leftovers:
        return []
    script = command("rm", "-rf", *facts.leftovers)
    return [Run(f"left by an interrupted run: {', '.join(facts.leftovers)}", script)]


def _validate(settings: Settings, text: bytes) -> str:
    """Harbor's own prepare reads the candidate in a scratch tree: it wipes before it validates.

    The mounts are those of the release's `prepare` script (make/prepare).
    """
    mounts = {
        "input": "/input",
        "data": "/data",
        "compose": "/compose_location",
        "config": "/config",
    }
    image = f"goharbor/prepare:v{settings.harbor.version}"
    binds = [
        word
        for folder, target in mounts.items()
        for word in ("-v", f"{CANDIDATE}/{folder}:{target}")
    ]
    run = command(
        "docker",
        "run",
        "--rm",
        "--privileged",
        *binds,
        "-v",
        "/:/hostfs",
        image,
        "prepare",
        *flags(settings),
    )
    return "\n".join(
        [
            f"trap 'rm -rf {CANDIDATE}' EXIT",
            command("rm", "-rf", CANDIDATE),
            "umask 077",
            command("mkdir", CANDIDATE, *(f"{CANDIDATE}/{folder}" for folder in mounts)),
            write_file(f"{CANDIDATE}/input/harbor.yml", text, "root", "root", 0o600),
            run,
        ]
    )


def _prepare(settings: Settings, digest: str) -> str:
    return "\n".join(
        [
            await_start("harbor.service"),
            f"cd {paths.INSTALL}",
            "unset host HARBOR_BUNDLE_DIR",
            f"export HOME=/home/{paths.USER}",
            # A failed prepare leaves harbor.yml with its passwords in input/.
            "trap 'rm -rf input' EXIT",
            command("rm", "-f", paths.PREPARE_STAMP),
            as_user(paths.USER, "./prepare", *flags(settings)),
            command("chown", f"{paths.USER}:{paths.USER}", *env_files(settings)),
            f"find {paths.COMPOSE} {paths.CONFIG} -type f -exec sha256sum {{}} + > {paths.GENERATED}.new",
            command("mv", "-f", f"{paths.GENERATED}.new", paths.GENERATED),
            command("rm", "-f", paths.ROTATED),
            write_file(paths.PREPARE_STAMP, f"{digest}\n".encode(), "root", "root", 0o644),
        ]
    )
