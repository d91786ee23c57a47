"""What a prune removes, what it leaves, and what it can never name."""

import json
import subprocess

import pytest

from harbor import prune
from harbor.prune import Item, Plan
from harbor.versions import Version
from tests.unit.builders import ok, settings

RUNNING, ANONYMOUS = "c" * 64, "a1" * 32
HARBOR = {"com.docker.compose.project": "harbor"}
OTHERS = {"com.docker.compose.project": "wiki"}


def container(  # noqa: PLR0917
    id_, name, state="running", image="sha256:used", labels=None, mounts=(), network="n0"
):
    return {
        "Id": id_, "Names": [f"/{name}"], "State": state, "ImageID": image, "Labels": labels or {},
        "Mounts": [{"Type": "volume", "Name": m} for m in mounts], "SizeRw": 1000,
        "NetworkSettings": {"Networks": {"x": {"NetworkID": network}}},
    }  # fmt: skip


def image(id_, *tags, size=5000, shared=0, labels=None, digests=()):
    return {
        "Id": id_, "RepoTags": list(tags) or None, "RepoDigests": list(digests), "Size": size,
        "SharedSize": shared, "Labels": labels,
    }  # fmt: skip


def volume(name, labels=None, size=700, options=None):
    return {
        "Name": name, "Labels": labels, "Options": options, "Driver": "local",
        "UsageData": {"Size": size}, "CreatedAt": "then", "Mountpoint": f"/v/{name}",
    }  # fmt: skip


def network(id_, name, labels=None, scope="local"):
    return {"Id": id_, "Name": name, "Labels": labels or {}, "Scope": scope}


def facts(version="20.10.24", installed="2.15.2", **usage):
    return {
        "engine": ok(json.dumps({"Version": version})),
        "usage": ok(json.dumps(usage)),
        "networks": ok(json.dumps(usage.pop("networks", []))),
        "installed": ok(installed),
    }


def planned(keep=2, protect=None, **usage):
    extra = {} if protect is None else {"prune": {"protect_labels": protect}}
    wanted = settings(**extra)
    answers = facts(**usage)
    return prune.plan(wanted, prune.parse(answers), prune.releases(wanted, answers, keep))


def reasons(items):
    return {item.title: item.reason for item in items}


class TestContainers:
    def test_only_stopped_ones_go(self):
        plan = planned(
            Containers=[
                container("1", "run"),
                container("2", "old", "exited"),
                container("3", "never", "created"),
                container("4", "paused", "paused"),
                container("5", "looping", "restarting"),
            ]
        )

        assert reasons(plan.going) == dict.fromkeys(["old", "never"], "stopped container")
        assert reasons(plan.staying) == {
            "run": "running",
            "paused": "paused",
            "looping": "restarting",
        }

    def test_other_peoples_stay_and_the_label_can_be_set(self):
        stopped = [container("2", "wiki", "exited", labels=OTHERS)]

        assert planned(Containers=stopped).going == ()
        assert reasons(planned(Containers=stopped, protect=[]).going) == {
            "wiki": "stopped container"
        }
        kept = planned(
            Containers=[container("2", "x", "exited", labels={"keep": "1"})], protect=["keep=1"]
        )
        assert reasons(kept.staying) == {"x": "belongs to keep=1"}

    def test_ours_never_goes(self):
        assert planned(Containers=[container("1", "core", "exited", labels=HARBOR)]).going == ()


