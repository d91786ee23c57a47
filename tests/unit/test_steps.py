"""Each step: fresh, converged, drifted, interrupted."""

import json
from dataclasses import replace

import pytest

from harbor import compose, paths
from harbor.changes import FetchRelease, Run, SendFile, WriteFile
from harbor.errors import Refused
from harbor.shell import Secret
from harbor.steps import config, docker, environment, release, service, stack, tls, traefik, user
from tests.unit.builders import NOW, failed, file, ok, settings


def whys(changes):
    return [change.why for change in changes]


class TestDocker:
    DAEMON = {
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-file": "3", "max-size": "10m"},
    }

    def facts(self, daemon=None, **changes):
        found = {
            "os": ok("debian bookworm"),
            "tools": ok(),
            "apt": ok("/usr/bin/apt-get"),
            "installed": ok("/usr/sbin/dockerd"),
            "half": ok(),
            "engine": ok("20.10.24"),
            "compose": ok("1.29.2"),
            "enabled": ok("enabled"),
            "active": ok("active"),
            "info": ok("true json-file"),
            "daemon.json": file((json.dumps(daemon or self.DAEMON) + "\n").encode()),
            "loaded": ok(),
        }
        return {**found, **changes}

    def test_fresh(self):
        facts = {
            "os": ok("debian trixie"),
            "tools": ok("curl\ndirenv"),
            "apt": ok(),
            "loaded": ok(),
        }

        changes = docker.plan(settings(), facts)

        assert whys(changes) == [
            "/etc/docker is needed",
            "/etc/docker/daemon.json: is missing",
            "not installed: curl, direnv, docker.io, docker-cli, docker-compose",
            "docker is not enabled",
        ]

    def test_converged(self):
        assert docker.plan(settings(), self.facts()) == []

    def test_an_engine_that_does_not_run_is_started_and_not_installed_over(self):
        facts = self.facts(engine=failed(), active=ok("inactive"))

        assert whys(docker.plan(settings(), facts)) == ["docker is not running"]

    def test_an_engine_that_apt_left_half_installed_is_finished(self):
        facts = self.facts(engine=failed(), active=ok("inactive"), half=ok("docker.io"))

        changes = docker.plan(settings(), facts)

        assert whys(changes)[0] == "installed by half: dpkg --audit"
        assert "install -y" not in changes[0].script

    def test_tools_are_not_installed_without_apt(self):
        with pytest.raises(Refused, match="lacks direnv, and has no apt-get"):
            docker.plan(settings(), self.facts(tools=ok("direnv"), apt=failed()))

    def test_daemon_json_keeps_its_mode(self):
        own = file(b"{}", mode=0o600)

        (change, _) = docker.plan(settings(), self.facts(**{"daemon.json": own}))

        assert change.mode == 0o600

    @pytest.mark.parametrize("content", [b"null", b"[]", b'{"log-opts": null}'])
    def test_a_daemon_json_of_another_form_is_refused(self, content):
        with pytest.raises(Refused, match=r"is no JSON object|has log-opts in another form"):
            docker.plan(settings(), self.facts(**{"daemon.json": file(content)}))

    def test_what_others_wrote_in_daemon_json_stays(self):
        found = {"default-runtime": "own", "log-opts": {"labels": "a"}}

        changes = docker.plan(settings(), self.facts(daemon=found))

        written = json.loads(changes[0].content)
        assert written["default-runtime"] == "own"
        assert written["log-opts"] == {"labels": "a", "max-file": "3", "max-size": "10m"}
        assert "systemctl restart docker" in changes[-1].script

    def test_a_foreign_log_driver_stays(self):
        changes = docker.plan(settings(), self.facts(daemon={"log-driver": "journald"}))

        assert json.loads(changes[0].content) == {"log-driver": "journald", "live-restore": True}

    def test_live_restore_alone_needs_only_a_reload(self):
        found = {**self.DAEMON, "live-restore": False}

        changes = docker.plan(settings(), self.facts(daemon=found, info=ok("false json-file")))

        assert "systemctl reload docker" in changes[-1].script
        assert "restart" not in changes[-1].script

    def test_interrupted_between_file_and_restart(self):
        changes = docker.plan(settings(), self.facts(loaded=failed()))

        assert whys(changes) == ["the engine runs without the present daemon.json: restart it"]

    def test_a_broken_daemon_json_is_not_overwritten(self):
        with pytest.raises(Refused, match=r"daemon\.json on the host is no JSON"):
            docker.plan(settings(), self.facts(**{"daemon.json": file(b"{")}))

    def test_present_means_never_installed_by_us(self):
        with pytest.raises(Refused, match="no engine with compose"):
            docker.plan(settings(docker={"source": "present"}), {"tools": ok()})

    def test_an_unknown_distribution_is_refused_with_the_way_out(self):
        with pytest.raises(Refused, match="no docker packages known for arch") as error:
            docker.plan(settings(), {"os": ok("arch rolling"), "tools": ok()})

        assert "docker.source: present" in error.value.hint

    def test_dockers_own_repository_is_pinned_by_fingerprint(self):
        facts = {"os": ok("debian bookworm"), "tools": ok(), "apt": ok()}

        changes = docker.plan(settings(docker={"source": "docker"}), facts)

        assert any(docker.DOCKER_KEY in c.script for c in changes if isinstance(c, Run))


