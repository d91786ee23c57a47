"""Free disk space on a Harbor host without losing anything that is still needed."""

import invoke
from fabric import task

HELP = {
    "keep": "releases whose images stay, the present one included (default: the inventory's)",
    "dry-run": "show what would go and what stays, and end",
    "yes": "do not ask",
    "json": "print one JSON document on standard output, everything else on standard error",
}


@task(help=HELP)
def prune(
    c: invoke.Context, keep: int = 0, dry_run: bool = False, yes: bool = False, json: bool = False
) -> None:
    """Remove what nothing uses: shown first, with bytes and reasons, then asked, then by id.

    Refused (exit code 9) unless every component of Harbor is up and healthy. Named volumes, bind
    mounts, the certificate store and images in use are never touched.
    """
    from harbor.errors import SettingsError
    from tasks import _fleet, _prune

    if keep < 0:
        raise SettingsError("--keep: at least 1, the present release")
    work = _prune.pruning(keep, dry_run=dry_run, yes=yes)
    _fleet.run_harbors(c, work, read_only=dry_run, one_by_one=True, as_json=json)
