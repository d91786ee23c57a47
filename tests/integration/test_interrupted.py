"""A deploy that dies at any point: the next one converges, and nothing is lost or left readable.

The host starts bare but for Docker; every case interrupts a deploy that goes a bit further than
the one before, so that all of them together cost little more than one deploy.
"""

import itertools
import random
import time

import pytest

from lab import Lab
from tests.integration.conftest import HARBOR_NAME
from tests.integration.operator import CANARIES, operator

SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def site(request, releases, tmp_path_factory):
    with Lab(f"it-interrupted-{request.param}") as lab:
        host = lab.up("target", suite=request.param, layer="docker", aliases=(HARBOR_NAME,))
        yield host, operator(tmp_path_factory.mktemp("me"), lab, "target")


def after(me, changes, pattern=r" \+ "):
    """A running deploy that has just made so many changes, or None when it ended before."""
    started = me.start("deploy")
    if started.says(pattern, changes):
        return started.process
    assert started.process.returncode == 0, started.text
    return None


def kill(process, host):
    process.kill()


def power_cut(process, host):
    host.power_off()
    process.kill()
    host.power_on()


def link_cut(process, host):
    """Longer than the 60 s after which a connection counts as lost would take a test too long."""
    host.link(False)
    process.kill()
    host.link(True)


def nothing_half_written(host):
    """No secret where others read it, and every file of ours either whole or not there."""
    readable = host.run(
        "find /opt /etc /var/lib /data /home /tmp /run -xdev -type f -perm -o=r -size -4M -print0 "
        "2>/dev/null | xargs -0 -r grep -ls Canary- || :"
    ).stdout.split()
    reached = [
        path
        for path in readable
        if host.run(f"runuser -u nobody -- cat {path}", check=False).returncode == 0
    ]
    assert reached == []
    broken = host.run(
        "cd /opt/harbor 2>/dev/null && for f in harbor.yml .envrc docker-compose.override.yml; do "
        '[ ! -e "$f" ] || [ -s "$f" ] || echo "$f"; done; :'
    ).stdout
    assert broken == ""


def test_a_deploy_interrupted_again_and_again_converges_in_the_end(site):
    """Each run gets one change or two further, and dies somewhere in the next."""
    host, me = site
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    interrupts = itertools.cycle([kill, power_cut, kill, link_cut])
    # Two now and then: what must be whole, such as prepare behind its check, is whole then.
    further = itertools.cycle([1, 1, 2])
    count = 0
    while process := after(me, changes=next(further)):
        time.sleep(chance.uniform(0, 1))
        next(interrupts)(process, host)
        process.wait()
        nothing_half_written(host)
        count += 1

    assert count >= 8
    assert me.fab("plan").changes == []


def test_a_change_interrupted_at_random_moments_converges(site):
    host, me = site
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    marker = host.run("echo kept > /data/registry/marker; cat /data/secret/keys/secretkey").stdout
    for number in range(4):
        me.set(log={"level": ["debug", "info", "warning", "debug"][number]})
        process = me.start("deploy").process
        time.sleep(chance.uniform(0.8, 9))
        chance.choice([kill, power_cut, link_cut])(process, host)
        process.wait()
        nothing_half_written(host)

    me.fab("deploy")

    assert me.fab("plan").changes == []
    assert host.run("cat /data/registry/marker").stdout == "kept\n"
    assert host.run("cat /data/secret/keys/secretkey").stdout == marker
    assert not any(canary in host.run("journalctl -q").stdout for canary in CANARIES.values())


def test_a_deploy_while_the_host_still_starts_harbor_after_a_power_cut(site):
    host, me = site
    dropin = "/etc/systemd/system/harbor.service.d/slow.conf"
    host.write(dropin, "[Service]\nExecStartPost=/bin/sleep 10\n")
    host.power_off()
    host.power_on()
    host.run(
        "until systemctl show -P SubState harbor.service | grep -q start-post; do sleep 0.1; done"
    )
    me.set(log={"level": "warning"})

    me.fab("deploy")

    assert me.fab("plan").changes == []
    host.run(f"rm {dropin}; systemctl daemon-reload")


# As compose leaves it that dies between making a container's successor and giving it its name.
CUT_OFF = """
docker inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{println}}{{end}}' registryctl > /run/labels
docker create --label-file /run/labels --name "$(docker inspect -f '{{slice .Id 0 12}}' registryctl)_registryctl" \\
    "$(docker inspect -f '{{.Config.Image}}' registryctl)"
"""


def test_a_recreation_that_was_cut_off_is_cleared_away(site):
    host, me = site
    me.fab("deploy")
    host.run(CUT_OFF)
    plan = me.fab("plan", expect=2)
    me.set(log={"level": "error"})

    me.fab("deploy")

    assert "left by a recreation that was cut off: " in plan.text
    assert "_registryctl" not in host.run("docker ps -a --format '{{.Names}}'").stdout
    assert me.fab("plan").changes == []


def test_two_deploys_at_once(site):
    _, me = site
    me.set(log={"level": "info"})
    first = after(me, changes=1, pattern=r"\+ config")

    second = me.fab("deploy", expect=5)

    first.wait()
    assert "locked by" in second.text
    assert ": deploy" in second.text
    assert first.returncode == 0
    assert me.fab("plan").changes == []