class TestUser:
    def facts(self, **changes):
        folders = {path: ok(wanted) for path, wanted in user.folders(settings()).items()}
        return {"ids": ok("10000\n10000\nharbor docker"), **folders, **changes}

    def test_fresh(self):
        changes = user.plan(settings(), {})

        assert whys(changes)[0] == "user harbor is missing"
        assert len(changes) == 1 + len(user.folders(settings()))

    def test_converged(self):
        assert user.plan(settings(), self.facts()) == []

    def test_drifted(self):
        facts = self.facts(**{"/data": ok("root:root 700"), "ids": ok("10000\n10000\nharbor")})

        assert whys(user.plan(settings(), facts)) == [
            "user harbor is not in group docker",
            "/data: is root:root 700, not harbor:harbor 755",
        ]


class TestRelease:
    def facts(self, **changes):
        found = {
            "installed": ok("2.15.2"),
            "files": ok(),
            "archive": ok(),
            "images": ok(),
            "leftovers": ok(),
        }
        return {**found, **changes}

    def test_fresh(self):
        changes = release.plan(settings(), {"installed": failed(), "files": failed()})

        assert isinstance(changes[0], FetchRelease)
        assert whys(changes) == [
            "Harbor 2.15.2 is not unpacked",
            "unpack Harbor 2.15.2 into /opt/harbor",
            "load the images of Harbor 2.15.2",
        ]

    def test_converged(self):
        assert release.plan(settings(), self.facts()) == []

    def test_interrupted_before_the_images_were_noted(self):
        changes = release.plan(settings(), self.facts(images=failed()))

        assert whys(changes) == ["not loaded: images of v2.15.2"]

    def test_drifted_by_an_image_prune(self):
        changes = release.plan(settings(), self.facts(images=ok("goharbor/prepare:v2.15.2")))

        assert whys(changes) == ["not loaded: goharbor/prepare:v2.15.2"]

    def test_images_gone_and_no_archive_to_load_from(self):
        facts = self.facts(images=ok("goharbor/prepare:v2.15.2"), archive=failed())

        assert isinstance(release.plan(settings(), facts)[0], FetchRelease)

    def test_another_version_copies_the_database_first(self):
        changes = release.plan(settings(), self.facts(installed=ok("2.14.4")))

        assert whys(changes)[0] == "copy of the database of v2.14.4 before the upgrade"
        assert "/data/backup/database-v2.14.4" in changes[0].script

    def test_only_one_image_archive_stays_in_the_folder(self):
        changes = release.plan(settings(), self.facts(installed=ok("2.14.4")))

        assert "-name 'harbor.v*.tar.gz' -delete" in changes[2].script

    def test_leftovers_are_named_and_removed(self):
        changes = release.plan(settings(), self.facts(leftovers=ok("/opt/harbor/.unpack/harbor")))

        assert whys(changes) == ["left over: /opt/harbor/.unpack/harbor"]


