"""Paths to functions: `@route("GET", "/projects/{project}")`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lab.release.standin.web import Request, Response

from .errors import ApiError
from .security import Caller

if TYPE_CHECKING:
    from .app import Core

BASE = "/api/v2.0"


@dataclass(frozen=True)
class Call:
    """What an API function gets."""

    core: "Core"
    request: Request
    caller: Caller
    path: dict[str, str]

    def body(self) -> dict[str, Any]:
        """The body, which has to be a JSON object (422 as Harbor's schema check says it)."""
        try:
            value = self.request.json()
        except ValueError as broken:
            raise ApiError(422, f'parsing body body from "" failed, because {broken}') from broken
        if not isinstance(value, dict):
            raise ApiError(422, "body in body is required")
        return value


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Route:
    """One operation; `needs` is a feature of versions.FEATURES."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    needs: str | None


ROUTES: list[Route] = []


def route(method: str, path: str, needs: str | None = None) -> Callable[[Handler], Handler]:
    """Register a function; `{name}` matches one segment of the path."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, handler, needs))
        return handler

    return register


def find(core: "Core", method: str, path: str) -> tuple[Handler, dict[str, str]]:
    """The function for a path below BASE, and its segments; ApiError 404 or 405."""
    matches = list(_matching(core, path))
    for one, segments in matches:
        if one.method == method or (
            one.method == "GET" and method == "HEAD" and not _has_head(matches)
        ):
            return one.handler, segments
    if matches:
        raise ApiError(405, f"method {method} is not allowed")
    raise ApiError(404, f"path {BASE}{path} was not found")


def _matching(core: "Core", path: str) -> Iterator[tuple[Route, dict[str, str]]]:
    for one in ROUTES:
        found = one.pattern.fullmatch(path)
        if found and (one.needs is None or core.release.has(one.needs)):
            yield one, {key: unquote(value) for key, value in found.groupdict().items()}


def _has_head(matches: list[tuple[Route, dict[str, str]]]) -> bool:
    return any(one.method == "HEAD" for one, _ in matches)
