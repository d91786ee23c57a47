"""Checks of the cache itself, asked of Harbor's API on the host: upstreams, types, clean-up."""

import json
import re
from typing import Any

from harbor.configuration import catalogue
from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.settings import Settings
from harbor.shell import command, quote
from harbor.steps import tls

LOW_BUDGET_PERCENT = 20
HUB_LOGIN = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:ratelimitpreview/test:pull"
HUB_PROBE = "https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest"


def api(settings: Settings, path: str) -> str:
    """Snippet: GET with the admin's login, the body and below it the status. No argument is secret."""
    harbor = settings.harbor
    words = ["curl", "-sS", "--max-time", "10", "--noproxy", "*", "-w", "\n%{http_code}", "-K", "-"]
    base = f"http://127.0.0.1:{harbor.http_port}"
    if not harbor.with_traefik:
        here = f"{harbor.url_host}:{harbor.public_https_port}"
        base = f"https://{here}"
        words += ["--resolve", f"{here}:127.0.0.1"]
        words += ["--cacert", tls.ca_path(settings)] if settings.certificates.trust else []
    login = f'user = "admin:{settings.secrets.admin_password.reveal()}"'
    return f"{command(*words, f'{base}/api/v2.0{path}')} <<'@login'\n{login}\n@login"


def answer(facts: Facts, key: str) -> tuple[int, Any]:
    """Status and parsed body; 0 and nothing where there was no answer."""
    body, _, code = facts.get(key).text.rpartition("\n")
    try:
        return int(code or 0), json.loads(body or "null")
    except ValueError:
        return (int(code) if code.isdecimal() else 0), None


def _login_probe(settings: Settings) -> dict[str, str]:
    return {"api user": api(settings, "/users/current")}


def _login(_: Settings, facts: Facts) -> Found:
    code, _body = answer(facts, "api user")
    if code != 401:
        return []
    cause = "Harbor refuses the admin password of .env: it counts only at the very first start"
    return [(ERROR, cause, "put Harbor's present one in HARBOR_ADMIN_PASSWORD, or change it there")]


def _objects_probe(settings: Settings) -> dict[str, str]:
    return {
        "api registries": api(settings, "/registries?page_size=100"),
        "api projects": api(settings, "/projects?page_size=100"),
    }


def _registries(facts: Facts) -> list[dict[str, Any]]:
    code, body = answer(facts, "api registries")
    return body if code == 200 and isinstance(body, list) else []


def _proxied(facts: Facts) -> dict[int, list[str]]:
    """Registry id -> the projects that proxy it."""
    code, body = answer(facts, "api projects")
    found: dict[int, list[str]] = {}
    for project in body if code == 200 and isinstance(body, list) else []:
        if project.get("registry_id"):
            found.setdefault(int(project["registry_id"]), []).append(str(project["name"]))
    return found


def _types(settings: Settings, facts: Facts) -> Found:
    version = settings.harbor.release_version
    proxied = _proxied(facts)
    found = []
    for one in _registries(facts):
        if one["id"] not in proxied or catalogue.proxied(str(one["type"]), version):
            continue
        cause = (
            f"registry {one['name']} has type {one['type']}, which Harbor {version} does not take "
            f"for a new proxy project ({', '.join(proxied[one['id']])} goes on for now)"
        )
        cure = "a new registry of type docker-registry and a new project on it: fab configure"
        found.append((WARNING, cause, cure))
    return found


def _upstream_probe(settings: Settings) -> dict[str, str]:
    reach = command("curl", "-sSk", "-o", "/dev/null", "--max-time", "6", "-w", "%{http_code}")
    proxies = [settings.harbor.proxy.https_proxy or settings.harbor.proxy.http_proxy]
    through = f"https_proxy={quote(proxies[0])} " if proxies[0] else ""
    return {
        **_objects_probe(settings),
        "reached": f"r=$({api(settings, '/registries?page_size=100')}\n)\n"
        'printf \'%s\' "$r" | grep -o \'"url": *"[^"]*"\' | sed \'s/.*"\\(http[^"]*\\)"/\\1/\' | '
        f'sort -u | while IFS= read -r u; do echo "$({through}{reach} "$u/v2/") $u"; done',
    }


