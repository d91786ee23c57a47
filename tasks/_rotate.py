"""Another password for Harbor's administrator or its database, in the order that keeps both alive.

The new one is written to `.env` first, as NAME__NEXT: whatever cuts the run off, no password is
in force anywhere that nobody has. Then Harbor is given it, then it takes its place in `.env`,
then `deploy` renders it into harbor.yml, which by itself changes neither of the two.
"""

import time
from collections.abc import Callable

from harbor import paths
from harbor.changes import Run
from harbor.configuration.calls import Call
from harbor.configuration.state import ADMIN_ID
from harbor.errors import Refused
from harbor.settings import Settings, password_problem
from harbor.shell import Secret
from tasks import _api, _converge, _environment
from tasks._fleet import Target, holder
from tasks._inventory import Loaded, harbor_settings, load
from tasks._steps import STEPS
from tasks.init import generated_password

NAMES = {"admin": "HARBOR_ADMIN_PASSWORD", "database": "HARBOR_DATABASE_PASSWORD"}
LOCKED_SECONDS = 2.0  # after a wrong password Harbor refuses the right one for 1.5 s
Change = Callable[[Target, Settings, Secret], None]


def rotating(what: str) -> Callable[[Target, Settings], str]:
    """The work of `fab rotate WHAT` on one host."""
    change: Change = {"admin": _admin, "database": _database}[what]

    def work(target: Target, settings: Settings) -> str:
        if what == "database" and settings.harbor.external_database:
            raise Refused(
                "the database is an external one: change its password there, and in .env",
                "`fab deploy` brings it to Harbor",
            )
        loaded = load()
        variable = _environment.variable(loaded, NAMES[what], target.host.name)
        new = _next(loaded, variable)
        target.report.secrets.append(new)
        target.host.secrets = [*target.host.secrets, new]
        with target.host.lock(holder(f"rotate {what}"), target.progress):
            change(target, settings, new)
            _environment.change(
                loaded, {variable: new.reveal(), variable + _environment.NEXT: None}
            )
            target.result.changes.append({"step": "rotate", "why": f"{variable} is a new one"})
            target.say(f"+ rotate: {variable} is a new one, in Harbor and in .env", "green")
            _converge.audit(target, f"rotate {what}")
        _deploy(target)
        return f"{what} password changed"

    return work


def _next(loaded: Loaded, variable: str) -> Secret:
    """The new password: one that an interrupted run, or a person, left in `.env`, or a random one."""
    name = variable + _environment.NEXT
    value = _environment.stored(loaded).get(name)
    if value is None:
        value = generated_password()
        _environment.change(loaded, {name: value})
    if problem := password_problem(value):
        raise Refused(f".env: {name}: {problem}")
    return Secret(value)


def _admin(target: Target, settings: Settings, new: Secret) -> None:
    old = settings.secrets.admin_password
    if _knows(target, settings, old):
        call = Call(
            "admin",
            "a new password",
            "PUT",
            f"/users/{ADMIN_ID}/password",
            {"old_password": old, "new_password": new},
        )
        with _api.connected(target, settings) as api:
            api.make(call)
    else:
        target.progress("the password of .env is refused: trying the one that was to come")
        time.sleep(LOCKED_SECONDS)
    with _api.connected(target, settings, new) as api:
        api.login()


def _knows(target: Target, settings: Settings, password: Secret) -> bool:
    """Whether Harbor takes this password."""
    with _api.connected(target, settings, password) as api:
        try:
            api.login()
        except _api.ApiError as error:
            if error.status == 401:
                return False
            raise
    return True


def _database(target: Target, settings: Settings, new: Secret) -> None:
    """The password holds letters, digits and `._-` only: it needs no quoting in SQL."""
    script = "\n".join(
        [
            "docker exec -i harbor-db psql -q -v ON_ERROR_STOP=1 -U postgres -d postgres <<'@end'",
            f"ALTER USER postgres WITH PASSWORD '{new.reveal()}';",
            "@end",
            f"touch {paths.ROTATED}",  # until harbor.yml has followed
        ]
    )
    change = Run("the database gets its new password", script, timeout=60)
    target.host.apply([change], lambda _: None, target.progress)


def _deploy(target: Target) -> None:
    """harbor.yml, prepare and containers follow, from `.env` as it is now."""
    loaded = load()
    (settings,) = harbor_settings(loaded, [target.host.name], keep_ca=True)
    target.report.secrets += settings.secrets.all()
    _converge.converge(target, settings, loaded, STEPS)
