"""q=, sort= and paging of Harbor's lists."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from lab.release.standin.web import Request, Response

from .errors import ApiError

DEFAULT_SIZE = 10
LARGEST_SIZE = 100
Item = dict[str, Any]


def respond(request: Request, items: Iterable[Item], render: Callable[[Item], Any]) -> Response:
    """One page of the items that `q` wants, with X-Total-Count and Link."""
    chosen = _sorted([item for item in items if _wanted(item, request)], request)
    page, size = _number(request, "page", 1), _number(request, "page_size", DEFAULT_SIZE)
    if size > LARGEST_SIZE:
        raise ApiError(422, f"page_size in query should be less than or equal to {LARGEST_SIZE}")
    start = (page - 1) * size
    body = [render(item) for item in chosen[start : start + size]]
    headers = {"X-Total-Count": str(len(chosen))}
    links = _links(request, page, size, len(chosen))
    if links:
        headers["Link"] = links
    return Response.json(body, headers=headers)


def conditions(request: Request) -> dict[str, str]:
    """The parts of `q`: name -> value, the value with `~` in front when it is fuzzy."""
    parts = filter(None, request.query.get("q", "").split(","))
    pairs = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise ApiError(400, f"invalid query string: {part}")
        pairs[name.strip()] = value.strip()
    return pairs


def _wanted(item: Item, request: Request) -> bool:
    for name, value in conditions(request).items():
        found = _field(item, name)
        if found is None:
            continue
        text = str(found).lower() if isinstance(found, bool) else str(found)
        if value.startswith("~"):
            if value[1:] not in text:
                return False
        elif text != value:
            return False
    return True


def _field(item: Item, name: str) -> Any:
    """The item's field whatever the writing: ProjectID, project_id, Level, level."""
    plain = name.replace("_", "").lower()
    for key, value in item.items():
        if key.replace("_", "").lower() == plain:
            return value
    return None


def _sorted(items: list[Item], request: Request) -> list[Item]:
    for name in reversed([part for part in request.query.get("sort", "").split(",") if part]):
        items.sort(
            key=lambda item: str(_field(item, name.lstrip("-"))), reverse=name.startswith("-")
        )
    return items


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit():
        raise ApiError(422, f'{name} in query must be of type int64: "{text}"')
    return max(int(text), 1)


def _links(request: Request, page: int, size: int, total: int) -> str:
    def link(number: int, relation: str) -> str:
        query = urlencode({**request.query, "page": number, "page_size": size})
        return f'<{request.path}?{query}>; rel="{relation}"'

    links = []
    if page > 1:
        links.append(link(page - 1, "prev"))
    if page * size < total:
        links.append(link(page + 1, "next"))
    return " , ".join(links)