def _upstream(_: Settings, facts: Facts) -> Found:
    reached = dict(line.split(" ", 1)[::-1] for line in facts.lines("reached"))
    found = []
    for one in _registries(facts):
        name, url = one["name"], str(one["url"])
        if reached.get(url) == "000":
            cause = f"the host cannot reach {url} (registry {name}): only what is cached is served"
            found.append(
                (ERROR, cause, f"curl -v {url}/v2/ on the host: name, route, firewall, proxy")
            )
        elif one.get("status") == "unhealthy":
            cause = (
                f"Harbor calls registry {name} ({url}) unhealthy, and serves only what is cached"
            )
            found.append(
                (WARNING, cause, "fab logs --service core --grep registry; its credentials")
            )
    return found


def _collection_probe(settings: Settings) -> dict[str, str]:
    return {**_objects_probe(settings), "api gc": api(settings, "/system/gc/schedule")}


def _collection(_: Settings, facts: Facts) -> Found:
    """Retention, which every proxy project has from the start, frees no byte by itself."""
    code, body = answer(facts, "api gc")
    projects = sorted(name for names in _proxied(facts).values() for name in names)
    schedule = (body or {}).get("schedule") or {}
    if code != 200 or not projects or schedule.get("type") not in (None, "", "None", "Manual"):
        return []
    cause = f"retention without garbage collection: what {', '.join(projects)} let go stays on disk"
    return [(WARNING, cause, "garbage_collection in the inventory; fab configure")]


def _budget_probe(settings: Settings) -> dict[str, str]:
    """A HEAD request, which Docker Hub does not count, only where Docker Hub is an upstream."""
    curl = command("curl", "-sS", "--max-time", "8")
    return {
        "budget": f"r=$({api(settings, '/registries?page_size=100')}\n)\n"
        "printf '%s' \"$r\" | grep -qE 'docker\\.(io|com)' || exit 0\n"
        f't=$({curl} {quote(HUB_LOGIN)} | sed -n \'s/.*"token": *"\\([^"]*\\)".*/\\1/p\')\n'
        f'printf \'header = "Authorization: Bearer %s"\\n\' "$t" | {curl} -I -K - {quote(HUB_PROBE)}'
    }


def _budget(_: Settings, facts: Facts) -> Found:
    numbers = {
        name.lower(): int(value)
        for name, value in re.findall(
            r"(?im)^ratelimit-(limit|remaining): *(\d+)", facts.text("budget")
        )
    }
    limit, left = numbers.get("limit", 0), numbers.get("remaining", 0)
    if not limit or left * 100 // limit >= LOW_BUDGET_PERCENT:
        return []
    severity = WARNING if left else ERROR
    cause = (
        f"Docker Hub lets this host's address pull {left} of {limit} more manifests in this period"
    )
    return [(severity, cause, "wait, or give the Docker Hub registry an account (credentials)")]


def budget_words(facts: Facts) -> str:
    """The budget for people, whether it is low or not; empty where it is not known."""
    found = re.findall(r"(?im)^ratelimit-(?:limit|remaining): *(\d+)", facts.text("budget"))
    return f"Docker Hub budget: {found[1]} of {found[0]}" if len(found) == 2 else ""


CHECKS = (
    Check("admin password", "Does Harbor accept the password of .env?", _login_probe, _login),
    Check("registry types", "Does this release allow the types in use?", _objects_probe, _types),
    Check("upstreams", "Can the host reach every upstream?", _upstream_probe, _upstream),
    Check(
        "garbage collection", "Is what retention lets go removed?", _collection_probe, _collection
    ),
    Check("Docker Hub budget", "How many pulls are left?", _budget_probe, _budget),
)
