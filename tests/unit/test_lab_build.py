"""What the lab's builds may rely on, whoever started them."""

import fcntl
import os

from lab import debian, locks


def test_mmdebstrap_has_all_descriptors_of_one_digit(monkeypatch, tmp_path):
    """Its `cat >&11` is a syntax error to dash."""
    tool = tmp_path / "mmdebstrap"
    tool.write_text('#!/bin/sh\nls /proc/self/fd > "$0.open"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    null = os.open(os.devnull, os.O_RDONLY)
    left_open = [fcntl.fcntl(null, fcntl.F_DUPFD, 3) for _ in range(7)]

    with locks.hold(tmp_path / "lock", 1) as lock:
        debian.bootstrap("bookworm", tmp_path / "new", ["curl"], seconds=10)

    for descriptor in (null, *left_open):
        os.close(descriptor)
    seen = {int(word) for word in (tmp_path / "mmdebstrap.open").read_text().split()}
    assert lock in seen  # a build that outlives us keeps it
    # 3 is the one by which `ls` itself reads the folder.
    assert seen & set(range(3, 10)) <= {3}
