"""Templates to text: `templates/NAME.j2` is rendered, `files/NAME` goes as it is."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from harbor.shell import Secret, quote

ROOT = Path(__file__).resolve().parent.parent


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 -- YAML and shell, never HTML; values go through filters
    )
    environment.filters |= {"yaml": yaml_scalar, "sh": shell_word, "dollar": double_dollar}
    return environment


def render(template: str, **values: object) -> bytes:
    """The template's text. Raises jinja2.UndefinedError for a name that it is not given."""
    return _environment().get_template(template).render(**values).encode()


def shipped(name: str) -> bytes:
    """A file that goes to hosts as it is."""
    return (ROOT / "files" / name).read_bytes()


def yaml_scalar(value: object) -> str:
    """Any plain value as YAML on one line: JSON is YAML, so every character survives."""
    return json.dumps(_plain(value))


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def shell_word(value: object) -> str:
    """A value in single quotes for the shell: `$`, quotes and spaces reach the container as they are."""
    return quote(_plain(value))


def double_dollar(text: str) -> str:
    """`$` doubled, for compose, which would interpolate it."""
    return text.replace("$", "$$")
