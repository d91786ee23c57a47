"""The lab with real hosts: needs root, and builds its layers first when the cache is cold."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lab import Host, HostSpec, Lab, LabError, cgroups
from lab.paths import PROJECT

pytestmark = pytest.mark.integration

ALIAS = "harbor-cache.example.com"
# Nothing has to be fetched for it.
IMAGE_OF_OWN_FILES = """
mkdir /tmp/image
libraries=$(ldd /usr/bin/bash /usr/bin/getent | grep -o '/lib[^ ]*' | sort -u)
cp --dereference --parents /usr/bin/bash /usr/bin/getent /etc/nsswitch.conf $libraries /tmp/image
tar -C /tmp/image -c . | docker import - own
"""
PAIR = (HostSpec("one", "bookworm", aliases=(ALIAS,)), HostSpec("two", "trixie"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(f"test-{os.getpid()}") as lab:
        lab.up_all(PAIR)
        yield lab


@pytest.fixture
def two(pair: Lab) -> Iterator[Host]:
    """The trixie host of the pair, put right again after the test."""
    host = pair.host("two")
    yield host
    host.link(True)
    host.delay(0)
    host.loss(0)
    if not host.is_on:
        host.power_on()


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab of this test alone that is not up yet."""
    number = request.node.nodeid.encode().hex()[-6:]
    with Lab(f"fresh-{os.getpid()}-{number}") as lab:
        yield lab


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def world(lab: Lab) -> set[str]:
    """What a lab could leave on the machine, line by line, without what other labs have there."""
    lines = [
        *output("ip", "-brief", "link").splitlines(),
        *output("ip", "netns").splitlines(),
        *Path("/proc/self/mounts").read_text().splitlines(),
        *(line for line in output("iptables-save").splitlines() if line.startswith("-A")),
        *(str(path) for at in cgroups.hierarchies() for path in at.iterdir() if path.is_dir()),
        *(str(path) for path in Path("/run/systemd/nspawn").glob("propagate/*")),
        *(str(path) for path in Path("/run/lock").glob("lab-*")),
        *(line for line in output("ps", "-eo", "args").splitlines() if str(lab.folder) in line),
        *map(str, lab.folder.parent.glob(lab.name)),
    ]
    others = re.compile(rf"\b(lb|lv|lab-|labsrv-)(?!{lab.tag})[0-9a-f]{{6}}\b")
    mine = str(lab.folder)
    return {
        line
        for line in lines
        if not others.search(line) and (mine in line or not line.startswith("overlay "))
    }


def ssh(lab: Lab, host: str, command: str, user: str = "deploy") -> str:
    return output(
        "ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", "-l", user, host, command
    )


def round_trip(host: Host) -> float:
    """Milliseconds until a connection is there, the best of five."""
    probe = f"exec 3<>/dev/tcp/{host.address}/22"
    times = []
    for _ in range(5):
        start = time.monotonic()
        output("bash", "-c", probe)
        times.append((time.monotonic() - start) * 1000)
    return min(times)


