"""What lies in /opt/harbor, without its secrets, is committed to the git repository there."""

from collections.abc import Mapping

from harbor import files, history, paths
from harbor.changes import Change, Run
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, as_user, command

NAME = "history"


def managed(settings: Settings) -> list[files.ManagedFile]:
    own = (paths.USER, paths.USER)
    found = [
        files.ManagedFile(history.IGNORE, history.gitignore(settings), *own),
        files.ManagedFile(history.REDACTED, history.redacted(settings), *own),
    ]
    if settings.harbor.history.host_key:
        found.append(files.ManagedFile(history.KNOWN_HOSTS, known_hosts(settings)))
    return found


def known_hosts(settings: Settings) -> bytes:
    """The one host key that the remote may show."""
    remote = str(settings.harbor.history.remote)
    where = remote.removeprefix("ssh://").rpartition("@")[2].split("/")[0]
    host, _, port = where.partition(":")
    # `host:path` is scp's form; a port stands only in an address with a scheme.
    with_port = remote.startswith("ssh://") and port and port != "22"
    name = f"[{host}]:{port}" if with_port else host
    return f"{name} {settings.harbor.history.host_key}\n".encode()


def probe(settings: Settings) -> dict[str, str]:
    if not settings.harbor.history.enabled:
        return {}
    return {
        **{file.path: files.probe(file.path) for file in managed(settings)},
        **history.probe(settings),
    }


def plan(settings: Settings, facts: Mapping[str, Output]) -> list[Change]:
    if not settings.harbor.history.enabled:
        return []
    changes: list[Change] = [*files.plan_all(managed(settings), facts)]
    if changes or history.needs_commit(facts):
        changed = [line[3:] for line in facts.get("changed", NOT_READ).lines]
        what = ", ".join(changed[:5]) or "the installation"
        changes.append(Run(f"commit {what}", history.commit_script(settings)))
    if settings.harbor.history.remote and not facts.get("key", NOT_READ).ok and _over_ssh(settings):
        changes.append(_make_key(settings))
    if settings.harbor.history.remote and (changes or history.needs_push(settings, facts)):
        why = f"push to {settings.harbor.history.remote}"
        changes.append(Run(why, history.push_script(settings)))
    return changes


def _over_ssh(settings: Settings) -> bool:
    return bool(settings.harbor.history.host_key)


def _make_key(settings: Settings) -> Run:
    """A key of this host alone: its private half never leaves it."""
    key = settings.harbor.history.deploy_key
    folder = key.rpartition("/")[0]
    own = ("-o", paths.USER, "-g", paths.USER)
    comment = f"history of {settings.harbor.hostname}"
    make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key)
    script = "\n".join(
        [command("install", "-d", "-m", "0700", *own, folder), as_user(paths.USER, *make)]
    )
    return Run(f"{key} is missing: make a deploy key", script)
