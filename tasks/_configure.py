"""Bring Harbor's own configuration to what the inventory says: read, plan, apply, read again."""

from collections.abc import Callable
from dataclasses import dataclass, field

from harbor.changes import WriteFile
from harbor.configuration import fingerprints, oidc, undeclared
from harbor.configuration.calls import Call, Plan
from harbor.configuration.fingerprints import Fingerprints
from harbor.configuration.plan import plan as plan_of
from harbor.configuration.state import Answers, Context, Scope, State, reads
from harbor.errors import CHANGES_PENDING, NotConverged, OpsError, Refused, RemoteError, Unhealthy
from harbor.settings import Settings
from harbor.shell import Secret
from harbor.steps import health
from harbor.versions import Version
from tasks import _api, _converge
from tasks._fleet import Target, holder

# Objects that need others wait for the next look: registry, project, what is in it, one to verify.
ROUNDS = 5
NOTHING = "no configuration is declared"
NO_KEY = "secret/keys/secretkey is missing in data_volume: what was sent cannot be remembered"


@dataclass
class Run:
    """One Harbor, for as long as it is looked at and changed."""

    target: Target
    settings: Settings
    api: _api.Api
    version: Version
    prints: Fingerprints
    rotate: bool = False
    everything: bool = False
    planner: Callable[[Context], Plan] = plan_of
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)
    pings: list[str] = field(default_factory=list)
    state: State | None = None

    def look(self) -> Plan:
        """What Harbor has now, and what is to be done about it."""
        wanted = self.settings.harbor.configuration
        scope = Scope(wanted, self.version, self.everything)
        self.state = State(read(self.api, scope), self.prints, self.version)
        return self.planner(
            Context(wanted, self.state, self.settings.secrets.of, rotate=self.rotate)
        )


def read(api: _api.Api, scope: Scope) -> Answers:
    """All answers that a plan of this scope needs."""
    answers: dict[str, object] = {}
    while wanted := reads(scope, answers):
        answers |= api.read_all(wanted)
    return answers


def configure(
    target: Target,
    settings: Settings,
    *,
    rotate: bool = False,
    prune: bool = False,
    yes: bool = False,
) -> str:
    """The configuration as declared. Returns the closing words."""
    if not settings.harbor.configuration.declared() and not prune:
        return NOTHING
    before = len(target.result.changes)
    prints = _reachable(target, settings)
    with _api.connected(target, settings) as api:
        run = _run(target, settings, api, prints)
        run.rotate = rotate
        _bring(run)
        if prune:
            _prune(run, yes=yes)
        target.result.details["requests"] = api.counts
    changed = len(target.result.changes) - before
    return f"{changed} changed" if changed else "no changes"


def after(target: Target, settings: Settings, words: str) -> str:
    """The end of a deploy, where it is to configure; `words` are those of what went before."""
    if not (settings.harbor.configure and settings.harbor.configuration.declared()):
        return words
    configure(target, settings)
    changed = len(target.result.changes)
    return f"{changed} changed" if changed else words


def preview(target: Target, settings: Settings, words: str) -> str:
    """Say what `configure` would change. Makes no write request.

    `words` are those of what was looked at before; they stay where this has nothing to add.
    """
    if not (settings.harbor.configure and settings.harbor.configuration.declared()):
        return words
    try:
        prints = _reachable(target, settings)
    except Unhealthy:
        target.say(
            "configuration: Harbor does not answer yet, what it has cannot be compared", "yellow"
        )
        return words
    with _api.connected(target, settings) as api:
        run = _run(target, settings, api, prints)
        plan = run.look()
        plan += _preflight(run, plan)
        target.result.details["requests"] = api.counts
    _say(target, plan)
    for call in plan.calls:
        _record(target, call, "~")
    if plan.problems:
        raise _refused(plan)
    if not plan.calls:
        return words
    target.result.code = CHANGES_PENDING
    return f"{len(target.result.changes)} to change"


def _reachable(target: Target, settings: Settings) -> Fingerprints:
    """What was sent before; Unhealthy where Harbor does not answer on its host."""
    probe = {**fingerprints.probe(settings.harbor.data_volume), **_answers(settings)}
    facts = target.host.read(probe)
    # While core is down nginx answers in its place, and not with JSON.
    if '"components"' not in facts["answers"].text:
        raise Unhealthy("Harbor does not answer on its host", "`fab status` says more")
    return fingerprints.parse(facts)


def _answers(settings: Settings) -> dict[str, str]:
    return {"answers": health.probe(settings)["body"]}


def _fingerprints(target: Target, settings: Settings) -> Fingerprints:
    return fingerprints.parse(target.host.read(fingerprints.probe(settings.harbor.data_volume)))


def _run(target: Target, settings: Settings, api: _api.Api, prints: Fingerprints) -> Run:
    """Log in, and find out which release is there."""
    target.progress("reading Harbor's configuration")
    api.login()
    running = Version.parse(_api.version_of(api.get("/systeminfo")))
    wanted = settings.harbor.configuration
    if running != settings.harbor.release_version:
        target.say(
            f"warning: Harbor {running} runs, {settings.harbor.version} is declared", "yellow"
        )
        if mistakes := wanted.mistakes(running):
            raise _refused(Plan(problems=mistakes))
    for text in wanted.warnings(running):
        target.say(f"warning: {text}", "yellow")
    return Run(target, settings, api, running, prints)


