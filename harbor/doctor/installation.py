"""Checks of files and boot order: owners, approvals, readable secrets, the unit, the log's port."""

from harbor import history, lock, paths, versions
from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.settings import Settings
from harbor.shell import quote
from harbor.steps import config, environment, preflight


def _owners_probe(settings: Settings) -> dict[str, str]:
    data = settings.harbor.data_volume
    form = "-printf '%U:%G %p\\n'"
    own = " ".join(quote(f"{data}/{name}") for name in ("registry", "job_logs", "ca_download"))
    theirs = " ".join(quote(f"{data}/{name}") for name in ("database", "redis"))
    return {
        "owners": f"find {own} -maxdepth 2 ! -uid {paths.UID} {form} 2>/dev/null | head -n 5; "
        f"find {quote(f'{data}/secret')} -type f ! -uid {paths.UID} {form} 2>/dev/null | head -n 5; "
        f"find {theirs} -maxdepth 1 ! -uid {paths.DATABASE_UID} {form} 2>/dev/null | head -n 5",
        "unreadable": f"find {paths.CONFIG} -type f ! -uid {paths.UID} ! -perm -o+r {form} | head -n 5",
    }


def _owners(settings: Settings, facts: Facts) -> Found:
    found = []
    data = settings.harbor.data_volume
    for line in facts.lines("owners"):
        owner, path = line.split(" ", 1)
        ours = (
            paths.DATABASE_UID
            if path.startswith((f"{data}/database", f"{data}/redis"))
            else paths.UID
        )
        cause = f"{path} belongs to {owner}, the container that writes there runs as {ours}"
        found.append((ERROR, cause, f"chown -R {ours}:{ours} {path}"))
    for line in facts.lines("unreadable"):
        owner, path = line.split(" ", 1)
        cause = f"{path} belongs to {owner} and cannot be read by user {paths.USER} ({paths.UID})"
        found.append((ERROR, cause, f"chown {paths.USER}:{paths.USER} {path}"))
    return found


def _readable_probe(settings: Settings) -> dict[str, str]:
    data = settings.harbor.data_volume
    files = [paths.HARBOR_YML, paths.ENVRC, *config.env_files(settings)]
    folders = [
        f"{data}/secret/keys",
        f"{data}/secret/core",
        paths.BACKUPS,
        f"{paths.INSTALL}/input",
    ]
    store = paths.certificates(data)
    keys = "\\( -name '*key*' -o -name 'acme*.json' \\)"
    return {
        "readable": f"find {' '.join(map(quote, [*files, *folders]))} -type f -perm /o+r 2>/dev/null; "
        f"find {quote(store)} -type f {keys} -perm /o+r 2>/dev/null"
    }


def _readable(_: Settings, facts: Facts) -> Found:
    return [
        (ERROR, f"everybody on the host can read {path}", f"chmod o-rwx {quote(path)}")
        for path in facts.lines("readable")
    ]


def _approved_probe(_: Settings) -> dict[str, str]:
    allowed = ".local/share/direnv/allow"
    homes = " ".join(f"{user}:{home}" for user, home in environment.HOMES.items())
    return {
        "not approved": f"h=$(echo {paths.ENVRC} | cat - {paths.ENVRC} | sha256sum | cut -d' ' -f1); "
        f'for u in {homes}; do [ -e "${{u#*:}}/{allowed}/$h" ] || echo "${{u%%:*}}"; done',
        "envrc": f"[ -s {paths.ENVRC} ]",
    }


def _approved(_: Settings, facts: Facts) -> Found:
    if not facts.get("envrc").ok:
        cause = f"{paths.ENVRC} is missing: compose has no environment"
        return [(ERROR, cause, "fab deploy")]
    users = facts.lines("not approved")
    if not users:
        return []
    cause = f"{paths.ENVRC} is not approved for {', '.join(users)}: compose stops at the next start"
    return [(ERROR, cause, "fab deploy (or read it, then: direnv allow /opt/harbor)")]


