"""Another password for Harbor's administrator or its database."""

import invoke
from fabric import task


@task(
    positional=["what"],
    help={
        "what": "`admin` or `database`",
        "json": "print one JSON document on standard output, everything else on standard error",
    },
)
def rotate(c: invoke.Context, what: str, json: bool = False) -> None:
    """Give Harbor a new random password, keep it in .env, and restart what uses it.

    To choose it yourself, write it into .env as NAME__NEXT first. What was interrupted goes on
    where it was when the same is run again.
    """
    from harbor.errors import SettingsError
    from tasks import _fleet, _rotate

    if what not in _rotate.NAMES:
        raise SettingsError(f"rotate {what}: one of {', '.join(_rotate.NAMES)}")
    _fleet.run_harbors(c, _rotate.rotating(what), one_by_one=True, as_json=json)
