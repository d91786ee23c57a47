"""Identity, sudo, the lock and lost connections, on a real host without Harbor."""

import socket
import subprocess
import threading
import time

import pytest

from harbor.changes import Run, WriteFile
from harbor.errors import ConnectError, Locked, RemoteError
from lab import HostSpec
from tasks._connect import Connection, connect_config
from tasks._fleet import holder
from tasks._host import Host
from tests.integration.operator import operator

SUDO_PASSWORD = "lab-sudo-password"


@pytest.fixture(scope="module")
def host(lab):
    return lab.up_all([HostSpec("target"), HostSpec("bastion", suite="trixie")])[0]


@pytest.fixture
def me(host, lab, tmp_path):
    return operator(tmp_path, lab, "target", release={"sha256": "a" * 64}, traefik={})


def reach(lab, user="deploy", known_hosts=None, sudo="", **kwargs):
    import fabric

    base = fabric.Config(overrides={"sudo": {"password": sudo}})
    config = connect_config([lab.ssh_config], base)
    files = (known_hosts or lab.known_hosts,)
    return Host(
        "target", Connection("target", user=user, config=config, known_hosts=files, **kwargs)
    )


@pytest.mark.parametrize("user", ["root", "deploy", "careful"])
def test_facts_are_read_as_root_by_every_kind_of_login(lab, host, user):
    reached = reach(lab, user, sudo=SUDO_PASSWORD if user == "careful" else "")

    assert reached.read({"who": "id -un"})["who"].text == "root"
    assert reached.remote_commands == 1


def test_a_cached_sudo_password_is_not_taken_for_a_command(lab, host):
    reached = reach(lab, "careful", sudo=SUDO_PASSWORD)

    for _ in range(3):
        assert reached.read({"a": "echo a"})["a"].text == "a"


@pytest.mark.parametrize("password", ["", "wrong"])
def test_sudo_that_refuses_is_a_connect_error_with_the_way_out(lab, host, password):
    with pytest.raises(ConnectError, match="sudo refused careful") as error:
        reach(lab, "careful", sudo=password).read({"a": "true"})

    assert "--prompt-for-sudo-password" in error.value.hint


def test_sudo_that_refused_before_it_was_fed_says_so_as_well(lab, host, monkeypatch):
    fed = Host._preamble
    monkeypatch.setattr(Host, "_preamble", lambda reached: time.sleep(1) or fed(reached))

    with pytest.raises(ConnectError, match="sudo refused careful"):
        reach(lab, "careful").read({"a": "true"})


def test_an_unknown_host_key_is_refused_with_its_fingerprint(me, lab, tmp_path):
    offered = subprocess.run(
        ["ssh-keygen", "-lf", lab.known_hosts], capture_output=True, text=True, check=True
    ).stdout
    config = tmp_path / "ssh_config"
    config.write_text(lab.ssh_config.read_text().replace(str(lab.known_hosts), "/dev/null"))
    me.values["ssh"] = {"config": str(config)}

    done = me.fab("preflight", expect=4)

    assert "its host key is not known" in done.text
    shown = next(word for word in done.text.split() if word.startswith("SHA256:"))
    assert shown in offered
    assert "ssh-keyscan" in done.text


