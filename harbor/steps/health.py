"""Harbor says that it is healthy, every container does, and clients are answered over TLS."""

import json
from collections.abc import Iterable, Mapping

from harbor.settings import Settings
from harbor.shell import NOT_READ, Output, command
from harbor.steps import stack, tls

HEALTH = "/api/v2.0/health"
TRAEFIKS_LAST = "docker logs --since 20s traefik 2>&1 | tail -n 200"
CURL = ("curl", "-sS", "--max-time", "5", "--noproxy", "*")


def probe(settings: Settings) -> dict[str, str]:
    harbor = settings.harbor
    url = f"https://{harbor.url_host}:{harbor.public_https_port}{HEALTH}"
    here = ["--resolve", f"{harbor.url_host}:{harbor.public_https_port}:127.0.0.1"]
    trust = ["--cacert", tls.ca_path(settings)] if settings.certificates.trust else []
    body = (
        [f"http://127.0.0.1:{harbor.http_port}{HEALTH}"]
        if harbor.with_traefik
        else [*here, *trust, url]
    )
    return {
        "containers": stack.probe(settings)["containers"],
        "body": command(*CURL, *body),
        "clients": command(*CURL, *here, *trust, "-o", "/dev/null", "-w", "%{http_code}", url)
        + " 2>&1",
    }


def problems(settings: Settings, facts: Mapping[str, Output]) -> dict[str, str]:
    """Component -> what is wrong with it; empty when Harbor is healthy.

    The answer's HTTP status says nothing: Harbor answers 200 when it is unhealthy
    (src/server/v2.0/handler/health.go, 2.4 to 2.15).
    """
    found = {c.service: c for c in stack.containers(facts)}
    wrong = {
        service: f"{found[service].state}: {found[service].status}"
        if service in found
        else "no container"
        for service in settings.harbor.containers
        if service not in found or not found[service].healthy
    }
    wrong |= _harbors_own(facts.get("body", NOT_READ))
    clients = facts.get("clients", NOT_READ).text
    if clients != "200":
        wrong["https"] = f"{settings.harbor.url} answers {clients or 'nothing'}"
    return wrong


def _harbors_own(body: Output) -> dict[str, str]:
    try:
        answer = json.loads(body.text)
        components = {c["name"]: c for c in answer["components"]}
    except (ValueError, KeyError, TypeError):
        return {"api": "no answer yet"}
    wrong = {
        name: component.get("error") or component.get("status", "unknown")
        for name, component in components.items()
        if component.get("status") != "healthy"
    }
    if answer.get("status") != "healthy" and not wrong:
        wrong["harbor"] = str(answer.get("status"))
    return wrong


def services(settings: Settings, wrong: Iterable[str]) -> list[str]:
    """The services whose log may say why these are wrong, none twice."""
    edge = "traefik" if settings.harbor.with_traefik else "proxy"
    others = {"database": "postgresql", "api": "core", "harbor": "core", "https": edge}
    return list(dict.fromkeys(others.get(name, name) for name in wrong))


def last_words(settings: Settings, services: list[str], lines: int = 15) -> dict[str, str]:
    """Snippets: the last log lines of these services, by the service's name.

    Harbor's services log by syslog into files; docker keeps a copy only on newer engines.
    """
    containers = settings.harbor.containers
    location = settings.harbor.log.location
    return {
        service: f"tail -n {lines} {location}/{service}.log || "
        f"docker logs --tail {lines} {containers[service]} 2>&1"
        for service in services
        if service in containers
    }