class TestConfig:
    def facts(self, wanted=None, **changes):
        wanted = wanted or settings()
        found = {
            "harbor.yml": file(config.harbor_yml(wanted), "harbor", "harbor", 0o600),
            "stamp": ok(config.inputs_digest(wanted, b"")),
            "altered": ok(),
            "owners": ok("\n".join(f"harbor {path}" for path in config.env_files(wanted))),
            "leftovers": ok(),
        }
        return {**found, **changes}

    def test_fresh_checks_before_prepare_can_wipe(self):
        changes = config.plan(settings(), {})

        assert whys(changes) == [
            "check the new /opt/harbor/harbor.yml before prepare can wipe the old configuration",
            "/opt/harbor/harbor.yml: is missing",
            "prepare has not finished here yet",
        ]

    def test_converged(self):
        assert config.plan(settings(), self.facts()) == []

    def test_the_password_of_a_database_is_never_just_another_one(self):
        facts = self.facts(database=ok("18"))
        other = settings()
        other = replace(other, secrets=replace(other.secrets, database_password=Secret("Another1")))

        with pytest.raises(Refused, match="not the password that Harbor's database has") as error:
            config.plan(other, facts)

        assert "fab rotate database" in error.value.hint
        for changed in ({"rotated": ok()}, {"database": ok()}):
            at_first = {**facts, "rotated": failed(), **changed}
            assert "/opt/harbor/harbor.yml: content differs" in whys(config.plan(other, at_first))

    def test_old_secrets_do_not_show_in_the_diff(self):
        secret = {"driver": "s3", "options": {"bucket": "b", "secretkey": {"env": "S3"}}}
        proxy = {"https_proxy": "http://bob:pass-word@proxy:3128"}
        before = settings({"S3": "old-secret"}, storage=secret, proxy=proxy)
        after = settings(
            {"S3": "new-secret"},
            storage={**secret},
            proxy={**proxy, "http_proxy": "http://bob:pass-word@other"},
        )

        changes = config.plan(after, self.facts(before))

        shown = "".join(c.diff for c in changes if isinstance(c, WriteFile))
        assert "http://bob:***@other" in shown
        assert not [word for word in ("old-secret", "new-secret", "pass-word") if word in shown]

    def test_drifted_owner_alone_needs_no_prepare(self):
        path = f"{paths.CONFIG}/core/env"

        changes = config.plan(settings(), self.facts(owners=ok(f"root {path}")))

        assert whys(changes) == [f"not owned by harbor: {path}"]

    def test_drifted_output_of_prepare(self):
        path = f"{paths.CONFIG}/nginx/nginx.conf"

        changes = config.plan(settings(), self.facts(altered=ok(path)))

        assert whys(changes)[-1] == f"run prepare: changed since its last run: {path}{config.ANEW}"

    def test_interrupted_between_file_and_prepare(self):
        changes = config.plan(
            settings(http_port=8081), self.facts(settings(http_port=8081), stamp=ok("old"))
        )

        assert whys(changes)[-1] == f"run prepare: its inputs changed{config.ANEW}"

    def test_a_leftover_with_passwords_is_removed(self):
        changes = config.plan(settings(), self.facts(leftovers=ok("/opt/harbor/input")))

        assert changes[0].script == "rm -rf /opt/harbor/input"

    def test_the_password_never_shows_in_the_diff(self):
        before = config.harbor_yml(settings()).replace(b"Canary", b"Older")
        facts = self.facts(**{"harbor.yml": file(before, "harbor", "harbor", 0o600)})

        (change,) = (c for c in config.plan(settings(), facts) if isinstance(c, WriteFile))

        assert change.diff == "a secret value differs\n"
        assert "Canary" not in repr(change)

    def test_a_renewed_certificate_runs_prepare_only_where_harbor_ends_tls(self):
        own = settings(tls={"ends_at": "harbor"})

        assert config.inputs_digest(own, b"1") != config.inputs_digest(own, b"2")
        assert config.inputs_digest(settings(), b"1") == config.inputs_digest(settings(), b"2")

    def test_a_certificate_that_will_be_another_runs_prepare_where_harbor_ends_tls(self):
        own = settings(tls={"ends_at": "harbor"})
        pair = own.certificates.issue(tls.names(own))
        facts = self.facts(own, stamp=ok(config.inputs_digest(own, pair.chain)))
        facts[tls.chain_path(own)] = file(pair.chain, "harbor", "harbor", 0o600)
        facts[tls.pair_paths(own)[1]] = file(pair.key.reveal().encode(), "harbor", "harbor", 0o600)

        assert set(tls.pair_paths(own)) < set(config.probe(own))
        assert config.plan(own, facts) == []
        del facts[tls.chain_path(own)]
        assert whys(config.plan(own, facts))[-1] == f"run prepare: its inputs changed{config.ANEW}"

    def test_an_external_database_has_no_env_file_here(self):
        database = {"host": "db", "username": "harbor", "password": {"env": "DB"}}

        assert f"{paths.CONFIG}/db/env" not in config.env_files(
            settings(external_database=database)
        )