class TestImages:
    def test_dangling_goes_with_the_bytes_that_only_it_has(self):
        plan = planned(Images=[image("sha256:d1", size=5000, shared=4000)])

        assert [(i.reason, i.size) for i in plan.going] == [("dangling image", 1000)]

    def test_dangling_as_an_old_engine_says_it(self):
        found = image("sha256:d1", "<none>:<none>", digests=["<none>@<none>"])

        assert reasons(planned(Images=[found]).going) == {"d1": "dangling image"}

    def test_dangling_but_used_by_a_running_container_stays(self):
        plan = planned(Images=[image("sha256:used")], Containers=[container("1", "app")])

        assert reasons(plan.staying)["used"] == "used by app"

    def test_used_by_a_container_that_goes_is_free_after_it(self):
        plan = planned(Images=[image("sha256:used")], Containers=[container("1", "app", "exited")])

        assert [item.kind for item in plan.going] == ["container", "image"]

    def test_pulled_by_digest_is_not_dangling(self):
        found = image("sha256:x", digests=["alpine@sha256:1"])

        assert reasons(planned(Images=[found]).staying) == {"x": "was pulled by digest"}

    def test_named_image_of_others_stays(self):
        assert reasons(planned(Images=[image("sha256:x", "alpine:3")]).staying) == {
            "alpine:3": "has a name"
        }

    RELEASES = ("v2.15.2", "v2.15.1", "v2.14.4", "v2.11.2", "v2.16.0")

    @pytest.mark.parametrize(
        ("keep", "gone"),
        [
            (1, {"v2.15.1", "v2.14.4", "v2.11.2"}),
            (2, {"v2.14.4", "v2.11.2"}),
            (3, {"v2.11.2"}),
            (9, set()),
        ],
    )
    def test_releases(self, keep, gone):
        images = [image(f"sha256:{v}", f"goharbor/harbor-core:{v}") for v in self.RELEASES]

        plan = planned(keep=keep, Images=images)

        assert {item.title.split(":")[1] for item in plan.going} == gone

    def test_the_installed_release_counts_not_the_inventory(self):
        plan = planned(
            keep=1, installed="2.14.4", Images=[image("sha256:a", "goharbor/prepare:v2.14.4")]
        )

        assert reasons(plan.staying) == {"goharbor/prepare:v2.14.4": "this release"}

    def test_old_release_that_has_another_name_too_stays(self):
        both = image("sha256:a", "goharbor/harbor-core:v2.11.2", "mine:1")

        assert planned(keep=1, Images=[both]).going == ()

    def test_old_release_in_use_stays(self):
        old = image("sha256:used", "goharbor/harbor-core:v2.11.2")

        assert planned(keep=1, Images=[old], Containers=[container("1", "x")]).going == ()

    def test_older_traefik(self):
        images = [image(f"sha256:{v}", f"traefik:{v}") for v in ("v3.7.15", "v3.6.1", "v3.0.4")]

        assert reasons(planned(Images=images).going) == {
            "traefik:v3.0.4": "image of an older Traefik"
        }


class TestVolumes:
    def test_named_ones_never_go(self):
        plan = planned(Volumes=[volume("traefik_certs"), volume("harbor_x", HARBOR)])

        assert plan.going == ()
        assert set(reasons(plan.staying).values()) == {"named volume"}

    def test_anonymous_on_an_old_engine(self):
        assert reasons(planned(Volumes=[volume(ANONYMOUS)]).going) == {
            ANONYMOUS: "anonymous volume"
        }

    def test_anonymous_on_a_new_engine(self):
        found = volume(ANONYMOUS, {prune.ANONYMOUS_LABEL: ""})

        assert planned(version="26.1.5", Volumes=[found]).size == 700

    @pytest.mark.parametrize(
        "named_like_one",
        [volume(ANONYMOUS, {"mine": ""}), volume(ANONYMOUS, None, options={"type": "nfs"})],
    )
    def test_doubt_means_no(self, named_like_one):
        assert planned(Volumes=[named_like_one]).going == ()

    def test_used_by_a_running_container(self):
        plan = planned(
            Volumes=[volume(ANONYMOUS)], Containers=[container("1", "db", mounts=[ANONYMOUS])]
        )

        assert reasons(plan.staying)[ANONYMOUS] == "used by db"

    def test_of_a_container_that_stays_stopped(self):
        stopped = container("1", "wiki", "exited", labels=OTHERS, mounts=[ANONYMOUS])

        assert planned(Volumes=[volume(ANONYMOUS)], Containers=[stopped]).going == ()


class TestNetworks:
    def test_unused_goes_and_the_rest_stays(self):
        plan = planned(
            networks=[
                network("n1", "old"),
                network("n0", "busy"),
                network("n2", "bridge"),
                network("n3", "harbor_harbor", HARBOR),
                network("n4", "wiki_default", OTHERS),
                network("n5", "swarm", scope="swarm"),
            ],
            Containers=[container("1", "app")],
        )

        assert reasons(plan.going) == {"old": "unused network"}
        assert len(plan.staying) == 6


