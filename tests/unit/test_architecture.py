"""Rules of the project that no linter knows."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOUNS = sorted((ROOT / "harbor").rglob("*.py"))
IMPORTS = (ast.Import, ast.ImportFrom)
FORBIDDEN = {"fabric", "invoke", "paramiko", "requests", "socket", "subprocess", "time"}
SOURCES = [*(ROOT / "harbor").rglob("*.py"), *(ROOT / "tasks").rglob("*.py"), ROOT / "fabfile.py"]
SHIPPED = [*(ROOT / "templates").rglob("*"), *(ROOT / "files").rglob("*")]


@pytest.mark.parametrize("path", NOUNS, ids=lambda p: str(p.relative_to(ROOT)))
def test_nouns_reach_no_network(path):
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, IMPORTS)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    }

    assert not names & FORBIDDEN


@pytest.mark.parametrize("path", [*SOURCES, *SHIPPED], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_of_ours_deletes_volumes(path):
    if not path.is_file():
        return
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text())

    assert not re.search(r"""\bdown\b["', ]+(-v\b|--volumes)""", text)
    assert not re.search(r"system prune|volume (rm|prune)", text)


def test_one_place_touches_ssh():
    users = {str(p.relative_to(ROOT)) for p in SOURCES if "import paramiko" in p.read_text()}

    assert users == {"tasks/_connect.py", "tasks/_host.py", "tasks/_tunnel.py"}


def test_one_place_speaks_http():
    allowed = {"tasks/_api.py", "tasks/_release.py"}
    users = {str(p.relative_to(ROOT)) for p in SOURCES if "import requests" in p.read_text()}

    assert users <= allowed


def test_the_schema_for_editors_is_the_present_one():
    from harbor.schema import schema

    assert json.loads((ROOT / "files" / "hosts.schema.json").read_text()) == schema()


def test_no_unfinished_work():
    # Written in two parts, so that this file does not find itself.
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

    for path in [*SOURCES, *(p for p in SHIPPED if p.is_file())]:
        assert not marks.search(path.read_text()), path


def test_listing_the_tasks_loads_nothing_that_a_task_needs():
    code = (
        "import sys; sys.argv = ['fab', '--list']\n"
        "from fabric.main import program\n"
        "program.run(exit=False)\n"
        "heavy = {'pydantic', 'jinja2', 'rich', 'requests', 'ruamel.yaml', 'cryptography.x509'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stderr.splitlines()[-1] == "[]"
