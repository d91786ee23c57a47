"""The installation in git: what is in it, what never is, and what can be undone."""

import os
import subprocess

import pytest

from harbor import history, paths
from harbor.errors import SettingsError
from harbor.steps import history as step
from tests.unit.builders import ADMIN, DATABASE, failed, file, ok, parsed, settings

REMOTE = {"remote": "git@git.example.com:harbor.git", "host_key": "ssh-ed25519 AAAA"}


def facts(wanted, **more):
    found = {one.path: file(one.content, "harbor", "harbor") for one in step.managed(wanted)}
    if wanted.harbor.history.host_key:
        (known,) = [one for one in step.managed(wanted) if one.path == history.KNOWN_HOSTS]
        found[known.path] = file(known.content)
    return {
        **found,
        "changed": ok(),
        "head": ok("abc"),
        "pushed": ok("abc ok"),
        "key": ok(),
        **more,
    }


def whys(wanted, **more):
    return [change.why for change in step.plan(wanted, facts(wanted, **more))]


class TestStep:
    def test_fresh(self):
        assert [change.why for change in step.plan(settings(), {})] == [
            "/opt/harbor/.gitignore: is missing",
            "/opt/harbor/harbor.yml.redacted: is missing",
            "commit the installation",
        ]

    def test_converged(self):
        assert whys(settings()) == []

    def test_drifted(self):
        changed = ok(" M docker-compose.yml\n?? traefik/own.yml")

        assert whys(settings(), changed=changed) == ["commit docker-compose.yml, traefik/own.yml"]

    def test_interrupted_before_the_first_commit(self):
        assert whys(settings(), head=failed()) == ["commit the installation"]

    def test_switched_off(self):
        off = settings(history={"enabled": False})

        assert step.probe(off) == {}
        assert step.plan(off, {}) == []

    def test_pushed(self):
        wanted = settings(history=REMOTE)

        assert whys(wanted) == []
        assert whys(wanted, pushed=ok("older ok")) == ["push to git@git.example.com:harbor.git"]

    def test_failed_push_waits_for_the_next_commit(self):
        assert whys(settings(history=REMOTE), pushed=ok("abc failed\nPermission denied")) == []

    def test_deploy_key_is_made_on_the_host(self):
        first, second = step.plan(
            settings(history=REMOTE), facts(settings(history=REMOTE), key=failed())
        )

        assert "ssh-keygen -q -t ed25519" in first.script
        assert "StrictHostKeyChecking=yes" in second.script

    @pytest.mark.parametrize(
        ("remote", "line"),
        [
            ("git@git.example.com:a/b.git", b"git.example.com ssh-ed25519 AAAA\n"),
            ("ssh://git@git.example.com:2222/b.git", b"[git.example.com]:2222 ssh-ed25519 AAAA\n"),
        ],
    )
    def test_known_host(self, remote, line):
        assert step.known_hosts(settings(history={**REMOTE, "remote": remote})) == line


@pytest.mark.parametrize(
    ("remote", "mistake"),
    [("git@h:a.git", "needs host_key"), ("https://u:pw@h/a.git", "no password in an address")],
)
def test_remote_that_is_refused(remote, mistake):
    assert mistake in parsed(history={"remote": remote})[1][0]


SECRETS = {
    "STORAGE_KEY": "Canary-Storage-1",
    "REDIS_PASSWORD": "Canary-Redis-1",
    "DB_PASSWORD": "Canary-Outer-1",
}


def full_of_secrets():
    return settings(
        SECRETS,
        storage={"driver": "s3", "options": {"secretkey": {"env": "STORAGE_KEY"}, "bucket": "b"}},
        external_redis={"host": "r:6379", "password": {"env": "REDIS_PASSWORD"}},
        external_database={"host": "d", "username": "u", "password": {"env": "DB_PASSWORD"}},
        proxy={"https_proxy": "http://user:Canary-Proxy-1@proxy:3128"},
    )


def test_redacted_copy_holds_no_secret():
    text = history.redacted(full_of_secrets()).decode()

    assert "Canary" not in text
    assert "bucket" in text
    assert ADMIN not in history.redacted(settings()).decode()


def test_files_that_hold_a_secret_are_left_out():
    assert b"registry/config.yml" in history.gitignore(settings())
    for name in (b"!/common/config/registry/config.yml", b"!/common/config/jobservice/config.yml"):
        assert name not in history.gitignore(full_of_secrets())


SHOULD_BE_IN = (
    "docker-compose.yml",
    "traefik/tls.yml",
    "common/config/nginx/nginx.conf",
    ".gitignore",
)
NEVER = (
    "harbor.yml", ".envrc", ".env", "input/harbor.yml", "harbor.v2.15.2.tar.gz", "anything.new",
    "common/config/core/env", "common/config/registry/passwd", "common/config/proxy/key.pem",
    "common/config/shared/trust-certificates/a.crt", "traefik/key.pem", "docker-compose.yml.bak",
    "common/config/db/env", "nested/docker-compose.yml",
)  # fmt: skip