class TestBuildCache:
    def test_what_is_in_use_or_shared_stays(self):
        records = [
            {"ID": "a", "Size": 42, "Description": "local source"},
            {"ID": "b", "Size": 9, "InUse": True},
            {"ID": "c", "Size": 9, "Shared": True},
        ]

        plan = planned(BuildCache=records)

        assert [(i.id, i.size) for i in plan.going] == [("a", 42)]
        assert {i.id: i.reason for i in plan.staying} == {
            "b": "in use",
            "c": "shared with an image",
        }


class TestEndangered:
    def test_names_what_a_prune_would_have_taken(self):
        engine = prune.parse(
            facts(
                Containers=[container("1", "harbor-core", "exited", labels=HARBOR)],
                Images=[image("sha256:used", "goharbor/harbor-core:v2.15.2")],
                Volumes=[volume("harbor_traefik_certs", HARBOR)],
                networks=[network("n0", "harbor_harbor", HARBOR)],
            )
        )

        lost = prune.endangered(settings(), engine, Version(2, 15, 2))

        assert lost == [
            "container harbor-core",
            "image goharbor/harbor-core:v2.15.2",
            "volume harbor_traefik_certs",
            "network harbor_harbor",
        ]
        assert prune.stopped_of_ours(engine) == ["harbor-core"]


class TestConfirmed:
    OLD, NEW = (
        Item("image", "1", "a", 1, "dangling image"),
        Item("image", "2", "b", 1, "dangling image"),
    )

    def test_nothing_that_appeared_since(self):
        same, changed = prune.confirmed(Plan((self.OLD,), ()), Plan((self.OLD, self.NEW), ()))

        assert (same, changed) == ([self.OLD], [])

    def test_what_is_used_now_is_left(self):
        same, changed = prune.confirmed(
            Plan((self.OLD, self.NEW), ()), Plan((self.NEW,), (self.OLD,))
        )

        assert (same, changed) == ([self.NEW], [self.OLD])

    def test_an_image_that_got_a_name_is_left(self):
        named = Item("image", "1", "a", 1, "image of an older release", ("goharbor/x:v2.4.0",))

        assert prune.confirmed(Plan((self.OLD,), ()), Plan((named,), ()))[0] == []


class TestRemoval:
    ITEMS = (
        Item("container", "c1", "", 0, ""),
        Item("network", "n1", "", 0, ""),
        Item("volume", ANONYMOUS, "", 0, ""),
        Item("build cache", "b1", "", 0, ""),
        Item("image", "sha256:i1", "", 0, ""),
        Item("image", "sha256:i2", "", 0, "", ("goharbor/x:v1.0.0",)),
    )

    def test_every_command_names_one_thing_and_forces_nothing(self):
        texts = [prune.removal(item) for item in self.ITEMS]

        assert texts[0] == "docker rm c1"
        assert texts[1] == "docker network rm n1"
        assert texts[2] == f"docker volume rm {ANONYMOUS}"
        assert texts[3].startswith("docker builder prune -f --filter id=b1 | grep -qF b1 || ")
        assert texts[5].endswith("docker image rm goharbor/x:v1.0.0")
        assert not any("system" in text or "--force" in text for text in texts)

    def test_script_reports_each_by_itself(self, tmp_path):
        fake = tmp_path / "docker"
        fake.write_text(
            "#!/bin/sh\ncase \"$*\" in 'rm c1') exit 0;; 'network rm n1') echo in use >&2; exit 1;;"
            "*inspect*RepoTags*) echo now:named;; *) exit 0;; esac\n"
        )
        fake.chmod(0o755)
        script = prune.removal_script(self.ITEMS[:2] + self.ITEMS[4:5])

        done = subprocess.run(
            ["sh", "-c", f"set -eu\nset +e\n{script}"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip

        assert prune.parse_removal(done.stdout) == {0: "", 1: "in use", 2: "refused"}


def test_named_volumes_made_anew_are_others():
    before = prune.parse(facts(Volumes=[volume("certs"), volume(ANONYMOUS)]))
    again = {**volume("certs"), "CreatedAt": "now"}

    assert prune.named_volumes(before) == {"certs": "then /v/certs"}
    assert prune.named_volumes(prune.parse(facts(Volumes=[again]))) != prune.named_volumes(before)


def test_an_engine_that_does_not_answer_is_an_error():
    with pytest.raises(ValueError, match="Expecting value"):
        prune.parse({})


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_human(size, text):
    assert prune.human(size) == text
