"""The installation's git repository on the host: what is in it, and what can be undone.

Everything is ignored unless it is named here, so that a new file cannot bring a secret in. What
may hold a secret with some settings is left out with those; and what is to be committed is
searched for every secret that the host knows before it is committed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harbor import files, paths
from harbor.errors import SettingsError
from harbor.sections import FromEnvironment
from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, as_user, command, mask, quote
from harbor.steps import config
from harbor.versions import Version

REDACTED = f"{paths.INSTALL}/harbor.yml.redacted"
IGNORE = f"{paths.INSTALL}/.gitignore"
PUSHED = f"{paths.STATE}/history.push"  # `COMMIT ok|failed` and, below it, what git said
KNOWN_HOSTS = f"{paths.INSTALL}/.known_hosts"  # read by the user harbor
TRACKED = (
    ".gitignore",
    "harbor.yml.redacted",
    "docker-compose.yml",
    "docker-compose.override.yml",
    "traefik/*.yml",
    "common/config/core/app.conf",
    "common/config/jobservice/config.yml",
    "common/config/log/*.conf",
    "common/config/nginx/*.conf",
    "common/config/portal/*.conf",
    "common/config/registry/config.yml",
    "common/config/registryctl/config.yml",
)
REVISION = re.compile(r"[0-9a-f]{4,40}|HEAD(~\d+)?")
# A user name and password in an address, as in a proxy's.
ADDRESS_LOGIN = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")


@dataclass(frozen=True)
class Commit:
    """One line of the history."""

    revision: str
    when: str
    who: str
    subject: str
    harbor: str


def left_out(settings: Settings) -> set[str]:
    """The tracked files that hold a secret with these settings."""
    harbor = settings.harbor
    secret_storage = any(isinstance(v, FromEnvironment) for v in harbor.storage.options.values())
    secret_redis = bool(harbor.external_redis and harbor.external_redis.password)
    found = set()
    if secret_storage or secret_redis:
        found.add("common/config/registry/config.yml")
    if secret_redis:
        found |= {"common/config/jobservice/config.yml", "common/config/registryctl/config.yml"}
    return found


def gitignore(settings: Settings) -> bytes:
    """Ignore everything, then allow folder by folder and file by file."""
    wanted = [path for path in TRACKED if path not in left_out(settings)]
    lines = ["# Everything may hold a secret, except what is named here.", "*"]
    folders = dict.fromkeys(
        "/".join(path.split("/")[: n + 1]) for path in wanted for n in range(path.count("/"))
    )
    lines += [f"!/{folder}/" for folder in folders]
    lines += [f"!/{path}" for path in wanted]
    return ("\n".join(lines) + "\n").encode()


def redacted(settings: Settings) -> bytes:
    """harbor.yml with every secret as `***`."""
    text = mask(config.harbor_yml(settings).decode(), settings.secrets.all())
    lines = [files.SENSITIVE.sub(lambda m: f"{m['key']}***", line) for line in text.splitlines()]
    return (ADDRESS_LOGIN.sub("***", "\n".join(lines)) + "\n").encode()


def git(*words: object) -> str:
    """A git command in the repository, as its owner, which never asks and runs no hooks."""
    # Everything reaches the disk: else a power cut leaves empty objects (git 2.36 and later).
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsync=all")
    options = ("-C", paths.INSTALL, *settings, "--no-optional-locks")
    home = ("env", f"HOME=/home/{paths.USER}", "GIT_TERMINAL_PROMPT=0")
    return as_user(paths.USER, *home, "git", *options, *words)


def commit_script(settings: Settings) -> str:
    """Shell text: stage, search what is staged for secrets, commit if there is something.

    Operator and reason are those of the lock under which this runs.
    """
    title = '"${why:-change}" "${who:-somebody}" "${from:-the host}"'
    versions = command(settings.harbor.version, settings.harbor.traefik.version)
    form = quote("%s by %s on %s\\n\\nHarbor: %s\\nTraefik: %s\\nEngine: %s\\n")
    return "\n".join(
        [
            # What an interrupted run left: files of root, and git locks older than our own.
            f"if [ -d {paths.INSTALL}/.git ]; then",
            f"    chown -R {paths.USER}:{paths.USER} {paths.INSTALL}/.git",
            f"    find {paths.INSTALL}/.git -name '*.lock' ! -newer {paths.LOCK_HOLDER} -delete",
            "fi",
            git("init", "-q", "-b", settings.harbor.history.branch),
            git("add", "-A"),
            f"if {git('diff', '--cached', '--quiet')}; then exit 0; fi",
            _no_secret(settings),
            *(f"{name}=$({_of_holder(name)})" for name in ("who", "from", "why")),
            "engine=$(docker version --format '{{.Server.Version}}')",
            'export GIT_AUTHOR_NAME="${who:-somebody}" GIT_AUTHOR_EMAIL="${who:-x}@${from:-host}"',
            'export GIT_COMMITTER_NAME="$GIT_AUTHOR_NAME" GIT_COMMITTER_EMAIL="$GIT_AUTHOR_EMAIL"',
            f'printf {form} {title} {versions} "$engine" | {git("commit", "-q", "-F", "-")}',
        ]
    )


def _of_holder(name: str) -> str:
    pattern = f's/.*"{name}": "\\([^"]*\\)".*/\\1/p'
    return f"[ ! -e {paths.LOCK_HOLDER} ] || {command('sed', '-n', pattern, paths.LOCK_HOLDER)}"


def _no_secret(settings: Settings) -> str:
    """Fail, and unstage, where a secret that the host or the operator knows is in what is staged.

    The values travel in this script and in pipes: no file, no argument list.
    """
    known = "\n".join(sorted({s.reveal() for s in settings.secrets.all() if s.reveal()}))
    of_env = r"s/^\(export \)\?[A-Za-z_]*\(PASSWORD\|SECRET\|KEY\|TOKEN\)=//p"
    on_host = f"sed -n {quote(of_env)} {paths.CONFIG}/*/env {paths.ENVRC}"
    staged = git("diff", "--cached", "--text")
    return "\n".join(
        [
            f"values=$({{ cat; {on_host}; }} <<'@operator'",
            known,
            "@operator",
            ")",
            # Short words would be found by chance; a path is no secret.
            "values=$(printf '%s\\n' \"$values\" | tr -d \"'\" | awk 'length($0) > 7 && !/^\\//')",
            "found=no",
            f"{staged} | grep -qF -f /dev/fd/9 9<<@values && found=yes",
            "$values",
            "@values",
            f"{staged} | grep -q -e 'PRIVATE KEY' && found=yes",
            'if [ "$found" = yes ]; then',
            git("read-tree", "--empty"),
            "echo 'a secret is in what would be committed: nothing was committed' >&2; exit 1",
            "fi",
        ]
    )


def push_script(settings: Settings) -> str:
    """Shell text: push what is there and note how it went. It fails only without a repository."""
    history = settings.harbor.history
    ssh = command(
        "ssh", "-i", history.deploy_key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", "ConnectTimeout=15", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={KNOWN_HOSTS}",
    )  # fmt: skip
    push = git("push", "-q", history.remote, f"HEAD:refs/heads/{history.branch}")
    return "\n".join(
        [
            f"head=$({git('rev-parse', 'HEAD')})",
            f"export GIT_SSH_COMMAND={quote(ssh)}",
            f"if said=$(timeout 60 {push} 2>&1); then how=ok; else how=failed; fi",
            f'printf \'%s %s\\n%s\\n\' "$head" "$how" "$said" > {PUSHED}.new',
            f"mv -f {PUSHED}.new {PUSHED}",
        ]
    )


def push_failure(found: Output) -> str:
    """What git said when the last push failed; empty when it went well or none was made."""
    if not found.ok or not found.lines or not found.lines[0].endswith(" failed"):
        return ""
    return " / ".join(found.lines[1:]) or "no reason given"


def log_script(count: int) -> str:
    """Snippet: one commit a line, the newest first."""
    form = "%h%x09%cI%x09%an%x09%s%x09%(trailers:key=Harbor,valueonly,separator=%x2C)"
    return git("log", f"-n{int(count)}", f"--format={form}")


def commits(found: Output) -> list[Commit]:
    rows = (line.split("\t") for line in found.lines)
    return [Commit(*row) for row in rows if len(row) == 5]


def revision(text: str) -> str:
    """A revision as `fab history` shows it. Raises SettingsError for anything else."""
    if not REVISION.fullmatch(text):
        raise SettingsError(f"{text!r} is no revision: `fab history` lists them")
    return text


def rollback_problem(installed: str, then: str) -> str:
    """Why the configuration of `then`'s release cannot be used with what is installed, or empty."""
    if not then:
        return "that commit does not say which Harbor it belongs to"
    if Version.parse(installed) != Version.parse(then):
        return f"Harbor was {then} then and is {installed} now"
    return ""


