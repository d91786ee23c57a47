"""Read hosts.yaml, .env and the certificate files of this machine into typed settings.

`HARBOR_INVENTORY` names another inventory; `.env` and `ca/` lie in the inventory's folder.
"""

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from harbor import settings as parsing
from harbor.certificates import Certificates, KeyPair, can_issue, create_authority, given_pair
from harbor.errors import SettingsError
from harbor.inventory import Inventory, InventoryHost, merged, parse_inventory, select
from harbor.settings import HarborSettings, Location, Settings
from harbor.shell import Secret

VARIABLE = "HARBOR_INVENTORY"
PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Loaded:
    """One inventory as it lies on this machine; `folder` is where its relative paths begin."""

    file: Path
    inventory: Inventory
    environment: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.file.parent

    def path(self, text: str) -> Path:
        """A path of the inventory, `~` and relative ones resolved."""
        return self.folder / Path(text).expanduser()

    def hosts(self, wanted: list[str], role: str) -> dict[str, InventoryHost]:
        """The hosts that `wanted` (names and groups) means. Raises SettingsError."""
        names, mistakes = select(self.inventory, wanted, role)
        parsing.check(mistakes)
        if not names:
            raise SettingsError(f"{self.file}: no host with role: {role}")
        return {name: self.inventory.hosts[name] for name in names}


def inventory_file() -> Path:
    """The inventory in use."""
    return Path(os.environ.get(VARIABLE) or PROJECT / "hosts.yaml").expanduser().absolute()


def load() -> Loaded:
    """Read and check the inventory. Raises SettingsError with every mistake."""
    file = inventory_file()
    try:
        values = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError:
        raise SettingsError(
            f"{file}: does not exist", f"`fab init` writes one; {VARIABLE} names another"
        ) from None
    except YAMLError as error:
        raise SettingsError(f"{file}: is no YAML\n{error}") from None
    inventory, mistakes = parse_inventory(values, file.name)
    parsing.check(mistakes)
    assert inventory is not None
    return Loaded(file, inventory, _environment(file.parent / ".env"))


def _environment(file: Path) -> dict[str, str]:
    """`.env` as it stands (nothing expanded), and the environment, which wins."""
    if file.is_file() and file.stat().st_mode & 0o077:
        raise SettingsError(f"{file}: others can read it", f"chmod 600 {file}")
    values = dotenv_values(file, interpolate=False)
    return {k: v for k, v in values.items() if v is not None} | dict(os.environ)


def harbor_settings(loaded: Loaded, names: list[str], *, keep_ca: bool) -> list[Settings]:
    """The settings of these Harbor hosts. Raises SettingsError with the mistakes of all of them.

    `keep_ca`: write a CA that has to be made to this machine's disk; a plan only shows one.
    """
    mistakes: list[str] = []
    result = []
    for name in names:
        own = loaded.inventory.hosts[name].harbor
        values: dict[str, Any] = merged(loaded.inventory.harbor, own)
        harbor, wrong = parsing.parse_harbor(values, Location(loaded.file.name, name, own))
        mistakes += wrong
        needed = parsing.referenced_secrets(harbor) if harbor else []
        secrets, wrong = parsing.parse_secrets(loaded.environment, needed, ".env", name)
        mistakes += wrong
        if harbor and not mistakes:
            mistakes += _missing_files(loaded, harbor)
        if harbor and not mistakes:
            certificates = _certificates(loaded, harbor, keep_ca=keep_ca)
            result.append(Settings(name, harbor, secrets, certificates))
    parsing.check(list(dict.fromkeys(mistakes)))
    return result


def _missing_files(loaded: Loaded, harbor: HarborSettings) -> list[str]:
    named = {
        "release.file": harbor.release.file,
        "release.gpg_key": harbor.release.gpg_key,
        "traefik.image_archive": harbor.traefik.image_archive,
        "tls.certificate": harbor.tls.certificate,
        "tls.key": harbor.tls.key,
        "tls.ca": harbor.tls.ca,
        "tls.acme.ca_bundle": harbor.acme and harbor.acme.ca_bundle,
        "tls.acme.staging_ca": harbor.acme and harbor.acme.staging_ca,
    }
    mistakes = [
        f"{loaded.file.name}: harbor.{key}: no such file: {loaded.path(value)}"
        for key, value in named.items()
        if value and not loaded.path(value).is_file()
    ]
    tarball = harbor.release.file
    if tarball and not harbor.release.sha256:
        beside = loaded.path(f"{tarball}.sha256")
        if not beside.is_file():
            mistakes.append(
                f"{loaded.file.name}: harbor.release.file: nothing to verify it with: "
                f"pin release.sha256, or put what `sha256sum` prints into {beside}"
            )
    return mistakes


def _certificates(loaded: Loaded, harbor: HarborSettings, *, keep_ca: bool) -> Certificates:
    now = datetime.datetime.now(datetime.UTC)
    if harbor.tls.mode == "ca":
        authority = _authority(loaded.folder / "ca", now, keep=keep_ca)
        return Certificates(now, authority=authority, trust=authority.chain)
    trust = _bytes(loaded, harbor.tls.ca)
    if acme := harbor.acme:
        bundle, roots = _bytes(loaded, acme.ca_bundle), _bytes(loaded, acme.staging_ca)
        return Certificates(now, trust=trust, acme_bundle=bundle, acme_roots=roots)
    assert harbor.tls.certificate
    assert harbor.tls.key
    files = (loaded.path(harbor.tls.certificate), loaded.path(harbor.tls.key))
    chain, key = (path.read_bytes() for path in files)
    given = given_pair(chain, key, harbor.url_host, now, files)
    return Certificates(now, given=given, trust=trust)


def _bytes(loaded: Loaded, path: str | None) -> bytes:
    return loaded.path(path).read_bytes() if path else b""


def _authority(folder: Path, now: datetime.datetime, *, keep: bool) -> KeyPair:
    """The CA of this inventory: made once, kept on this machine alone, its key 0600."""
    certificate, key = folder / "ca.crt", folder / "ca.key"
    there = [path for path in (certificate, key) if path.is_file()]
    if len(there) == 1:
        raise SettingsError(
            f"{folder}: of ca.crt and ca.key only {there[0].name} is there",
            "put the other one back; where this CA was never used, remove the file",
        )
    if there:
        if key.stat().st_mode & 0o077:
            raise SettingsError(f"{key}: others can read it", f"chmod 600 {key}")
        pair = KeyPair(certificate.read_bytes(), Secret(key.read_text()))
        if not can_issue(pair):
            raise SettingsError(
                f"{folder}: ca.crt and ca.key are no CA with its own unencrypted EC key",
                "put back the files that fab made; for another CA: tls.mode: files",
            )
        return pair
    authority = create_authority("Harbor cache CA", now)
    if keep:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_private(key, authority.key.reveal().encode())
        certificate.write_bytes(authority.chain)
    return authority


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read. Raises FileExistsError, never overwrites."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
