"""The planner: what is wanted and what is found -> exactly these calls, and none the second time."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from harbor.configuration import fingerprints, oidc, undeclared
from harbor.configuration.calls import Plan
from harbor.configuration.export import export
from harbor.configuration.fingerprints import Fingerprints
from harbor.configuration.plan import plan
from harbor.configuration.settings import Configuration
from harbor.configuration.state import Context, Scope, State, reads
from harbor.shell import Secret
from harbor.versions import Version
from tests.spec import RELEASES, ROOT
from tests.unit.builders import failed, ok, parsed
from tests.unit.fake_harbor import FakeHarbor, secret_of

SECRETS = {"HUB": "Canary-Hub-1", "DEX": "Canary-Dex/1=", "ROBOT": "Canary-Robot-1", "WEAK": "weak"}
ARTICLE: dict[str, Any] = {
    "registries": {
        "docker_hub": {"upstream": "docker.io"},
        "gcr.io": {"upstream": "gcr.io"},
        "k8s.gcr.io": {"upstream": "registry.k8s.io"},
        "quay.io": {"upstream": "quay.io"},
    },
    "projects": {
        "proxy.docker.io": {"registry": "docker_hub", "public": True, "quota": -1},
        "proxy.gcr.io": {"registry": "gcr.io", "public": True, "quota": -1},
        "proxy.k8s.gcr.io": {"registry": "k8s.gcr.io", "public": True, "quota": -1},
        "proxy.quay.io": {"registry": "quay.io", "public": True, "quota": -1},
    },
}
OIDC = {
    "mode": "oidc",
    "oidc": {
        "endpoint": "https://dex.example.com",
        "client_secret": {"env": "DEX"},
        "admin_group": "cluster_admins",
    },
}
MONTH = {"schedule": "daily", "rules": [{"template": "nDaysSinceLastPull", "value": 30}]}
PULL = [{"project": "*"}]
EVERYTHING: dict[str, Any] = {
    **ARTICLE,
    "registries": {
        **ARTICLE["registries"],
        "hub": {
            "upstream": "docker.io",
            "credentials": {"username": "me", "password": {"env": "HUB"}},
            "description": "with an account",
        },
    },
    "projects": {
        **ARTICLE["projects"],
        "proxy.docker.io": {
            "registry": "docker_hub",
            "public": True,
            "quota": "500G",
            "retention": MONTH,
            "members": [{"group": "developers", "role": "guest"}],
        },
        "plain": {"retention": MONTH, "members": [{"user": "ada", "role": "maintainer"}]},
    },
    "robots": {
        "puller": {"secret": {"env": "ROBOT"}, "permissions": PULL},
        "own": {
            "secret": {"env": "ROBOT"},
            "project": "plain",
            "permissions": [{"project": "plain", "access": {"repository": ["pull", "push"]}}],
        },
    },
    "auth": OIDC,
    "garbage_collection": {"schedule": "0 30 4 * * *", "delete_untagged": True},
    "audit_purge": {"schedule": "weekly", "keep_hours": 240},
    "scan": {"schedule": "daily"},
    "settings": {"session_timeout": 120, "pull_audit_log_disable": True},
}


def configuration(values: dict[str, Any], version: str = "2.15.2") -> Configuration:
    harbor, mistakes = parsed(version=version, configuration=values)
    assert mistakes == []
    wanted: Configuration = harbor.configuration
    return wanted


class Site:
    """A Harbor, what is wanted of it, and what the host remembers."""

    def __init__(self, values: dict[str, Any], version: str = "2.15.2") -> None:
        self.harbor = FakeHarbor(version)
        self.sent: dict[str, str] = {}
        self.secrets = dict(SECRETS)
        self.want(values)

    def want(self, values: dict[str, Any]) -> None:
        self.wanted = configuration(values, str(self.harbor.version))

    def state(self, *, everything: bool = False) -> State:
        scope = Scope(self.wanted, self.harbor.version, everything)
        answers: dict[str, Any] = {}
        while needed := reads(scope, answers):
            answers |= {key: self.harbor.answer(read) for key, read in needed.items()}
        return State(answers, Fingerprints(Secret("key"), self.sent), self.harbor.version)

    def context(self, *, rotate: bool = False, everything: bool = False) -> Context:
        return Context(
            self.wanted, self.state(everything=everything), secret_of(self.secrets), rotate=rotate
        )

    def plan(self, *, rotate: bool = False) -> Plan:
        return plan(self.context(rotate=rotate))

    def apply(self, most: int = 99) -> int:
        """Make at most so many calls, round by round; how many were made."""
        made = 0
        for _ in range(5):
            ready = [call for call in self.plan().calls if call.ready]
            for call in ready:
                if made == most:
                    return made
                self.harbor.make(call)
                made += 1
                prints = Fingerprints(Secret("key"), self.sent)
                added = {name: prints.of(name, s) for name, s in call.remember.items()}
                self.sent = {**self.sent, **added}
            if not ready:
                break
        return made


def shown(found: Plan) -> list[str]:
    return [str(call) for call in found.calls]


# -- the article, and everything ------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.4.3", "2.7.4", "2.9.1", "2.15.2"])
def test_the_articles_tables_are_made_and_then_left_alone(version):
    site = Site(ARTICLE, version)
    assert site.apply() == 8
    assert [(r["name"], r["type"], r["url"]) for r in site.harbor.registries] == [
        ("docker_hub", "docker-hub", "https://hub.docker.com"),
        ("gcr.io", "docker-registry", "https://gcr.io"),
        ("k8s.gcr.io", "docker-registry", "https://registry.k8s.io"),
        ("quay.io", "docker-registry", "https://quay.io"),
    ]
    numbers = {r["id"]: r["name"] for r in site.harbor.registries}
    assert {p["name"]: numbers[p["registry_id"]] for p in site.harbor.projects} == {
        "proxy.docker.io": "docker_hub",
        "proxy.gcr.io": "gcr.io",
        "proxy.k8s.gcr.io": "k8s.gcr.io",
        "proxy.quay.io": "quay.io",
    }
    assert all(p["metadata"]["public"] == "true" for p in site.harbor.projects)
    assert site.plan() == Plan()


@pytest.mark.parametrize("version", ["2.7.4", "2.15.2"])
def test_everything_is_made_and_then_left_alone(version):
    site = Site(EVERYTHING, version)
    site.apply()
    assert site.plan() == Plan()
    assert site.harbor.secrets == {
        "hub": "Canary-Hub-1",
        "oidc_client_secret": "Canary-Dex/1=",
        "robot$puller": "Canary-Robot-1",
        "robot$plain+own": "Canary-Robot-1",
    }
    assert site.harbor.settings["oidc_scope"] == "openid,profile,email,groups,offline_access"


def test_a_preview_names_what_is_not_there_yet():
    text = "\n".join(shown(Site(EVERYTHING).plan()))
    assert "registry docker_hub: is missing: create it (type docker-hub, https://hub.docker" in text
    assert (
        "project proxy.docker.io: is missing: create it as a proxy of registry docker_hub" in text
    )
    assert "retention of proxy.docker.io: keep nDaysSinceLastPull 30" in text
    assert "member developers of proxy.docker.io: becomes guest, once the project is there" in text
    assert "robot robot$puller: set its secret" in text
    assert "auth_mode: db_auth → oidc_auth" in text
    assert not [value for value in SECRETS.values() if value in text]


@pytest.mark.parametrize("calls", range(24))
def test_a_run_that_was_cut_off_anywhere_is_completed_by_the_next(calls):
    site = Site(EVERYTHING)
    site.apply(calls)
    site.apply()
    assert site.plan() == Plan()
    assert len(site.harbor.retentions) == 5


@pytest.mark.parametrize("projects", [0, 10, 200])
def test_requests_do_not_grow_with_the_number_of_projects(projects):
    site = Site(
        {
            "registries": {f"r{n}": {"upstream": "quay.io"} for n in range(projects // 4 + 1)},
            "projects": {f"p{n}": {"registry": "r0", "quota": -1} for n in range(projects)},
        }
    )
    site.apply(10_000)
    site.harbor.requests.clear()
    assert site.plan() == Plan()
    assert len(site.harbor.requests) == (3 if projects else 1)


def example() -> dict[str, Any]:
    """The configuration of the shipped example, its OIDC form taken out of the comment."""
    text = (ROOT / "files" / "hosts.example.yaml").read_text()
    head, form = text.split("    # auth:\n")
    lines = [line.replace("    # ", "    ", 1) for line in form.splitlines()]
    values = YAML(typ="safe").load("\n".join([head, "    auth:", *lines]))
    section: dict[str, Any] = values["harbor"]["configuration"]
    return section


def test_the_shipped_example_is_the_articles_tables_and_its_oidc_form():
    shipped = example()
    assert {key: shipped[key] for key in ARTICLE} == ARTICLE
    assert shipped["auth"]["oidc"] == {
        "name": "dex",
        "endpoint": "https://dex.example.com",
        "client_id": "harbor-cache-oidc-dex",
        "client_secret": {"env": "HARBOR_OIDC_CLIENT_SECRET"},
        "groups_claim": "groups",
        "admin_group": "cluster_admins",
        "scope": ["openid", "profile", "email", "groups", "offline_access"],
        "verify_certificate": True,
        "auto_onboard": False,
        "user_claim": "",
    }
    site = Site(shipped)
    site.secrets["HARBOR_OIDC_CLIENT_SECRET"] = "Canary-Dex"
    site.apply()
    assert site.plan() == Plan()


# -- one field at a time ------------------------------------------------------------------------


def changed(values: dict[str, Any], part: str, name: str, **fields: Any) -> dict[str, Any]:
    """`values` with fields of one object changed."""
    return {**values, part: {**values[part], name: {**values[part][name], **fields}}}


DRIFTS = [
    (
        changed(EVERYTHING, "registries", "hub", description="mine"),
        ["registry hub: description: with an account → mine"],
    ),
    (
        changed(EVERYTHING, "registries", "hub", insecure=True),
        ["registry hub: insecure: false → true"],
    ),
    (
        changed(
            EVERYTHING,
            "registries",
            "gcr.io",
            upstream=None,
            type="docker-registry",
            url="https://eu.gcr.io",
        ),
        ["registry gcr.io: url: https://gcr.io → https://eu.gcr.io"],
    ),
    (
        changed(EVERYTHING, "projects", "proxy.quay.io", public=False),
        ["project proxy.quay.io: public: true → false"],
    ),
    (
        changed(EVERYTHING, "projects", "proxy.quay.io", quota="1G"),
        ["project proxy.quay.io: quota: -1 → 1073741824"],
    ),
    (
        changed(
            EVERYTHING,
            "projects",
            "proxy.quay.io",
            proxy_speed_kb=1024,
            max_upstream_conn=9,
            proxy_cache_local_on_not_found=True,
        ),
        [
            "project proxy.quay.io: proxy_speed_kb: (none) → 1024; max_upstream_conn: (none) → 9; proxy_cache_local_on_not_found: (none) → true"
        ],
    ),
    (
        changed(
            EVERYTHING,
            "projects",
            "proxy.docker.io",
            retention={"schedule": "weekly", "rules": [{"template": "always"}]},
        ),
        [
            "retention of proxy.docker.io: rules: nDaysSinceLastPull 30 → always; schedule: 0 0 0 * * * → 0 0 0 * * 0"
        ],
    ),
    (
        changed(EVERYTHING, "projects", "plain", members=[{"user": "ada", "role": "admin"}]),
        ["member ada of plain: role: maintainer → admin"],
    ),
    (
        changed(EVERYTHING, "robots", "puller", disabled=True, duration=90),
        ["robot robot$puller: duration: -1 → 90; disable: false → true"],
    ),
    (
        {**EVERYTHING, "garbage_collection": {"schedule": "never"}},
        ["garbage collection: schedule: 0 30 4 * * * → never"],
    ),
    (
        {**EVERYTHING, "garbage_collection": {"schedule": "0 30 4 * * *", "workers": 3}},
        ["garbage collection: delete_untagged: true → false; workers: (none) → 3"],
    ),
    (
        {
            **EVERYTHING,
            "audit_purge": {"schedule": "weekly", "keep_hours": 240, "operations": ["pull"]},
        },
        [
            "audit purge: include_event_types: create_artifact,delete_artifact,pull_artifact → pull_artifact"
        ],
    ),
    (
        {**EVERYTHING, "settings": {"session_timeout": 61, "read_only": False}},
        ["system settings: session_timeout: 120 → 61; read_only: (none) → false"],
    ),
]


@pytest.mark.parametrize(("values", "expected"), DRIFTS)
def test_only_what_differs_is_sent(values, expected):
    site = Site(EVERYTHING)
    site.apply()
    site.want(values)
    assert shown(site.plan()) == expected
    site.apply()
    assert site.plan() == Plan()


def test_what_is_not_declared_is_left_alone():
    site = Site(EVERYTHING)
    site.apply()
    site.want({"projects": {"plain": {}}, "robots": {}})
    assert site.plan() == Plan()


# -- secrets --------------------------------------------------------------------------------


def test_a_secret_is_sent_when_it_changes_and_when_asked_to():
    site = Site(EVERYTHING)
    site.apply()
    site.secrets["HUB"] = "Canary-Hub-2"
    assert shown(site.plan()) == [
        "registry hub: password: was not sent from here yet, or is a new one"
    ]
    site.apply()
    assert site.harbor.secrets["hub"] == "Canary-Hub-2"
    assert len(site.plan(rotate=True).calls) == 4


def test_a_secret_goes_with_the_rest_of_its_family():
    site = Site({"auth": OIDC})
    site.apply()
    site.harbor.settings["oidc_endpoint"] = "https://elsewhere.example.com"
    (call,) = site.plan().calls
    assert set(call.body) == {"oidc_endpoint", "oidc_client_secret"}


def test_another_secretkey_means_that_nothing_is_known():
    known = Fingerprints(Secret("key"), {"a": Fingerprints(Secret("key"), {}).of("a", Secret("s"))})
    assert known.knows("a", Secret("s"))
    assert not known.knows("b", Secret("s"))
    assert not Fingerprints(Secret("other"), known.sent).knows("a", Secret("s"))
    assert not Fingerprints(None, known.sent).knows("a", Secret("s"))


def test_fingerprints_are_read_and_written_without_the_secret():
    empty = fingerprints.parse({"key": ok("abc  -"), "sent": failed()})
    text = empty.text({"a": Secret("Canary")})
    again = fingerprints.parse({"key": ok("abc  -"), "sent": ok(text.decode())})
    assert again.knows("a", Secret("Canary"))
    assert b"Canary" not in text
    assert fingerprints.parse({"key": ok("abc  -"), "sent": ok("{broken")}).sent == {}
    with pytest.raises(ValueError, match="no key"):
        fingerprints.parse({}).text({"a": Secret("Canary")})


# -- what Harbor forbids ----------------------------------------------------------------------


def problems(site: Site, values: dict[str, Any]) -> str:
    site.want(values)
    return "\n".join(site.plan().problems)


def test_a_project_never_changes_its_registry():
    site = Site(ARTICLE)
    site.apply()
    moved = changed(ARTICLE, "projects", "proxy.gcr.io", registry="quay.io")
    assert "project proxy.gcr.io: is bound to registry gcr.io, declared is quay.io" in problems(
        site, moved
    )
    normal = {"projects": {"normal": {}}}
    site.want(normal)
    site.apply()
    bound = {**ARTICLE, "projects": {"normal": {"registry": "quay.io"}}}
    assert "is bound to registry none, declared is quay.io" in problems(site, bound)


def test_a_registry_never_changes_its_type():
    site = Site(ARTICLE)
    site.apply()
    other = changed(ARTICLE, "registries", "quay.io", upstream="ghcr.io")
    assert "has type docker-registry, declared is github-ghcr" in problems(site, other)


def test_a_type_that_is_closed_for_new_projects():
    quay = {"type": "quay", "url": "https://quay.io"}
    values = {"registries": {"q": quay}, "projects": {"p": {"registry": "q"}}}
    old, new = Site(values, "2.13.0"), Site(values, "2.14.0")
    assert old.plan().problems == []
    assert "type quay backs no new proxy project from Harbor 2.14.0 on" in new.plan().problems[0]


def test_a_registry_that_nobody_knows():
    site = Site({"projects": {"p": {"registry": "nowhere"}}})
    assert site.plan().problems == ["project p: registry nowhere is neither declared nor in Harbor"]


def test_another_login_mode_while_there_are_local_users():
    site = Site({"auth": OIDC})
    site.harbor.users.append({"user_id": 3, "username": "ada"})
    assert "while there are local users besides admin (ada)" in site.plan().problems[0]


def test_a_robots_secret_that_harbor_refuses():
    values = {"robots": {"r": {"secret": {"env": "WEAK"}, "permissions": PULL}}}
    assert (
        site_problem(values)
        == "robot robot$r: its secret (WEAK) has 4 characters; Harbor wants 8 to 128"
    )


def test_a_robot_for_a_project_that_nobody_knows():
    values = {"robots": {"r": {"secret": {"env": "ROBOT"}, "permissions": [{"project": "nope"}]}}}
    assert site_problem(values) == "robot robot$r: no project nope, neither declared nor in Harbor"


def site_problem(values: dict[str, Any]) -> str:
    return "\n".join(Site(values).plan().problems)


def test_a_quota_where_harbor_keeps_none():
    site = Site(ARTICLE)
    site.apply()
    site.harbor.quotas.clear()
    assert "Harbor keeps no quota for it" in site.plan().warnings[0]


# -- the section's own rules --------------------------------------------------------------------

MISTAKES = [
    ({"registries": {"a": {}}}, "2.15.2", "registries.a: needs `upstream`, or `type` and `url`"),
    ({"registries": {"a": {"upstream": "x.io"}}}, "2.15.2", "upstream 'x.io' is not in the catal"),
    ({"registries": {"a": {"upstream": "harbor"}}}, "2.15.2", "upstream harbor needs `url`"),
    ({"registries": {"a": {"upstream": "aws-ecr"}}}, "2.15.2", "upstream aws-ecr needs `region`"),
    (
        {"registries": {"a": {"upstream": "aws-ecr", "region": "eu-west-1"}}},
        "2.15.2",
        "upstream aws-ecr needs `credentials`",
    ),
    (
        {"registries": {"a": {"upstream": "quay.io", "ca_certificate": "x"}}},
        "2.14.4",
        "ca_certificate needs Harbor 2.15.0 (2.14.4 is declared)",
    ),
    (
        {
            "registries": {"a": {"upstream": "quay.io"}},
            "projects": {"p": {"registry": "a", "max_upstream_conn": 5}},
        },
        "2.14.0",
        "projects.p: max_upstream_conn needs Harbor 2.14.1 (2.14.0 is declared)",
    ),
    ({"projects": {"p": {"proxy_speed_kb": 5}}}, "2.15.2", "proxy_speed_kb is for proxy projects"),
    (
        {
            "registries": {"a": {"type": "gitlab", "url": "https://x"}},
            "projects": {"p": {"registry": "a"}},
        },
        "2.15.2",
        "type gitlab cannot back a proxy project",
    ),
    ({"projects": {"p": {"quota": "much"}}}, "2.15.2", "projects.p.quota"),
    ({"projects": {"p": {"members": [{"role": "guest"}]}}}, "2.15.2", "needs one of `user`"),
    ({"garbage_collection": {"schedule": "0 4 * * *"}}, "2.15.2", "is no schedule: six fields"),
    ({"garbage_collection": {"schedule": "5 0 4 * * *"}}, "2.15.2", "the second, must be 0"),
    (
        {"garbage_collection": {"schedule": "daily", "workers": 2}},
        "2.8.0",
        "garbage_collection.workers needs Harbor 2.9.0",
    ),
    ({"audit_purge": {"schedule": "daily"}}, "2.5.0", "audit_purge needs Harbor 2.6.0"),
    ({"auth": {"mode": "oidc"}}, "2.15.2", "mode: oidc needs `oidc`"),
    ({"auth": {**OIDC, "mode": "database"}}, "2.15.2", "mode is database: the other section"),
    ({"auth": {**OIDC, "primary": True}}, "2.7.4", "auth.primary needs Harbor 2.8.0"),
    (
        {"auth": {"mode": "oidc", "oidc": {**OIDC["oidc"], "scope": ["email"]}}},
        "2.15.2",
        "must contain openid",
    ),
    (
        {"auth": {"mode": "oidc", "oidc": {**OIDC["oidc"], "logout": True}}},
        "2.12.0",
        "auth.oidc.logout needs Harbor 2.13.0",
    ),
    ({"auth": OIDC, "settings": {"oidc_name": "x"}}, "2.15.2", "`auth` is declared and decides"),
    ({"settings": {"nonsense": 1}}, "2.15.2", "settings.nonsense: is no system setting"),
    ({"settings": {"read_only": "maybe"}}, "2.15.2", "must be true or false, not 'maybe'"),
    ({"settings": {"token_expiration": True}}, "2.15.2", "must be a number, not True"),
    ({"settings": {"banner_message": "x"}}, "2.8.0", "needs Harbor 2.9.0 (2.8.0 is declared)"),
    ({"settings": {"oidc_client_secret": "x"}}, "2.15.2", "is a secret: write {env: NAME}"),
    ({"settings": {"oidc_name": {"env": "X"}}}, "2.15.2", "is no secret: give the value itself"),
    (
        {"robots": {"r": {"secret": {"env": "X"}, "duration": 0, "permissions": PULL}}},
        "2.15.2",
        "duration: -1 or at least one day",
    ),
    (
        {"robots": {"r": {"secret": {"env": "X"}, "project": "p", "permissions": PULL}}},
        "2.15.2",
        "a robot of project p has permissions there alone",
    ),
    (
        {
            "projects": {
                "p": {
                    "retention": {
                        "schedule": "daily",
                        "rules": [{"template": "always", "value": 1}],
                    }
                }
            }
        },
        "2.15.2",
        "`value` is needed, except with template always",
    ),
]


@pytest.mark.parametrize(("values", "version", "expected"), MISTAKES)
def test_mistakes_are_found_before_any_connection(values, version, expected):
    _, mistakes = parsed(version=version, configuration=values)
    assert expected in "\n".join(mistakes)


WARNINGS = [
    ({"registries": {"a": {"upstream": "k8s.gcr.io"}}}, "is frozen since 3 April 2023"),
    (
        {"registries": {"a": {"type": "docker-registry", "url": "https://k8s.gcr.io"}}},
        "Write `upstream: registry.k8s.io`; the names of registry and project can stay",
    ),
    (
        {"registries": {"a": {"type": "docker-registry", "url": "https://registry-1.docker.io"}}},
        "clients must write `library/nginx`",
    ),
    (
        {"registries": {"a": EVERYTHING["registries"]["hub"]}},
        "logs in to Docker Hub for every manifest",
    ),
    (
        {"auth": {"mode": "oidc", "oidc": {**OIDC["oidc"], "scope": ["openid"]}}},
        "without offline_access",
    ),
    (
        {"projects": {"p": {"retention": MONTH}}, "settings": {"pull_time_update_disable": True}},
        "would let everything expire",
    ),
]


@pytest.mark.parametrize(("values", "expected"), WARNINGS)
def test_what_is_valid_and_still_worth_a_word(values, expected):
    assert expected in "\n".join(configuration(values).warnings(Version(2, 15, 2)))


def test_ghcr_by_release():
    registry = configuration({"registries": {"g": {"upstream": "ghcr.io"}}}).registries["g"]
    assert registry.as_known_by(Version(2, 5, 0)) == ("docker-registry", "https://ghcr.io")
    assert registry.as_known_by(Version(2, 6, 0)) == ("github-ghcr", "https://ghcr.io")


def test_ecr_by_region():
    values = {
        "upstream": "aws-ecr",
        "region": "eu-west-1",
        "credentials": {"username": "AKIA", "password": {"env": "HUB"}},
    }
    registry = configuration({"registries": {"e": values}}).registries["e"]
    assert registry.as_known_by(Version(2, 15, 2)) == (
        "aws-ecr",
        "https://api.ecr.eu-west-1.amazonaws.com",
    )


# -- OIDC -------------------------------------------------------------------------------------


def test_the_provider_must_call_itself_what_is_declared():
    wanted = configuration({"auth": OIDC}).auth.oidc
    good = '{"issuer": "https://dex.example.com", "scopes_supported": ["openid", "email", "groups", "profile", "offline_access"]}'
    assert oidc.findings(wanted, {"discovery": ok(good)}) == ([], [])
    wrong = good.replace("dex.example", "dex.internal")
    assert (
        "the provider calls itself https://dex.internal.com"
        in oidc.findings(wanted, {"discovery": ok(wrong)})[0][0]
    )
    # Auth0 and others end in a slash, and go-oidc compares to the letter (oidc.go, NewProvider).
    slash = good.replace("example.com", "example.com/")
    assert "calls itself https://dex.example.com/" in str(
        oidc.findings(wanted, {"discovery": ok(slash)})[0]
    )
    same = wanted.model_copy(update={"endpoint": "https://dex.example.com/"})
    assert oidc.findings(same, {"discovery": ok(slash)}) == ([], [])
    assert oidc.discovery(same) == "https://dex.example.com/.well-known/openid-configuration"
    less = good.replace(', "offline_access"', "")
    assert oidc.findings(wanted, {"discovery": ok(less)})[1] == [
        "auth.oidc.scope: the provider does not offer offline_access"
    ]
    assert "is no JSON" in oidc.findings(wanted, {"discovery": ok("<html>")})[0][0]
    assert "the host itself cannot read" in oidc.findings(wanted, {"discovery": failed()})[1][0]


def test_the_client_for_dex():
    harbor, _ = parsed(configuration={"auth": OIDC})
    assert oidc.dex_client(harbor, harbor.configuration.auth.oidc, "s3cret") == {
        "config": {
            "staticClients": [
                {
                    "id": "harbor-cache-oidc-dex",
                    "name": "Harbor Cache",
                    "redirectURIs": ["https://harbor-cache.example.com/c/oidc/callback"],
                    "secret": "s3cret",
                }
            ]
        }
    }


def test_ldap():
    site = Site(
        {
            "auth": {
                "mode": "ldap",
                "ldap": {
                    "url": "ldaps://ldap.example.com",
                    "base_dn": "dc=example,dc=com",
                    "search_password": {"env": "DEX"},
                },
            },
            "projects": {"p": {"members": [{"ldap_group": "cn=dev,dc=x", "role": "developer"}]}},
        }
    )
    site.apply()
    assert site.plan() == Plan()
    assert site.harbor.settings["auth_mode"] == "ldap_auth"
    assert site.harbor.settings["ldap_scope"] == 2
    assert [m["entity_name"] for m in next(iter(site.harbor.members.values()))] == ["admin", "dev"]


# -- undeclared, and the other way round ----------------------------------------------------------


def test_what_is_not_declared_is_deleted_only_where_it_is_empty():
    site = Site(EVERYTHING)
    site.apply()
    next(p for p in site.harbor.projects if p["name"] == "proxy.docker.io")["repo_count"] = 3
    site.want({"projects": {"plain": {"members": []}}})
    found = undeclared.plan(site.context(everything=True))
    assert shown(found) == [
        f"{what}: is not declared: delete it{more}"
        for what, more in [
            ("robot robot$puller", ""),
            ("robot robot$plain+own", ""),
            ("member ada of plain", ""),
            ("project proxy.gcr.io", " (it is empty)"),
            ("project proxy.k8s.gcr.io", " (it is empty)"),
            ("project proxy.quay.io", " (it is empty)"),
            ("registry gcr.io", ""),
            ("registry k8s.gcr.io", ""),
            ("registry quay.io", ""),
            ("registry hub", ""),
        ]
    ]
    assert found.warnings == [
        "project proxy.docker.io: is not declared, and holds 3 repositories: stays",
        "registry docker_hub: is not declared, and used by proxy.docker.io: stays",
    ]
    for call in found.calls:
        site.harbor.make(call)
    assert undeclared.plan(site.context(everything=True)).calls == []


@pytest.mark.parametrize("version", ["2.7.4", "2.15.2"])
def test_an_export_changes_nothing_where_it_came_from(version):
    site = Site(EVERYTHING, version)
    site.apply()
    found = export(site.state(everything=True))
    text = "\n".join(found.notes)
    assert "registry hub: has credentials, which stay as they are" in text
    assert "robot robot$puller: left out" in text
    assert "oidc_client_secret: stays as it is" in text
    assert found.section["registries"]["docker_hub"] == {"upstream": "docker.io"}
    assert found.section["projects"]["proxy.docker.io"]["retention"] == {
        "schedule": "0 0 0 * * *",
        "rules": [{"template": "nDaysSinceLastPull", "value": 30}],
    }
    site.want(found.section)
    assert site.plan() == Plan()


# -- the specifications ------------------------------------------------------------------------


def test_every_option_is_in_the_specification():
    from harbor.configuration.options import OPTIONS

    for release in RELEASES:
        site = Site(ARTICLE, release)
        listed = site.harbor.specification.operations["PUT /configurations"]["body"]["properties"]
        ours = {key for key, option in OPTIONS.items() if option.since <= site.harbor.version}
        assert ours == set(listed)