def _bring(run: Run) -> None:
    plan = run.look()
    plan += _preflight(run, plan)
    _say(run.target, plan)
    if plan.problems:
        raise _refused(plan)
    if not plan.calls:
        return
    with run.target.host.lock(holder("configure"), run.target.progress):
        run.prints = _fingerprints(run.target, run.settings)
        _audited(run, "configure", run.look())
    _ping(run)


def _audited(run: Run, why: str, plan: Plan) -> None:
    """`_apply`, with its line in the audit log also where it ends early."""
    try:
        _apply(run, plan)
    finally:
        if run.target.result.changes:
            _converge.audit(run.target, why)


def _preflight(run: Run, plan: Plan) -> Plan:
    """The provider is asked before Harbor is given it; only where that is about to happen."""
    auth = run.settings.harbor.configuration.auth
    touched = any(
        key.startswith("oidc_") or key == "auth_mode" for call in plan.calls for key in call.body
    )
    if auth is None or auth.oidc is None or not touched:
        return Plan()
    run.target.say(
        f"the provider must allow the redirect URI {oidc.redirect_uri(run.settings.harbor)}"
    )
    bundle = run.settings.harbor.storage.ca_bundle
    facts = run.target.host.read(oidc.probe(auth.oidc, bundle))
    problems, warnings = oidc.findings(auth.oidc, facts)
    body = {"url": auth.oidc.endpoint, "verify_cert": auth.oidc.verify_certificate}
    try:
        run.api.check("/system/oidc/ping", body, "auth.oidc.endpoint")
    except _api.ApiError as error:
        if error.stops_everything:
            raise
        problems.append(
            f"auth.oidc.endpoint: Harbor cannot use {auth.oidc.endpoint}: {error.said} "
            "(for a private CA: storage.ca_bundle)"
        )
    return Plan(problems=problems, warnings=warnings)


def _apply(run: Run, plan: Plan) -> None:
    """Round by round, each from a new look, until nothing is left. Raises what is left over."""
    for _ in range(ROUNDS):
        if plan.problems:
            raise _refused(plan)
        ready = [call for call in plan.calls if call.ready and _key(call) not in run.failures]
        if not ready:
            break
        _make_all(run, ready)
        run.rotate = False  # sent once, and remembered
        plan = run.look()
    # A 409 for what a run that was killed had asked for just before is no failure: it is there.
    pending = {_key(call) for call in plan.calls}
    failures = [text for key, text in run.failures.items() if key in pending]
    if failures:
        raise RemoteError(
            "Harbor refused:\n" + "\n".join(f"  {text}" for text in failures),
            "the rest was done; mend it and run it again",
        )
    if plan.calls:
        left = "\n".join(f"  {call}" for call in plan.calls)
        raise NotConverged(
            f"applied, and still pending:\n{left}", "`fab plan` shows the whole of it"
        )


def _make_all(run: Run, calls: list[Call]) -> None:
    sent: dict[str, Secret] = {}
    try:
        for call in calls:
            run.target.progress(str(call))
            if _make(run, call):
                sent |= call.remember
    finally:
        # Also when the run ends here: what Harbor was given must not be sent again.
        if sent:
            _remember(run, sent)


def _make(run: Run, call: Call) -> bool:
    try:
        run.api.make(call)
    except _api.ApiError as error:
        if error.stops_everything:
            raise
        hint = f" ({error.hint})" if error.hint else ""
        run.failures[_key(call)] = f"{error.message}{hint}"
        return False
    _record(run.target, call, "+")
    if call.ping:
        run.pings.append(call.ping)
    return True


def _key(call: Call) -> tuple[str, str, str]:
    return call.method, call.path, call.what


def _remember(run: Run, sent: dict[str, Secret]) -> None:
    if run.prints.key is None:
        raise OpsError(NO_KEY)
    content = run.prints.text(sent)
    file = WriteFile("remember what was sent", fingerprints.FILE, content, mode=0o600)
    run.target.host.apply([file], lambda _: None, run.target.progress)
    run.prints = _fingerprints(run.target, run.settings)


def _ping(run: Run) -> None:
    """Every registry that was touched answers, as Harbor sees it."""
    assert run.state is not None
    silent = []
    for name in run.pings:
        try:
            number = run.state.registries[name]["id"]
            run.api.check("/registries/ping", {"id": number}, f"registry {name}: ping")
        except _api.ApiError as error:
            silent.append(f"  {error.message}")
    if silent:
        raise Unhealthy("registries do not answer:\n" + "\n".join(silent), _api.UNHEALTHY)


def _prune(run: Run, *, yes: bool) -> None:
    """Show what is not declared, ask, and delete it."""
    run.everything, run.planner = True, undeclared.plan
    plan = run.look()
    _say(run.target, plan)
    if not plan.calls:
        return
    for call in plan.calls:
        run.target.say(f"- {call}", "red")
    question = f"Delete these {len(plan.calls)} from Harbor?"
    if not yes and not run.target.report.ask(run.target.host.name, question):
        raise Refused("not confirmed: nothing was deleted")
    with run.target.host.lock(holder("configure --prune-undeclared"), run.target.progress):
        _audited(run, "configure --prune-undeclared", plan)


def _say(target: Target, plan: Plan) -> None:
    for text in plan.warnings:
        target.say(f"warning: {text}", "yellow")


def _refused(plan: Plan) -> Refused:
    return Refused(
        "the configuration cannot become what is declared:\n"
        + "\n".join(f"  {text}" for text in plan.problems),
        "nothing of this was sent to Harbor",
    )


def _record(target: Target, call: Call, sign: str) -> None:
    target.say(f"{sign} configuration: {call}", "green" if sign == "+" else "yellow")
    target.result.changes.append({"step": "configuration", "why": str(call)})
