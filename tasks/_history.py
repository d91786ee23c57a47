"""The work of history, diff and rollback on one host."""

import dataclasses
from collections.abc import Callable

from harbor import history, paths
from harbor.changes import Run
from harbor.errors import Refused, SettingsError
from harbor.settings import Settings
from harbor.steps import history as step
from tasks import _converge
from tasks._fleet import Target, holder
from tasks._lifecycle import apply

Work = Callable[[Target, Settings], str]
ROLLBACK_SECONDS = 900


def showing(count: int) -> Work:
    """One line a commit, the newest first."""

    def work(target: Target, settings: Settings) -> str:
        snippets = {"log": history.log_script(count), **history.probe(settings)}
        facts = target.host.read(snippets)
        found = history.commits(facts["log"])
        target.result.details["commits"] = [dataclasses.asdict(commit) for commit in found]
        for one in found:
            target.say(f"{one.revision}  {one.when}  Harbor {one.harbor}  {one.subject}")
        if facts["changed"].text:
            target.say("changed by hand since: `fab diff`", "yellow")
        warn_of_push(target, settings)
        return f"{len(found)} commits"

    return work


def warn_of_push(target: Target, settings: Settings) -> None:
    """Say that the last push failed, and with which key it is made."""
    if not settings.harbor.history.remote:
        return
    facts = target.host.read(
        {
            "pushed": history.probe(settings)["pushed"],
            "public": f"cat {settings.harbor.history.deploy_key}.pub",
        }
    )
    failure = history.push_failure(facts["pushed"])
    if not failure:
        return
    target.say(f"warning: the history was not pushed: {failure}", "yellow")
    if facts["public"].ok:
        target.say(f"this host's deploy key: {facts['public'].text}")


def comparing(revision: str) -> Work:
    """The unified diff from a commit to what lies there now."""
    wanted = history.revision(revision)

    def work(target: Target, settings: Settings) -> str:
        changes = target.host.read(
            {
                "known": history.git("cat-file", "-e", f"{wanted}^{{commit}}"),
                "diff": history.git("diff", "--no-color", wanted),
            }
        )
        if not changes["known"].ok:
            raise SettingsError(f"no commit {wanted} here", "`fab history` lists them")
        target.result.details["diff"] = changes["diff"].text
        target.say(changes["diff"].text)
        return "differs" if changes["diff"].text else "no difference"

    return work


def rolling_back(revision: str, *, yes: bool) -> Work:
    """Files of a commit, restart, health, and a commit of its own."""
    wanted = history.revision(revision)

    def work(target: Target, settings: Settings) -> str:
        commit = _checked(target, wanted)
        target.say("a rollback does not undo:")
        for text in history.CANNOT_UNDO:
            target.say(f"  {text}")
        question = f"Bring back the configuration of {wanted} and restart Harbor?"
        if not yes and not target.report.ask(target.host.name, question):
            return "nothing changed: the answer was no"
        with target.host.lock(holder(f"rollback to {wanted}"), target.progress):
            return _roll_back(target, settings, commit)

    return work


def _checked(target: Target, wanted: str) -> str:
    """The full name of a commit that can be rolled back to. Raises Refused or SettingsError."""
    trailer = "%(trailers:key=Harbor,valueonly,separator=%x2C)"
    installed = f"sed -n 's/.*goharbor\\/prepare:v\\([0-9.]*\\).*/\\1/p' {paths.INSTALL}/prepare"
    facts = target.host.read(
        {
            "then": history.git("log", "-n1", f"--format={trailer}", f"{wanted}^{{commit}}"),
            "full": history.git("rev-parse", f"{wanted}^{{commit}}"),
            "now": installed,
        }
    )
    if not facts["then"].ok:
        raise SettingsError(f"no commit {wanted} here", "`fab history` lists them")
    problem = history.rollback_problem(facts["now"].text.strip(), facts["then"].text.strip())
    if problem:
        raise Refused(
            f"{problem}: a database cannot go back with it",
            "set harbor.version in the inventory, or restore a backup",
        )
    return facts["full"].text.strip()


def _roll_back(target: Target, settings: Settings, wanted: str) -> str:
    commit = Run("commit what was changed by hand", history.commit_script(settings))
    files = Run(
        f"bring back the files of {wanted[:7]}", history.rollback_script(wanted), ROLLBACK_SECONDS
    )
    apply(target, "rollback", [commit, files, Run("commit it", history.commit_script(settings))])
    facts = _converge.read_facts(target, settings, ())
    _converge.wait_healthy(target, settings, facts["health"])
    _converge.audit(target, f"rollback {wanted[:7]}")
    pending = step.plan(settings, target.host.read(step.probe(settings)))
    if pending:
        apply(target, "history", pending)
        warn_of_push(target, settings)
    return (
        f"rolled back to {wanted[:7]}, healthy; `fab plan` shows what the inventory says otherwise"
    )