def _boot_probe(_: Settings) -> dict[str, str]:
    return {
        "enabled": "systemctl is-enabled harbor.service",
        "unit state": "systemctl is-active harbor.service",
        "log port": "bash -c 'exec 3<>/dev/tcp/127.0.0.1/1514'",
        "log listener": "ss -ltnpH 'sport = :1514' | sed -n 's/.*((\"\\([^\"]*\\)\".*/\\1/p'",
        "log container": "timeout 20 docker inspect -f '{{.State.Status}}' harbor-log",
    }


def _boot(_: Settings, facts: Facts) -> Found:
    found = []
    if facts.text("enabled") != "enabled":
        cause = (
            "harbor.service is not enabled: after a reboot containers start before the log and fail"
        )
        found.append((ERROR, cause, "systemctl enable harbor.service, or fab deploy"))
    elif facts.text("unit state") != "active":
        cause = f"harbor.service is {facts.text('unit state') or 'unknown'}, whatever runs"
        found.append((ERROR, cause, "fab start"))
    others = [name for name in facts.lines("log listener") if name != "docker-proxy"]
    if others:
        cause = f"port 1514 belongs to {', '.join(others)}: no container of Harbor can start"
        found.append((ERROR, cause, "stop it (ss -ltnp 'sport = :1514' shows it), then fab start"))
    elif not facts.get("log port").ok and facts.text("log container") == "running":
        cause = "harbor-log runs, but nothing answers on 127.0.0.1:1514"
        found.append((ERROR, cause, "fab restart --service log"))
    return found


def _database_probe(settings: Settings) -> dict[str, str]:
    found = preflight.probe(settings)
    return {"database": found["database"], "installed": found["installed"]}


def _database(settings: Settings, facts: Facts) -> Found:
    major, installed = facts.text("database"), facts.text("installed")
    if settings.harbor.external_database or not major.isdecimal() or not installed:
        return []
    version = versions.Version.parse(installed)
    wanted = versions.database_major(version)
    if int(major) == wanted:
        return []
    problem = versions.database_problem(version, int(major))
    cause = problem or f"the database on disk is PostgreSQL {major}, Harbor {version} runs {wanted}"
    data = settings.harbor.data_volume
    return [
        (ERROR, cause, f"do not restart; restore {data}/backup/database-v* or upgrade in steps")
    ]


def _lock_probe(_: Settings) -> dict[str, str]:
    return {"lock left": lock.LEFT, "lock held": lock.PROBE, "at work": lock.AT_WORK}


def _lock(_: Settings, facts: Facts) -> Found:
    if facts.get("lock held").ok:
        return []
    if facts.get("at work").ok:
        cause = "a command of an interrupted run is still at work"
        return [(WARNING, cause, f"wait for its end: fuser -v {paths.APPLY_LOCK}")]
    left = lock.left(facts.get("lock left"))
    if not left:
        return []
    cause = f"a run did not come to its end: {lock.words(left)}"
    return [(WARNING, cause, "fab deploy (goes on from there)")]


def _push_probe(settings: Settings) -> dict[str, str]:
    found = history.probe(settings)
    return {"pushed": found["pushed"], "changed by hand": found["changed"]}


def _push(settings: Settings, facts: Facts) -> Found:
    found = []
    if not settings.harbor.history.enabled:
        return []
    failure = history.push_failure(facts.get("pushed"))
    if failure and settings.harbor.history.remote:
        cure = "give the remote this host's deploy key (fab history shows it), then fab deploy"
        found.append((WARNING, f"the history was not pushed: {failure}", cure))
    changed = [line[3:] for line in facts.lines("changed by hand")]
    if changed:
        cause = f"changed since the last commit, not by us: {', '.join(changed)}"
        found.append((WARNING, cause, "fab diff shows it, fab plan what a deploy would undo"))
    return found


CHECKS = (
    Check("owners", "Do files belong to those who write them?", _owners_probe, _owners),
    Check("readable secrets", "Can others read a secret?", _readable_probe, _readable),
    Check(".envrc", "Is the environment approved?", _approved_probe, _approved),
    Check("boot order", "Does Harbor come back by itself, log first?", _boot_probe, _boot),
    Check("database version", "Does the release fit its database?", _database_probe, _database),
    Check("lock", "Did the last run come to its end?", _lock_probe, _lock),
    Check("history", "Is what lies there committed and pushed?", _push_probe, _push),
)
