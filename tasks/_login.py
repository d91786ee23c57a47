"""docker login on clients: an account for each, made and taken away through Harbor's API."""

import contextlib
import secrets
import string
from collections.abc import Iterator

import invoke

from harbor.clients import docker, journal, login
from harbor.clients import plan as planning
from harbor.clients.cache import Cache
from harbor.configuration.calls import Call
from harbor.errors import Refused, RemoteError
from harbor.settings import Settings
from harbor.shell import Secret
from tasks import _api, _clients, _fleet
from tasks._inventory import Loaded
from tasks._report import Result

ALPHABET = string.ascii_letters + string.digits


def log_in(
    c: invoke.Context, target: _fleet.Target, loaded: Loaded, source: _clients.Source
) -> None:
    """Log docker in on one client, unless it is; every login gets a new password."""
    host, name = source.cache.host, target.host.name
    outputs = target.host.read(planning.probe() | {"config": login.probe()})
    if not outputs[f"{docker.NAME}\x1finstalled"].ok:
        target.say("note: no docker here to log in")
        return
    config = login.parse(outputs["config"])
    ours = planning.journals(outputs, "login")[docker.NAME]
    if login.keeps_in_clear(config, host):
        target.say(
            f"note: the password lies unencrypted in {login.CONFIG}; a credential helper "
            "(credsStore) keeps it out"
        )
    if login.logged_in(config, host) and not ours.empty:
        return
    why = f"log in to {host} as {login.robot_name(name)}"
    if target.host.read_only:
        target.result.changes.append({"step": "login", "why": why})
        return
    with _harbor(c, target, loaded, source.settings) as api:
        user, password = _account(api, name, source.cache)
    script = login.script(host, user, password)
    change = journal.around("login", docker.NAME, login.CONFIG, script, why)
    with target.host.lock(_fleet.holder("login"), target.progress):
        _clients.apply(target, "login", change, [why])


def log_out(c: invoke.Context, target: _fleet.Target, loaded: Loaded, settings: Settings) -> None:
    """Undo `log_in`: the password, docker's file, and the account in Harbor."""
    outputs = target.host.read(planning.probe())
    ours = planning.journals(outputs, "login")[docker.NAME]
    if ours.empty:
        return
    host = settings.harbor.url.split("://")[1]
    why = f"log out of {host}"
    if ours.altered:
        # Other logins were written since: only ours goes.
        change = journal.drop("login", docker.NAME, login.logout(host), why)
    else:
        undo = journal.undo("login", docker.NAME, "", ours)
        assert undo is not None
        change = type(undo)(why, f"{login.logout(host)}\n{undo.script}")
    with target.host.lock(_fleet.holder("logout"), target.progress):
        _clients.apply(target, "login", change, [why])
    with _harbor(c, target, loaded, settings) as api:
        for robot in _robots(api, target.host.name):
            api.make(Call("robot", "its client left", "DELETE", f"/robots/{robot['id']}"))


@contextlib.contextmanager
def _harbor(
    c: invoke.Context, target: _fleet.Target, loaded: Loaded, settings: Settings
) -> Iterator[_api.Api]:
    """Harbor's API, by a connection of this client's own."""
    host = _fleet.open_host(
        c, loaded, settings.name, secrets=settings.secrets.all(), read_only=True
    )
    entry = loaded.inventory.hosts[settings.name]
    side = _fleet.Target(host, entry, target.report, Result(settings.name))
    try:
        with _api.connected(side, settings) as api:
            yield api
    finally:
        host.close()


def _robots(api: _api.Api, client: str) -> list[dict[str, object]]:
    """The account of this client, if there is one: Harbor puts a prefix of its own before the name.

    Raises Refused when somebody else has made one of that name.
    """
    settings = api.get("/configurations")
    prefix = (settings.get("robot_name_prefix") or {}).get("value") or "robot$"
    name = f"{prefix}{login.robot_name(client)}"
    found = [robot for robot in api.whole("/robots") if robot["name"] == name]
    if any(robot.get("description") != login.description(client) for robot in found):
        raise Refused(
            f"Harbor's robot {name} was not made by fab: it is left alone",
            "rename it there, or the client in the inventory",
        )
    return found


def _account(api: _api.Api, client: str, cache: Cache) -> tuple[str, Secret]:
    """The account's full name and a new password, set by us: Harbor shows its own only once."""
    if not _robots(api, client):
        body = login.robot(client, cache)
        api.make(Call(f"robot {body['name']}", "is missing", "POST", "/robots", body))
    robots = _robots(api, client)
    if not robots:
        raise RemoteError(f"Harbor has no robot {login.robot_name(client)} after making it")
    password = Secret("Aa1" + "".join(secrets.choice(ALPHABET) for _ in range(29)))
    path = f"/robots/{robots[0]['id']}"
    api.make(Call("robot", "a new password", "PATCH", path, {"secret": password}))
    return str(robots[0]["name"]), password