class TestTls:
    def facts(self, wanted):
        pair = wanted.certificates.issue(tls.names(wanted))
        own = {
            tls.chain_path(wanted): file(pair.chain, "harbor", "harbor", 0o600),
            f"{tls.folder(wanted)}/key.pem": file(
                pair.key.reveal().encode(), "harbor", "harbor", 0o600
            ),
        }
        others = {
            f.path: file(f.content, f.owner, f.group, f.mode)
            for f in tls._others(wanted, pair.chain)
        }
        return own | others

    def test_fresh(self):
        changes = tls.plan(settings(), {})

        assert [c.path.rpartition("/")[2] for c in changes] == [
            "key.pem",
            "fullchain.pem",
            "ca.crt",
            "tls.yml",
            "mirrors.yml",
        ]
        assert not any("PRIVATE KEY" in c.diff for c in changes)

    def test_converged(self):
        assert tls.plan(settings(), self.facts(settings())) == []

    def test_drifted_by_a_new_name(self):
        changes = tls.plan(
            settings(tls={"extra_names": ["mirror.example.com"]}), self.facts(settings())
        )

        assert [c.path.rpartition("/")[2] for c in changes] == [
            "key.pem",
            "fullchain.pem",
            "tls.yml",  # which makes Traefik look at the two
        ]

    def test_interrupted_between_key_and_certificate(self):
        facts = self.facts(settings())
        other = settings().certificates.issue(["x"])
        facts["/data/certificates/own/key.pem"] = file(
            other.key.reveal().encode(), "harbor", "harbor", 0o600
        )

        assert len(tls.plan(settings(), facts)) == 3

    def test_renewed_before_it_ends(self):
        from datetime import timedelta

        facts = self.facts(settings())
        old = settings()
        later = replace(old, certificates=replace(old.certificates, now=NOW + timedelta(days=380)))

        assert len(tls.plan(later, facts)) == 3

    def test_the_hardened_file_provider_has_its_route_in_the_file(self):
        (written,) = (
            f
            for f in tls._others(settings(traefik={"provider": "file"}), b"")
            if "tls.yml" in f.path
        )

        assert b"Host(`harbor-cache.example.com`)" in written.content


class TestEnvironment:
    def facts(self, wanted):
        found = {
            f.path: file(f.content, f.owner, f.group, f.mode) for f in environment.managed(wanted)
        }
        return {**found, "approved": ok()}

    def test_fresh(self):
        assert whys(environment.plan(settings(), {})) == [
            "/opt/harbor/docker-compose.override.yml: is missing",
            "/opt/harbor/.envrc: is missing",
            "/etc/profile.d/harbor-direnv.sh: is missing",
            "direnv: .envrc is not approved as it is",
        ]

    def test_converged(self):
        assert environment.plan(settings(), self.facts(settings())) == []

    def test_interrupted_before_the_approval(self):
        facts = {**self.facts(settings()), "approved": failed()}

        assert whys(environment.plan(settings(), facts)) == [
            "direnv: .envrc is not approved as it is"
        ]

    def test_the_socket_is_not_mounted_with_the_file_provider(self):
        override = compose.override(settings(traefik={"provider": "file"}))

        assert b"docker.sock" not in override
        assert b"traefik.enable" not in override

    def test_the_override_repeats_the_version_that_compose_1_compares(self):
        assert b"version: '2.3'" in compose.override(settings(version="2.11.2"))
        assert b"version:" not in compose.override(settings(version="2.12.0"))

    def test_no_volume_that_compose_could_delete(self):
        import io

        from ruamel.yaml import YAML

        for provider in ("docker", "file"):
            override = compose.override(settings(traefik={"provider": provider}))
            parsed = YAML(typ="safe").load(io.BytesIO(override))
            mounts = [v for s in parsed["services"].values() for v in s.get("volumes", [])]
            assert "volumes" not in parsed
            assert all(mount.startswith("/") for mount in mounts)