def rollback_script(revision: str) -> str:
    """Shell text: the tracked files as they were, and every container made anew from them."""
    as_root = command("git", "-C", paths.INSTALL, "-c", f"safe.directory={paths.INSTALL}")
    own = command("chown", "-h", f"{paths.USER}:{paths.USER}")
    return "\n".join(
        [
            f"cd {paths.INSTALL}",
            # Not as harbor: prepare makes folders that belong to root.
            f"umask 022; {as_root} read-tree --reset -u {quote(f'{revision}^{{commit}}')}",
            f"{as_root} ls-files -z | xargs -0 {own}",
            f"chown -R {paths.USER}:{paths.USER} .git",
            command("systemctl", "restart", "harbor.service"),
        ]
    )


CANNOT_UNDO = (
    "the inventory: `fab plan` shows what it says otherwise, and the next deploy brings that back",
    "passwords, keys and env files: they are never in the history and stay as they are",
    "the database, images, certificates and everything else below the data volume",
    "Harbor's own configuration (registries, projects, OIDC): `fab configure`",
)


def probe(settings: Settings) -> dict[str, str]:
    """Snippets for the step and for `fab status`."""
    return {
        "changed": f"[ -d {paths.INSTALL}/.git ] && {git('status', '--porcelain')}",
        "head": git("rev-parse", "HEAD"),
        "pushed": f"cat {PUSHED}",
        "key": f"[ -s {quote(settings.harbor.history.deploy_key)} ]",
    }


def needs_commit(facts: Mapping[str, Output]) -> bool:
    """Whether there is no repository or no commit yet, or something differs from the last one."""
    changed = facts.get("changed", NOT_READ)
    return not changed.ok or bool(changed.text) or not facts.get("head", NOT_READ).ok


def needs_push(settings: Settings, facts: Mapping[str, Output]) -> bool:
    """Whether this commit was never tried; a failed push is told, and tried with the next one."""
    if not settings.harbor.history.remote:
        return False
    tried = facts.get("pushed", NOT_READ).text.split(" ")[0]
    return tried != facts.get("head", NOT_READ).text