def reachable(host: Host) -> bool:
    probe = ["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{host.address}/22"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_both_suites_boot_side_by_side(pair: Lab) -> None:
    releases = [host.run(". /etc/os-release; echo $VERSION_CODENAME").stdout for host in pair.hosts]
    assert releases == ["bookworm\n", "trixie\n"]


def test_nothing_failed_to_start(pair: Lab) -> None:
    for host in pair.hosts:
        assert host.run("systemctl --failed --no-legend").stdout == ""


def test_a_base_host_is_bare(pair: Lab) -> None:
    for host in pair.hosts:
        found = host.run("command -v docker python3 curl git direnv", check=False)
        assert found.stdout == ""


def test_hosts_differ_in_identity(pair: Lab) -> None:
    ids = {host.read("/etc/machine-id") for host in pair.hosts}
    keys = {host.read("/etc/ssh/ssh_host_ed25519_key.pub") for host in pair.hosts}
    assert (len(ids), len(keys)) == (2, 2)
    assert [host.read("/etc/hostname").strip() for host in pair.hosts] == ["one", "two"]


def test_names_resolve_everywhere(pair: Lab) -> None:
    one, two = pair.hosts
    for host in (one, two):
        for name, address in ((ALIAS, one.address), ("one", one.address), ("two", two.address)):
            assert host.run(f"getent hosts {name}").stdout.split()[0] == address


def test_the_name_server_knows_them_too(pair: Lab) -> None:
    one, two = pair.hosts
    without_hosts_file = f"mount --bind /dev/null /etc/hosts; getent ahostsv4 {ALIAS}"
    found = two.run(f"unshare --mount bash -euc '{without_hosts_file}'").stdout
    assert found.split()[0] == one.address


def test_an_alias_moves(pair: Lab) -> None:
    one, two = pair.hosts
    pair.alias("moving.example.com", one)
    assert two.run("getent hosts moving.example.com").stdout.split()[0] == one.address
    pair.alias("moving.example.com", two)
    assert one.run("getent hosts moving.example.com").stdout.split()[0] == two.address


def test_ssh_by_name_and_alias_with_strict_host_keys(pair: Lab) -> None:
    assert ssh(pair, "two", "hostname") == "two\n"
    assert ssh(pair, ALIAS, "hostname") == "one\n"
    assert "stricthostkeychecking true" in output("ssh", "-F", str(pair.ssh_config), "-G", "one")


def test_a_wrong_host_key_is_refused(pair: Lab, tmp_path: Path) -> None:
    one, two = pair.known_hosts.read_text().splitlines()
    wrong = tmp_path / "known_hosts"
    wrong.write_text(" ".join([one.split()[0], *two.split()[1:]]) + "\n")
    refused = subprocess.run(
        ["ssh", "-F", str(pair.ssh_config), "-o", f"UserKnownHostsFile={wrong}", "one", "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_accounts(pair: Lab) -> None:
    for host in ("one", "two"):
        assert ssh(pair, host, "sudo -n id -u") == "0\n"
        assert ssh(pair, host, "id -u", "root") == "0\n"
        assert (
            ssh(pair, host, "sudo -n true || echo lab-sudo-password | sudo -S id -u", "careful")
            == "0\n"
        )


def test_run_is_as_asked(two: Host) -> None:
    assert two.run("id -un; pwd", user="careful").stdout == "careful\n/home/careful\n"
    assert two.run("cat", stdin="fed").stdout == "fed"
    assert two.run("exit 7", check=False).returncode == 7
    with pytest.raises(LabError, match="exit 7: broken"):
        two.run("echo broken >&2; exit 7")


def test_write_and_read(two: Host) -> None:
    two.write("/srv/a b/file", "text\n", mode="0600", owner="deploy")
    assert two.read("/srv/a b/file") == "text\n"
    assert two.run("stat -c '%a %U %G' '/srv/a b/file'").stdout == "600 deploy deploy\n"


def test_power_cut_keeps_the_disk_and_ends_the_processes(pair: Lab) -> None:
    one = pair.host("one")
    one.run("echo kept > /var/kept; setsid sleep 1000 > /dev/null 2>&1 & disown")
    one.power_off()
    assert not one.is_on
    assert not reachable(one)
    with pytest.raises(LabError, match="is off"):
        one.run("true")
    one.power_on()
    assert one.read("/var/kept") == "kept\n"
    assert one.run("ps -eo comm").stdout.split().count("sleep") == 0
    assert ssh(pair, "one", "hostname") == "one\n"


def test_a_power_cut_during_a_command(pair: Lab) -> None:
    one = pair.host("one")
    address = one.address
    running = subprocess.Popen(
        [
            "ssh",
            "-F",
            str(pair.ssh_config),
            "-o",
            "ServerAliveInterval=1",
            "-o",
            "ServerAliveCountMax=2",
            "one",
            "echo begun; sleep 1000",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        one.power_off()
        assert running.wait(20) == 255
    one.power_on()
    assert one.address == address


def test_reboot_from_inside(pair: Lab, two: Host) -> None:
    before = two.run("readlink /proc/1/ns/pid").stdout
    two.run("touch /run/volatile; ip link add extra type bridge")
    two.reboot()
    assert two.run("readlink /proc/1/ns/pid").stdout != before
    assert two.run("ls /run/volatile /sys/class/net/extra", check=False).returncode == 2
    assert ssh(pair, "two", "hostname") == "two\n"


def test_poweroff_from_inside(two: Host) -> None:
    two.shutdown()
    assert not two.is_on
    two.power_on()


def test_link_cut(two: Host) -> None:
    two.link(False)
    assert not reachable(two)
    assert two.run("cat /sys/class/net/eth0/carrier").stdout == "0\n"
    two.link(True)
    assert eventually(lambda: reachable(two))


def test_a_cut_link_outlives_the_power(two: Host) -> None:
    two.link(False)
    two.power_off()
    two.power_on(wait=False)
    two.wait_boot()
    assert not reachable(two)
    two.link(True)
    two.wait_ssh()


def test_delay_is_what_was_asked(two: Host) -> None:
    undelayed = round_trip(two)
    two.delay(80)
    assert 80 <= round_trip(two) - undelayed + 5 <= 100
    two.reboot()
    assert round_trip(two) >= 80
    two.delay(0)
    assert round_trip(two) < 40


def test_loss(two: Host) -> None:
    two.loss(100)
    assert not reachable(two)
    two.loss(0)
    assert eventually(lambda: reachable(two))


def test_a_name_is_taken_once(pair: Lab) -> None:
    with pytest.raises(LabError, match="there already: one"):
        pair.up("one")


def test_two_labs_do_not_collide(pair: Lab, fresh: Lab) -> None:
    other = fresh.up("one", "bookworm", aliases=(ALIAS,))
    mine = pair.host("one")
    assert other.address != mine.address
    assert other.run(f"getent hosts {ALIAS}").stdout.split()[0] == other.address
    assert ssh(fresh, "one", "ip -brief address show eth0").split()[2] == f"{other.address}/24"
    before = world(pair)
    fresh.down()
    assert world(pair) == before
    assert ssh(pair, "one", "hostname") == "one\n"


def test_one_host_is_removed(fresh: Lab) -> None:
    _, two = fresh.up_all(PAIR)
    before = world(fresh)
    three = fresh.up("three")
    fresh.remove(three)
    assert world(fresh) == before
    assert two.run("getent ahostsv4 three", check=False).returncode == 2
    assert fresh.up("three").run("hostname").stdout == "three\n"


def test_the_default_lab_has_fixed_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_RUN", str(tmp_path))
    with Lab() as lab:
        lab.up("one")
        fixed = tmp_path / "ssh_config"
        assert output("ssh", "-F", str(fixed), "one", "hostname") == "one\n"
        assert (tmp_path / "known_hosts").read_text() == lab.known_hosts.read_text()
    assert not list(tmp_path.iterdir())


def test_a_zone_is_delegated(fresh: Lab) -> None:
    server, client = fresh.up_all([HostSpec("ns", layer="acme"), HostSpec("client", "trixie")])
    server.write(
        "/etc/bind/named.conf.local",
        'zone "zone.test" { type primary; file "/etc/bind/zone.test"; };',
    )
    server.write(
        "/etc/bind/zone.test",
        "$TTL 1\n@ SOA ns admin 1 60 60 60 1\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.9\n",
    )
    server.run("systemctl start named")
    fresh.delegate("zone.test", server)
    assert client.run("getent ahostsv4 www.zone.test").stdout.split()[0] == "192.0.2.9"


def test_golden_disk(fresh: Lab) -> None:
    original = fresh.up("original", "trixie")
    original.run("echo state > /var/state; echo data > /var/lib/docker/data; rm /etc/issue.net")
    fresh.golden("filled", original)
    copy = fresh.up("copy", golden="filled")
    assert copy.state.suite == "trixie"
    assert copy.run("cat /var/state /var/lib/docker/data").stdout == "state\ndata\n"
    assert copy.run("test -e /etc/issue.net", check=False).returncode == 1
    assert copy.read("/etc/machine-id") != original.read("/etc/machine-id")
    copy.run("echo other > /var/state")
    assert original.read("/var/state") == "state\n"


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_docker_works(fresh: Lab, suite: str) -> None:
    host = fresh.up("docker", suite, "docker")
    host.run("docker info", timeout=60)
    assert host.run("docker info --format '{{.Driver}}'").stdout == "overlay2\n"
    host.run(IMAGE_OF_OWN_FILES)
    inside = f"docker run --rm --privileged own /usr/bin/bash -c 'getent hosts {ALIAS}'"
    fresh.alias(ALIAS, host)
    assert host.run(inside).stdout.split()[0] == host.address


def test_down_leaves_nothing(fresh: Lab) -> None:
    before = world(fresh)
    one, two = fresh.up_all(PAIR)
    two.delay(5)
    one.power_off()
    assert world(fresh) != before
    fresh.down()
    assert world(fresh) == before
    fresh.down()


@pytest.mark.parametrize("after", [0.15, 0.3, 0.45, 0.6, 0.8, 1.1, 1.6])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_down_after_a_killed_up(fresh: Lab, after: float, how: signal.Signals) -> None:
    before = world(fresh)
    up = subprocess.Popen(
        [sys.executable, "-m", "lab", "--name", fresh.name, "up", "one=bookworm", "two=trixie"],
        cwd=PROJECT,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after)  # the moment of the blow is what varies
    up.send_signal(how)
    up.wait(10)
    fresh.down()
    assert world(fresh) == before


def test_up_after_a_killed_up_and_down(fresh: Lab) -> None:
    command = [sys.executable, "-m", "lab", "--name", fresh.name]
    with subprocess.Popen([*command, "up", "one=bookworm"], cwd=PROJECT) as up:
        assert eventually((fresh.folder / "hosts/one/root/etc").is_dir)
        up.kill()
    subprocess.run([*command, "down"], cwd=PROJECT, check=True)
    assert fresh.up("one").run("hostname").stdout == "one\n"


def test_the_command_line(fresh: Lab) -> None:
    lab = partial(output, sys.executable, "-m", "lab", "--name", fresh.name)

    lab("up", f"one=trixie/base,{ALIAS},other.example.com")
    assert lab("ssh", "one", "hostname") == "one\n"
    lab("link", "one", "off")
    lab("delay", "one", "10")
    lab("power", "one", "off")
    known = {
        "name": "one",
        "address": fresh.host("one").address,
        "suite": "trixie",
        "layer": "base",
        "aliases": [ALIAS, "other.example.com"],
        "power": "off",
        "link": "off",
        "delay_ms": 10.0,
        "loss_percent": 0.0,
    }
    assert json.loads(lab("status", "--json")) == [known]
    lab("link", "one", "on")
    lab("power", "one", "on")
    assert "on   link on   delay 10 ms" in lab("status")
    lab("down")
    assert lab("status") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["up", "one=jessie"], "'one=jessie' is not NAME=bookworm|trixie|forky[/LAYER][,ALIAS...]"),
        (["up", "one=trixie/nothing"], "no layer trixie/nothing; known: bookworm/base, "),
        (["up", "One=trixie"], "'One' is no host name"),
        (["power", "nobody", "off"], "no host nobody in the lab"),
    ],
)
def test_mistakes_are_said(fresh: Lab, words: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "--name", fresh.name, *words],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert message in done.stderr
