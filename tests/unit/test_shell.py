import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harbor.shell import (
    Output,
    Secret,
    apply_script,
    command,
    facts_script,
    mask,
    parse_facts,
    write_file,
)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """As on a host: the whole script is read first, then run by a POSIX shell."""
    return subprocess.run(
        ["sh", "-c", 'eval "$(cat)"'], input=script, capture_output=True, text=True, check=False
    )


def test_facts_come_back_as_they_were_printed():
    answers = parse_facts(
        run(facts_script({"a": "printf 'x\\ty\\n\\nz'", "b": "exit 3", "c\x1fd": "echo é"})).stdout
    )

    assert answers == {"a": Output(0, "x\ty\n\nz"), "b": Output(3, ""), "c\x1fd": Output(0, "é")}


def test_a_snippet_cannot_end_the_others():
    answers = parse_facts(
        run(facts_script({"a": "exit 1", "b": "cd /tmp; pwd", "c": "pwd"})).stdout
    )

    assert answers["b"].text == "/tmp"
    assert answers["c"].text != "/tmp"


def test_apply_stops_at_the_first_failure(tmp_path):
    lock = str(tmp_path / "lock")
    done = run(apply_script(["true", "echo said; false; echo never", "true"], lock, 1))

    assert done.stdout.splitlines() == ["@done 0", "@failed 1 1"]
    assert done.stderr == "said\n"


def test_errexit_holds_inside_a_change(tmp_path):
    done = run(apply_script([f"false\ntouch {tmp_path}/touched"], str(tmp_path / "lock"), 1))

    assert "@failed 0" in done.stdout
    assert not (tmp_path / "touched").exists()


def test_a_script_that_was_cut_off_does_nothing(tmp_path):
    script = apply_script([f"touch {tmp_path}/touched", "true"], str(tmp_path / "lock"), 1)

    for length in range(0, len(script) - 1, 7):
        run(script[:length])

    assert not (tmp_path / "touched").exists()


def test_a_second_apply_waits_for_the_first(tmp_path):
    lock = tmp_path / "lock"
    holder = subprocess.Popen(["flock", str(lock), "sleep", "30"])
    try:
        while subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode == 0:
            pass
        done = run(apply_script(["true"], str(lock), 0))
    finally:
        holder.kill()
        holder.wait()

    assert done.returncode == 75
    assert done.stdout == ""


def test_a_file_is_written_in_one_step_with_its_mode(tmp_path):
    target = tmp_path / "it's a file"
    content = bytes(range(256)) * 20
    owner = target.parent.owner()
    group = target.parent.group()

    done = run(write_file(str(target), content, owner, group, 0o640))

    assert (done.returncode, done.stderr) == (0, "")
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o7777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20), min_size=1
    )
)
def test_every_word_survives_the_shell(words):
    words = [word.replace("\r", "") for word in words]
    script = command("printf", "%s\\0", *words)

    output = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout

    assert output.decode().split("\0")[:-1] == words


@pytest.mark.parametrize("text", ["a Canary-long and a Canary", "Canary-long"])
def test_mask_takes_the_longest_first(text):
    assert "Canary" not in mask(text, [Secret("Canary"), Secret("Canary-long"), Secret("")])


def test_the_wrapper_refuses_to_delete_volumes():
    wrapper = Path(__file__).parents[2] / "files" / "harbor-compose"
    # Its folder does not exist here: a call that gets past the check ends with another error.
    text = wrapper.read_text().replace("cd /opt/harbor", "cd /").replace("runuser", "echo passed")

    def call(*words: str) -> int:
        return subprocess.run(
            ["sh", "-c", text, "sh", *words], capture_output=True, check=False
        ).returncode

    refused = [("down", "-v"), ("down", "--volumes"), ("down", "-t", "5", "-v"), ("down", "-tv")]
    allowed = [("down",), ("up", "-d"), ("down", "--remove-orphans"), ("logs", "-v")]

    assert [call(*words) for words in refused] == [2, 2, 2, 2]
    assert [call(*words) for words in allowed] == [0, 0, 0, 0]