def test_a_changed_host_key_is_refused_with_both_fingerprints(me, lab, host, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True
    )
    other = (tmp_path / "other.pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"{host.address} {' '.join(other)}\ntarget {' '.join(other)}\n")
    config = tmp_path / "ssh_config"
    config.write_text(lab.ssh_config.read_text().replace(str(lab.known_hosts), str(known)))
    me.values["ssh"] = {"config": str(config)}

    done = me.fab("preflight", expect=4)

    assert "its host key has CHANGED" in done.text
    assert len({word for word in done.text.split() if word.startswith("SHA256:")}) == 2


def test_a_jump_host_is_checked_too(me, lab, host, tmp_path):
    me.values["hosts"]["target"]["ssh"] = {"jump": "bastion"}
    assert "requirements are met" in me.fab("preflight").text
    kept = [line for line in lab.known_hosts.read_text().splitlines() if "bastion" not in line]
    (tmp_path / "known").write_text("\n".join(kept) + "\n")
    config = tmp_path / "ssh_config"
    config.write_text(
        lab.ssh_config.read_text().replace(str(lab.known_hosts), str(tmp_path / "known"))
    )
    me.values["ssh"] = {"config": str(config)}

    done = me.fab("preflight", expect=4)

    assert "bastion: its host key is not known" in done.text


def test_a_command_that_fails_says_which_and_how(lab, host):
    reached = reach(lab)

    changes = [Run("first", "true"), Run("second", "echo oops; exit 3")]

    with (
        pytest.raises(RemoteError, match=r"second: failed with status 3\n  oops"),
        reached.lock(holder("test"), print),
    ):
        reached.apply(changes, print, print)


def test_a_plan_cannot_write(lab, host):
    reached = Host("target", reach(lab)._connection, read_only=True)

    with pytest.raises(AssertionError):
        reached.apply([Run("x", "touch /root/x")], print, print)
    assert host.run("ls /root/x", check=False).returncode != 0


def test_two_at_once_one_works_the_other_says_who_holds_it(lab, host):
    first, second = reach(lab), reach(lab)

    with first.lock(holder("deploy"), print):
        assert second.lock_holder()["why"] == "deploy"
        with (
            pytest.raises(Locked, match=r"locked by root on .* since 20.*: deploy") as error,
            second.lock(holder("other"), print),
        ):
            pass
    assert error.value.code == 5
    assert second.lock_holder() == {}


def test_requirements_not_met_where_a_run_is_at_work_are_its_doing(me, lab, host):
    me.set(requirements={"cpus": 999})

    with reach(lab).lock(holder("deploy"), print):
        locked = me.fab("deploy", expect=5)
    refused = me.fab("deploy", expect=9)

    assert "target is locked by" in locked.text
    assert "requirements are not met" in refused.text


def test_the_lock_ends_with_its_process(lab, host):
    gone, next_one = reach(lab), reach(lab)
    lock = gone.lock(holder("killed"), print)
    lock.__enter__()
    gone._connection.transport.sock.close()  # as the kernel does for a killed process

    deadline = time.monotonic() + 20
    while next_one.lock_holder() and time.monotonic() < deadline:
        pass
    with next_one.lock(holder("next"), print):
        assert next_one.lock_holder()["why"] == "next"


@pytest.mark.parametrize("waits", [0, 0.05])
def test_a_connection_that_breaks_under_the_lock_is_a_lost_one(lab, host, waits):
    reached = reach(lab)

    def breaks():
        with reached.lock(holder("breaks"), print):
            reached._connection.transport.sock.shutdown(socket.SHUT_RDWR)
            time.sleep(waits)
            reached.apply([Run("one", "true")], print, print)

    with pytest.raises(ConnectError, match="the connection was lost"):
        breaks()


def test_a_command_left_running_is_waited_for(lab, host):
    gone, next_one = reach(lab), reach(lab)
    said = []

    def interrupted():
        with pytest.raises(ConnectError):
            gone.apply([Run("long", "touch /run/began; sleep 4; touch /run/ended")], print, print)

    with next_one.lock(holder("prepares the state folder"), print):
        pass
    thread = threading.Thread(target=interrupted)
    thread.start()
    while host.run("ls /run/began", check=False).returncode:
        pass
    gone._connection.transport.close()
    thread.join()
    with next_one.lock(holder("next"), said.append):
        ended = host.run("ls /run/ended", check=False).returncode

    assert ended == 0
    assert "waiting for its end" in said[0]


def test_a_short_cut_of_the_link_loses_nothing(lab, host):
    reached = reach(lab)
    reached.read({"a": "true"})
    host.link(False)
    timer = threading.Timer(4, lambda: host.link(True))
    timer.start()

    answer = reached.read({"a": "echo back"})

    timer.join()
    assert answer["a"].text == "back"


def test_a_secret_file_is_never_readable_by_others(lab, host):
    reached = reach(lab)
    host.run(
        "(timeout 20 sh -c 'while :; do stat -c %a /srv/.s.new /srv/s 2>/dev/null; done' "
        "> /run/modes 2>/dev/null </dev/null) >/dev/null 2>&1 &"
    )
    with reached.lock(holder("test"), print):
        for number in range(20):
            content = f"secret {number}".encode() * 2000
            reached.apply([WriteFile("s", "/srv/s", content, mode=0o600)], print, print)

    assert set(host.run("cat /run/modes").stdout.split()) <= {"600"}
