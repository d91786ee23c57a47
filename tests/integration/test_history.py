"""The installation's git history on a host: commits, canaries, diff, push, rollback."""

import pytest

from tests.integration.operator import CANARIES

pytestmark = pytest.mark.integration

GIT = "runuser -u harbor -- git -C /opt/harbor"


def head(site):
    return site.run(f"{GIT} rev-parse --short HEAD").strip()


def test_each_deploy_that_changes_something_is_a_commit(site):
    before = head(site)
    site.me.set(max_job_workers=7)

    site.me.fab("deploy")
    commits = site.json("history")["details"]["commits"]

    assert commits[1]["revision"].startswith(before)
    assert commits[0]["subject"].startswith("deploy by ")
    assert commits[0]["harbor"] == "2.15.2"
    changed = site.run(f"{GIT} show --stat --format= HEAD")
    assert "harbor.yml.redacted" in changed
    assert "common/config/jobservice/config.yml" in changed
    site.me.fab("deploy")
    assert head(site) == commits[0]["revision"][:7]


def test_no_secret_in_the_whole_history(site):
    """The canaries, everything that prepare generated, and private keys, in every object."""
    generated = site.run(
        "sed -n 's/^[A-Z_]*\\(SECRET\\|PASSWORD\\|KEY\\)=//p' /opt/harbor/common/config/*/env | sort -u"
    )
    secrets = {*CANARIES.values(), *generated.split()}
    objects = site.run(
        f"{GIT} cat-file --batch-all-objects --batch-check='%(objectname)' | "
        f"{GIT} cat-file --batch --buffer | tr -cd '\\11\\12\\40-\\176'"
    )

    assert len(secrets) > 4
    assert "harbor_admin_password: ***" in objects
    assert not [secret for secret in secrets if len(secret) > 7 and secret in objects]
    assert "PRIVATE KEY" not in objects


def test_what_was_changed_by_hand(site):
    site.run("echo '# by hand' >> /opt/harbor/docker-compose.override.yml")

    done = site.me.fab("diff")

    assert "+# by hand" in done.text
    assert "changed by hand since" in site.me.fab("history").text
    site.me.fab("deploy")
    assert "no difference" in site.me.fab("diff").text


def test_unknown_revision(site):
    assert "no commit abcdef12" in site.me.fab("diff", "--since", "abcdef12", expect=3).text
    assert "is no revision" in site.me.fab("rollback", "main", expect=3).text


def test_rollback(site):
    """The files of an earlier commit, containers made from them, and a commit that says so."""
    earlier = head(site)
    site.me.set(
        traefik={**site.me.values["harbor"]["traefik"], "log_level": "INFO", "read_timeout": 900}
    )
    site.me.fab("deploy")
    assert "readtimeout=900s" in site.run("docker inspect -f '{{.Args}}' traefik")
    store = site.store()

    asked = site.me.fab("rollback", earlier, expect=9)
    done = site.me.fab("rollback", earlier, "--yes")

    assert "Nobody can be asked" in asked.text
    assert "passwords, keys and env files" in done.text
    assert "readtimeout=1800s" in site.run("docker inspect -f '{{.Args}}' traefik")
    assert f"rollback to {earlier}" in site.me.fab("history", "--count", "1").text
    assert site.is_healthy()
    assert site.store() == store
    site.me.fab("plan", expect=2)  # the inventory still says 900
    site.me.fab("deploy")
    assert "readtimeout=900s" in site.run("docker inspect -f '{{.Args}}' traefik")


def test_rollback_across_releases_is_refused(site):
    message = "deploy by x on y\n\nHarbor: 2.14.4\nTraefik: v3.7.15\nEngine: 1"
    site.run(f"{GIT} -c user.name=x -c user.email=x@y commit -q --allow-empty -m '{message}'")
    old = head(site)

    done = site.me.fab("rollback", old, "--yes", expect=9)

    assert "Harbor was 2.14.4 then and is 2.15.2 now" in done.text


def test_push(site):
    """Over ssh to a git account on the same host, with a key that was made there."""
    site.run("id git >/dev/null 2>&1 || useradd -m -s /bin/bash git")
    site.run("runuser -u git -- git init -q --bare -b main /home/git/harbor.git")
    key = " ".join(site.run("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    history = {"remote": "git@127.0.0.1:harbor.git", "host_key": key}
    site.me.set(history=history, max_job_workers=5)

    refused = site.me.fab("deploy")

    assert "warning: the history was not pushed" in refused.text
    assert "this host's deploy key: ssh-ed25519" in refused.text
    assert "no changes" in site.me.fab("plan").text

    site.run(
        "install -d -m 0700 -o git -g git /home/git/.ssh; "
        "install -m 0600 -o git -g git /home/harbor/.ssh/history.pub /home/git/.ssh/authorized_keys"
    )
    site.me.set(max_job_workers=6)
    assert "not pushed" not in site.me.fab("deploy").text
    pushed = site.run("runuser -u git -- git -C /home/git/harbor.git log -1 --format=%h")
    assert pushed.strip().startswith(head(site))

    site.me.set(history=None, max_job_workers=None)
    site.me.fab("deploy")
