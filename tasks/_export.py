"""What Harbor has, as YAML for the inventory; and the client for dex."""

import base64
import io
import secrets
from typing import Any

from ruamel.yaml import YAML

from harbor import settings as parsing
from harbor.configuration import oidc
from harbor.configuration.export import export
from harbor.configuration.fingerprints import Fingerprints
from harbor.configuration.settings import Oidc
from harbor.configuration.state import Scope, State
from harbor.errors import SettingsError
from harbor.inventory import merged
from harbor.settings import HarborSettings, Location, Settings
from harbor.versions import Version
from tasks import _api, _configure, _environment
from tasks._fleet import Target
from tasks._inventory import Loaded

SECRET_BYTES = 20  # as `openssl rand -base64 20`


def exporting(target: Target, settings: Settings) -> str:
    """The fragment of one host, with what could not be put into it as comments."""
    with _api.connected(target, settings) as api:
        target.progress("reading Harbor's configuration")
        api.login()
        running = Version.parse(_api.version_of(api.get("/systeminfo")))
        scope = Scope(settings.harbor.configuration, running, everything=True)
        answers = _configure.read(api, scope)
    found = export(State(answers, Fingerprints(None, {}), running))
    for note in found.notes:
        target.say(note, "yellow")
    target.result.details["configuration"] = found.section
    notes = "".join(f"# {note}\n" for note in found.notes)
    return notes + yaml({"configuration": found.section})


def yaml(value: Any) -> str:
    """Block style, in the order in which it was made."""
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 100
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()


def dex_clients(loaded: Loaded, names: list[str]) -> tuple[str, list[str]]:
    """The values for dex's chart, and the names of the secrets that were made for it."""
    clients: list[Any] = []
    made = []
    for name in names:
        harbor, wanted = _oidc(loaded, name)
        variable = wanted.client_secret.env
        value = _known(loaded, variable, name)
        if value is None:
            value = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            _environment.change(loaded, {variable: value})
            made.append(variable)
        fragment: Any = oidc.dex_client(harbor, wanted, value)
        clients += fragment["config"]["staticClients"]
    return yaml({"config": {"staticClients": clients}}), made


def _known(loaded: Loaded, variable: str, host: str) -> str | None:
    """The secret as a run would find it, made a moment ago for another host included."""
    environment = {**_environment.stored(loaded), **loaded.environment}
    found, _ = parsing.parse_secrets(environment, [variable], ".env", host)
    return found.others[variable].reveal() or None


def _oidc(loaded: Loaded, name: str) -> tuple[HarborSettings, Oidc]:
    own = loaded.inventory.hosts[name].harbor
    values = merged(loaded.inventory.harbor, own)
    harbor, mistakes = parsing.parse_harbor(values, Location(loaded.file.name, name, own))
    parsing.check(mistakes)
    auth = harbor.configuration.auth if harbor else None
    if harbor is None or auth is None or auth.oidc is None:
        raise SettingsError(
            f"{loaded.file.name}: {name} declares no configuration.auth.oidc",
            "files/hosts.example.yaml has one to copy",
        )
    return harbor, auth.oidc