class TestTraefik:
    def test_pulled_where_no_archive_is_given(self):
        (change,) = traefik.plan(settings(), {})

        assert change.script == "docker pull -q traefik:v3.7.15"

    def test_sent_where_one_is(self):
        changes = traefik.plan(settings(traefik={"image_archive": "traefik.tar"}), {})

        assert isinstance(changes[0], SendFile)

    def test_not_needed_where_harbor_ends_tls(self):
        assert traefik.plan(settings(tls={"ends_at": "harbor"}), {}) == []

    def test_refused_where_the_engine_would_not_talk_to_it(self):
        facts = {"image": ok("sha256:1"), "engine api": ok("1.44 29.0.1")}
        old = {"version": "v3.0.4"}

        with pytest.raises(Refused, match=r"API 1.24, engine 29.0.1 wants 1.44"):
            traefik.plan(settings(traefik=old), facts)
        assert traefik.plan(settings(traefik=old | {"provider": "file"}), facts) == []
        assert traefik.plan(settings(), facts) == []


class TestService:
    def facts(self, unit="UnitFileState=enabled\nNeedDaemonReload=no"):
        found = {
            f.path: file(f.content, f.owner, f.group, f.mode) for f in service.managed(settings())
        }
        return {**found, "unit": ok(unit)}

    def test_converged(self):
        assert service.plan(settings(), self.facts()) == []

    def test_interrupted_before_the_reload(self):
        facts = self.facts("UnitFileState=enabled\nNeedDaemonReload=yes")

        assert whys(service.plan(settings(), facts)) == ["systemd has an older harbor.service"]

    def test_drifted(self):
        facts = self.facts("UnitFileState=disabled\nNeedDaemonReload=no")

        assert whys(service.plan(settings(), facts)) == ["harbor.service is not enabled"]


class TestStack:
    def facts(self, containers=None, unit="active", **states):
        rows = []
        for name in settings().harbor.containers:
            state = states.get(name, "running")
            if state == "gone":
                continue
            labels = ("", "e1") if name == "traefik" else ("c1", "")
            rows.append("\t".join([name, name, state, f"{state} (healthy)", *labels, "image"]))
        return {
            "containers": ok("\n".join(rows + (containers or []))),
            "config": ok("c1"),
            "edge": ok("e1"),
            "unit": ok(unit),
        }

    def test_fresh(self):
        (change,) = stack.plan(settings(), {})

        assert change.why.startswith("harbor.service is not active; not there: core, jobservice")

    def test_converged(self):
        assert stack.plan(settings(), self.facts()) == []

    def test_drifted_names_exactly_what_is_down(self):
        (change,) = stack.plan(settings(), self.facts(core="exited", traefik="gone"))

        assert change.why == "not there: traefik; not running: core"

    def test_interrupted_between_prepare_and_recreation(self):
        facts = {**self.facts(), "config": ok("c2")}

        (change,) = stack.plan(settings(), facts)

        assert change.why.startswith("created from an older configuration: core, jobservice, log")
        assert "traefik" not in change.why

    def test_a_changed_override_recreates_only_the_edge(self):
        (change,) = stack.plan(settings(), {**self.facts(), "edge": ok("e2")})

        assert change.why == "created from an older configuration: traefik"

    def test_a_service_no_longer_wanted(self):
        row = "trivy-adapter\ttrivy-adapter\trunning\tUp\tc1\t\timage"

        (change,) = stack.plan(settings(), self.facts([row]))

        assert change.why == "no longer wanted: trivy-adapter"

    def test_the_stopped_unit_is_started(self):
        (change,) = stack.plan(settings(), self.facts(unit="inactive"))

        assert "systemctl start harbor.service" in change.script
