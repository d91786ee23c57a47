"""Clients pull through the cache, and stop to; image names and files for what we do not reach.

Tasks import what they use when they run: `fab --list` loads none of it.
"""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(
    name="use-cache",
    help=AS_JSON
    | {
        "at_once": "how many clients are changed at the same time",
        "no_test": "leave out the pull that proves it",
        "plan": "show what would change, and change nothing",
    },
)
def use_cache(
    c: invoke.Context,
    at_once: int = 10,
    no_test: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Make every container runtime of each client pull through its cache.

    Back up, write, check, reload or restart only if needed, pull: whatever fails is undone on
    that client, and the others go on.
    """
    from tasks import _use

    _use.use(c, at_once=at_once, test=not no_test, plan=plan, as_json=json)


@task(
    name="unuse-cache",
    help=AS_JSON | {"force": "also files that somebody changed after us"},
)
def unuse_cache(c: invoke.Context, force: bool = False, json: bool = False) -> None:
    """Restore each client's files, byte for byte, as they were before `use-cache`."""
    from harbor.inventory import client_options
    from tasks import _clients, _fleet
    from tasks._inventory import load

    loaded = load()

    def work(target: _fleet.Target) -> str:
        options = client_options(loaded.inventory, target.host.name)
        return _clients.undo(target, "use", options, force=force)

    _fleet.run(c, "client", work, loaded=loaded, as_json=json)
