"""One host of a lab: run commands in it, cut its power, pull its cable."""

import shlex
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from lab import cable, cgroups, disk, locks, naming, network, nspawn, shell, state, waiting
from lab.errors import LabError
from lab.paths import PROJECT
from lab.state import HostState

BOOT_SECONDS = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    """A host that `Lab.up` made.  All state is in its folder: any process may hold one."""

    def __init__(self, folder: Path) -> None:
        """Refer to the host in `folder`; LabError if there is none."""
        self.folder = folder
        self.tag = naming.tag(folder.parent.parent)
        self.name = state.load(folder).name
        self.group = naming.guest(self.tag, self.name)

    @property
    def state(self) -> HostState:
        """Suite, layer, aliases and cable as last asked for."""
        return state.load(self.folder)

    @property
    def address(self) -> str:
        """The host's IPv4 address, the same for its whole life."""
        return network.host_address(self.tag, self.state.number)

    @property
    def root(self) -> Path:
        """The host's root folder as seen from outside, readable with the power off too."""
        return self.folder / "root"

    @property
    def is_on(self) -> bool:
        """Whether the host has power (it may still be booting)."""
        return bool(cgroups.processes(self.group))

    def run(
        self,
        script: str,
        *,
        check: bool = True,
        stdin: str | None = None,
        user: str = "root",
        timeout: float | None = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a bash script inside, past the network, with a login's environment.

        LabError when it fails and `check` is set, when it outlives `timeout` seconds, or when
        the host is off.  A power cut during the run ends it with exit code -9 or 137.
        """
        argv = [*self._inside(user), "bash", "-c", script]
        done = shell.attempt(argv, stdin=stdin, timeout=timeout)
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise LabError(f"{self.name}: {script[:200]}: exit {done.returncode}: {said}")
        return done

    def read(self, path: str) -> str:
        """The text of a file inside."""
        return self.run(f"cat -- {shlex.quote(path)}").stdout

    def write(self, path: str, text: str, *, mode: str = "0644", owner: str = "root") -> None:
        """Create or replace a file inside, with its folders; the group is the owner's."""
        quoted = shlex.quote(path)
        group = f'"$(id -gn {shlex.quote(owner)})"'
        self.run(
            f"install -D -m {mode} -o {shlex.quote(owner)} -g {group} /dev/stdin {quoted}",
            stdin=text,
        )

    def power_on(self, *, wait: bool = True) -> None:
        """Boot with the same disks; with `wait`, return when ssh lets people in."""
        if self.is_on:
            raise LabError(f"{self.name} is on already")
        with self._using() as lock:
            self.boot(lock)
        if wait:
            self.wait_ssh()

    def boot(self, lock: int) -> None:
        """Start the host for a caller that holds `lock` on the lab; does not wait."""
        self._clear()
        disk.mount(self.folder, self.state)
        cgroups.daemon(
            f"{self.group}/supervisor",
            [
                "env",
                f"PYTHONPATH={PROJECT}",
                sys.executable,
                "-m",
                "lab.supervisor",
                str(self.folder),
            ],
            self.folder / "console.log",
            lock,
        )

    def power_off(self) -> None:
        """Cut the power: every process inside is gone at once, nothing is told before."""
        cgroups.kill(self.group)
        self._clear()

    def shutdown(self, seconds: float = 90) -> None:
        """Have the host power itself off in good order, then wait for it."""
        self.run("systemctl poweroff", check=False)
        waiting.until(lambda: not self._machine(), seconds, f"{self.name} to shut down")
        self.power_off()

    def reboot(self, seconds: float = BOOT_SECONDS) -> None:
        """Reboot from inside and wait until ssh lets people in again."""
        before = self._init()
        self.run("systemctl reboot", check=False)
        waiting.until(lambda: self._init() not in {None, before}, seconds, f"{self.name} to reboot")
        self.wait_ssh(seconds)

    def link(self, linked: bool) -> None:
        """Plug the network cable in (True) or pull it (False); survives reboots."""
        self._recable(linked=linked)

    def delay(self, milliseconds: float) -> None:
        """Delay every arriving packet, which adds as much to each round trip; 0 ends it."""
        self._recable(delay_ms=float(milliseconds))

    def loss(self, percent: float) -> None:
        """Lose that share of arriving packets at random; 0 ends it."""
        self._recable(loss_percent=float(percent))

    def wait_boot(self, seconds: float = BOOT_SECONDS) -> None:
        """Return when the host lets people log in, reachable or not; LabError after `seconds`."""
        waiting.until(self._is_booted, seconds, f"{self.name} to boot, see {self.folder}")

    def wait_ssh(self, seconds: float = BOOT_SECONDS) -> None:
        """Return when sshd answers and logins are allowed; LabError after `seconds`."""
        waiting.until(self._admits, seconds, f"{self.name} to admit ssh, see {self.folder}")

    def _recable(self, **values: object) -> None:
        with self._using():
            changed = state.change(self.folder, **values)
            if self.is_on:
                cable.apply(self.tag, self.folder, changed)

    def _using(self) -> AbstractContextManager[int]:
        """Keep the lab from being taken down meanwhile."""
        return locks.hold(locks.of_lab(self.tag), 60, shared=True)

    def _inside(self, user: str) -> list[str]:
        init = self._init()
        if init is None:
            raise LabError(f"{self.name} is off")
        home = "/root" if user == "root" else f"/home/{user}"
        return [
            "nsenter",
            f"--target={init}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--",
            "env",
            "-i",
            f"--chdir={home}",
            f"HOME={home}",
            f"USER={user}",
            f"LOGNAME={user}",
            f"PATH={PATH}",
            "LANG=C.UTF-8",
            "SHELL=/bin/bash",
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--init-groups",
            "--",
        ]

    def _machine(self) -> set[int]:
        return cgroups.processes(f"{self.group}/machine")

    def _init(self) -> int | None:
        """The guest's PID 1 as numbered outside: it alone is 1 in a namespace one level down."""
        for pid in self._machine():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if ids[2:] == ["1"]:
                return pid
        return None

    def _is_booted(self) -> bool:
        """Whether systemd-user-sessions has run, seen by what it leaves (systemd 252 and 257)."""
        try:
            return (
                self.run("systemctl is-active systemd-user-sessions.service", check=False).stdout
                == "active\n"
            )
        except LabError:
            return False

    def _admits(self) -> bool:
        """Whether sshd answers and no pam_nologin(8) turns people away."""
        init = self._init()
        if init is None or Path(f"/proc/{init}/root/run/nologin").exists():
            return False
        return self._greets()

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _clear(self) -> None:
        """Remove what a host without power leaves in the kernel."""
        cgroups.kill(self.group)
        network.unplug(self.tag, self.name, self.state.number)
        nspawn.forget(self.group, self.root)
