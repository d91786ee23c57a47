"""The change that undoes itself, run for real by sh in a folder of its own."""

import os
import subprocess

import pytest

from harbor.clients import journal
from harbor.clients.journal import Journal
from harbor.clients.part import Part
from harbor.errors import Refused
from harbor.files import ManagedFile
from harbor.files import probe as probe_file
from harbor.shell import apply_script, facts_script, parse_facts

OWNER = os.environ.get("USER") or "root"


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A folder that plays the client; the journal lies in it as well."""
    monkeypatch.setattr(journal, "CLIENTS", str(tmp_path / "state" / "clients"))
    (tmp_path / "etc").mkdir()
    return Client(tmp_path)


class Client:
    def __init__(self, folder):
        self.folder = folder
        self.old, self.new = folder / "etc" / "old.conf", folder / "etc" / "a" / "b" / "new.conf"
        self.reloads = folder / "reloads"

    def part(self, **more):
        uid = OWNER
        files = (
            ManagedFile(str(self.old), b"ours\n", uid, uid),
            ManagedFile(str(self.new), b"new\n", uid, uid, 0o600),
        )
        return Part("docker", files, reload=f"echo x >> {self.reloads}", reload_why="again", **more)

    def plan(self, part):
        facts = self.read({f.path: probe_file(f.path) for f in part.files})
        return journal.plan("use", part, facts, self.journal())

    def journal(self):
        return journal.parse(self.read({"j": journal.probe("use", "docker")})["j"])

    def read(self, snippets):
        done = subprocess.run(
            ["sh"], input=facts_script(snippets), capture_output=True, text=True, check=True
        )
        return parse_facts(done.stdout)

    def apply(self, script):
        text = apply_script([script], str(self.folder / "lock"), 1)
        # A session of its own: a test kills it as a power failure would.
        return subprocess.run(
            ["sh"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    def look(self):
        paths = sorted(p for p in (self.folder / "etc").rglob("*"))
        return [(str(p), p.stat().st_mode, p.read_bytes() if p.is_file() else b"") for p in paths]


def test_done_and_undone_to_the_byte_and_the_second(client):
    client.old.write_bytes(b"theirs\n")
    client.old.chmod(0o640)
    os.utime(client.old, (1_000_000_000, 1_000_000_000))
    before = client.look()

    pending = client.plan(client.part())
    client.apply(pending.change.script)

    assert (client.old.read_bytes(), client.new.read_bytes()) == (b"ours\n", b"new\n")
    assert client.plan(client.part()) is None
    assert client.journal() == Journal((str(client.new), str(client.old)), (), interrupted=False)
    undo = journal.undo("use", "docker", "", client.journal())
    client.apply(undo.script)
    assert client.look() == before
    assert client.old.stat().st_mtime == 1_000_000_000
    assert client.journal().empty
    assert not (client.folder / "state" / "clients").exists()


@pytest.mark.parametrize("stage", ["check", "confirm", "test"])
def test_what_fails_leaves_everything_as_it_was_and_reloads(client, stage):
    client.old.write_bytes(b"theirs\n")
    before = client.look()

    done = client.apply(client.plan(client.part(**{stage: "false"})).change.script)

    assert "@failed 0 1" in done.stdout
    assert "undone" in done.stderr
    assert client.look() == before
    assert client.journal().empty
    assert client.reloads.read_text().endswith("x\n")


def test_a_later_change_that_fails_goes_back_to_ours_and_undo_to_theirs(client):
    client.old.write_bytes(b"theirs\n")
    client.apply(client.plan(client.part()).change.script)
    changed = Part(
        "docker", (ManagedFile(str(client.old), b"second\n", OWNER, OWNER),), test="false"
    )

    client.apply(client.plan(changed).change.script)

    assert client.old.read_bytes() == b"ours\n"
    assert client.new.read_bytes() == b"new\n"
    client.apply(journal.undo("use", "docker", "", client.journal()).script)
    assert client.old.read_bytes() == b"theirs\n"
    assert not client.new.exists()


def test_a_file_that_is_no_longer_wanted_goes_back_to_what_it_was(client):
    client.old.write_bytes(b"theirs\n")
    client.apply(client.plan(client.part()).change.script)
    fewer = Part("docker", (ManagedFile(str(client.new), b"new\n", OWNER, OWNER, 0o600),))

    pending = client.plan(fewer)
    client.apply(pending.change.script)

    assert pending.reasons == (f"{client.old}: no longer wanted",)
    assert client.old.read_bytes() == b"theirs\n"
    assert client.journal().paths == (str(client.new),)


def test_a_run_that_was_cut_off_is_finished_or_undone(client):
    client.old.write_bytes(b"theirs\n")
    script = client.plan(client.part(test="kill -9 0")).change.script
    client.apply(script)
    assert client.journal().interrupted
    assert client.old.read_bytes() == b"ours\n"

    pending = client.plan(client.part())
    assert pending.reasons[0] == "an earlier run was cut off: finish it"
    client.apply(pending.change.script)

    assert not client.journal().interrupted
    client.apply(journal.undo("use", "docker", "", client.journal()).script)
    assert client.old.read_bytes() == b"theirs\n"


def test_a_file_that_somebody_changed_since_is_not_overwritten(client):
    client.apply(client.plan(client.part()).change.script)
    client.old.write_bytes(b"their later change\n")

    found = client.journal()

    assert found.altered == (str(client.old),)
    with pytest.raises(Refused, match="changed by somebody else since"):
        journal.undo("use", "docker", "", found)
    assert journal.undo("use", "docker", "", found, force=True) is not None


def test_a_file_that_was_right_before_is_not_ours_to_take_away(client):
    client.old.write_bytes(b"ours\n")
    client.old.chmod(0o644)
    client.apply(client.plan(client.part()).change.script)

    assert client.journal().paths == (str(client.new),)