class Repository:
    """A folder that the scripts take for the installation, on this machine."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.setattr(paths, "INSTALL", str(folder))
        monkeypatch.setattr(paths, "CONFIG", f"{folder}/common/config")
        monkeypatch.setattr(paths, "ENVRC", f"{folder}/.envrc")
        monkeypatch.setattr(paths, "LOCK_HOLDER", f"{folder}/input/lock.json")
        monkeypatch.setattr(history, "PUSHED", f"{folder}/input/pushed")
        # Without root there is no other user to be: the words after `runuser -u X --` remain.
        monkeypatch.setattr(history, "as_user", lambda _user, *argv: history.command(*argv))
        monkeypatch.setattr(paths, "USER", "root")
        bin_folder = folder / "input" / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "docker").write_text("#!/bin/sh\necho 20.10.24\n")
        (bin_folder / "docker").chmod(0o755)
        self.path = f"{bin_folder}:/usr/bin:/bin"
        self.write("input/lock.json", '{"who": "ana", "from": "laptop", "why": "deploy"}')

    def write(self, name, text="x\n"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, script):
        return subprocess.run(
            ["sh", "-euc", script], env={"PATH": self.path, "HOME": str(self.folder)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def commit(self, wanted=None):
        wanted = wanted or settings()
        self.write(".gitignore", history.gitignore(wanted).decode())
        return self.run(history.commit_script(wanted))

    def git(self, *words):
        return self.run(history.git(*words)).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    made = Repository(tmp_path, monkeypatch)
    for name in (*SHOULD_BE_IN, *NEVER):
        made.write(name)
    made.write("common/config/core/env", "CORE_SECRET=Generated-Secret-1\nLOG_LEVEL=info\n")
    made.write(".envrc", "export AWS_SECRET_ACCESS_KEY='Canary-Aws-0001'\n")
    return made


def test_what_is_committed_and_what_never(repository):
    assert repository.commit().returncode == 0

    assert set(SHOULD_BE_IN) == set(repository.git("ls-files").split())


def test_locks_of_an_interrupted_run_are_in_nobodys_way(repository):
    repository.commit()
    repository.write(".git/index.lock", "")
    os.utime(repository.folder / ".git/index.lock", (0, 0))
    repository.write("docker-compose.yml", "changed\n")

    assert repository.commit().returncode == 0
    assert len(repository.git("log", "--format=%h").split()) == 2


def test_operator_reason_and_versions(repository):
    repository.commit()

    (commit,) = history.commits(ok(repository.run(history.log_script(5)).stdout.rstrip("\n")))
    assert (commit.who, commit.subject) == ("ana", "deploy by ana on laptop")
    assert commit.harbor == "2.15.2"
    assert "Traefik: v3.7.15\nEngine: 20.10.24" in repository.git("log", "--format=%B")


def test_nothing_new_is_no_commit(repository):
    repository.commit()
    repository.commit()

    assert len(repository.git("log", "--format=%h").split()) == 1


@pytest.mark.parametrize(
    "leak",
    [ADMIN, DATABASE, "Generated-Secret-1", "Canary-Aws-0001", "-----BEGIN PRIVATE KEY-----"],
)
def test_a_secret_is_not_committed(repository, leak):
    repository.commit()
    repository.write("docker-compose.yml", f"services: {{x: {leak}}}\n")

    done = repository.commit()

    assert done.returncode == 1
    assert "a secret is in what would be committed" in done.stderr
    assert leak not in done.stdout + done.stderr
    assert leak not in repository.git("log", "-p", "--all")


def test_push_to_a_remote(repository, tmp_path_factory):
    remote = tmp_path_factory.mktemp("remote") / "h.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", remote], check=True)
    wanted = settings(history={"remote": str(remote)})
    repository.commit(wanted)

    assert repository.run(history.push_script(wanted)).returncode == 0

    pushed = (repository.folder / "input/pushed").read_text()
    assert history.push_failure(ok(pushed)) == ""
    assert subprocess.run(["git", "-C", remote, "log", "--format=%s"], capture_output=True,
                          text=True, check=True).stdout == "deploy by ana on laptop\n"  # fmt: skip


def test_push_that_fails_is_noted_and_no_error(repository):
    wanted = settings(history={"remote": "/nowhere/h.git"})
    repository.commit(wanted)

    assert repository.run(history.push_script(wanted)).returncode == 0

    pushed = (repository.folder / "input/pushed").read_text()
    assert "/nowhere/h.git" in history.push_failure(ok(pushed))


@pytest.mark.parametrize("text", ["HEAD", "HEAD~2", "abc1", "a" * 40])
def test_revision(text):
    assert history.revision(text) == text


@pytest.mark.parametrize("text", ["", "main", "HEAD; rm", "-x", "abc", "HEAD^{tree}"])
def test_no_revision(text):
    with pytest.raises(SettingsError, match="is no revision"):
        history.revision(text)


def test_rollback_across_releases():
    assert history.rollback_problem("2.15.2", "2.15.2") == ""
    assert (
        history.rollback_problem("2.15.2", "2.14.4") == "Harbor was 2.14.4 then and is 2.15.2 now"
    )
    assert "does not say" in history.rollback_problem("2.15.2", "")


def test_push_failure():
    assert history.push_failure(failed()) == ""
    assert history.push_failure(ok("abc failed")) == "no reason given"
