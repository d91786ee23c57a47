"""The documentation says what is true now."""

import re
import shlex
from pathlib import Path

import pytest
from invoke.parser import Parser

import fabfile
from harbor import errors
from harbor.reference import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TASKS = sorted(fabfile.namespace.task_names)


def commands(text):
    """The `fab ...` lines of the console blocks, without prompt and comment."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", text, re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("fab ")]


EXAMPLES = [(page, line) for page in PAGES for line in commands(page.read_text())]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_in_the_readme_and_has_help(task):
    assert re.search(rf"^\| `{re.escape(task)}`", README, re.MULTILINE)
    assert fabfile.namespace[task].__doc__


def test_every_documented_task_exists():
    named = set(re.findall(r"(?m)^\| `([a-z][a-z.-]+)` \| (?:harbor|client|both|)\s*\|", README))

    assert named == set(TASKS)


@pytest.mark.parametrize(("page", "line"), EXAMPLES, ids=[f"{p.name}: {x}" for p, x in EXAMPLES])
def test_every_fab_line_parses(page, line):
    words = [word for word in shlex.split(line.split("|")[0].split("&&")[0])[1:] if word != ">"]
    while words and words[0].startswith("-"):
        words = words[1:] if words[0].startswith("--") else words[2:]

    parsed = Parser(contexts=fabfile.namespace.to_contexts()).parse_argv(words)

    assert [context.name for context in parsed] or words == []


def test_every_exit_code_is_in_the_readme():
    codes = {e.code for e in vars(errors).values() if isinstance(e, type) and hasattr(e, "code")}

    documented = {int(code) for code in re.findall(r"(?m)^\| (\d) \|", README)}

    assert documented == codes | {0, errors.CHANGES_PENDING}


def test_the_reference_of_the_settings_is_the_present_one():
    assert (ROOT / "docs" / "settings.md").read_text() == reference() + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_examples_are_valid_inventories(tmp_path):
    from ruamel.yaml import YAML

    from harbor.inventory import parse_inventory
    from harbor.settings import Location, parse_harbor

    for name in ("hosts.yaml", "files/hosts.example.yaml"):
        values = YAML(typ="safe").load(ROOT / name)
        inventory, mistakes = parse_inventory(values, name)
        _, wrong = parse_harbor(inventory.harbor, Location(name, "x", {}))
        assert mistakes + wrong == []
