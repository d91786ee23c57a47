"""Checks of the way in: Traefik, redirects and the addresses that Harbor tells its clients."""

import re

from harbor import paths
from harbor.doctor.model import ERROR, WARNING, Check, Facts, Found
from harbor.settings import Settings
from harbor.shell import command
from harbor.steps import store_restore, traefik

DEPLOY = "fab deploy"
SHORTEST_READ_TIMEOUT = 300


def _curl(settings: Settings, *words: str) -> str:
    harbor = settings.harbor
    here = f"{harbor.url_host}:{harbor.public_https_port}"
    return command(
        "curl", "-sSk", "--max-time", "8", "--noproxy", "*", "--resolve", f"{here}:127.0.0.1",
        *words, f"https://{here}",
    )  # fmt: skip


def _realm_probe(settings: Settings) -> dict[str, str]:
    return {"challenge": f"{_curl(settings, '-D', '-', '-o', '/dev/null')}/v2/"}


def _realm(settings: Settings, facts: Facts) -> Found:
    found = re.search(r'(?im)^www-authenticate:.*realm="([^"]*)"', facts.text("challenge"))
    if not found:
        said = (facts.lines("challenge") or ["no answer"])[0].strip()
        return [
            (ERROR, f"/v2/ sends no challenge, but: {said}", "fab status; fab logs --service core")
        ]
    realm, url = found[1], settings.harbor.url
    if realm.startswith(f"{url}/"):
        return []
    cause = f"clients are sent to {realm} for a token, not to {url}: docker login fails"
    return [
        (ERROR, cause, f"harbor.external_url in the inventory must be what clients use; {DEPLOY}")
    ]


def _forwarded_probe(_: Settings) -> dict[str, str]:
    return {"nginx.conf": f"grep -h -i 'x-forwarded-proto' {paths.CONFIG}/nginx/nginx.conf"}


def _forwarded(settings: Settings, facts: Facts) -> Found:
    """Nginx must hand on what Traefik said: its own scheme is http behind another proxy."""
    wrong = [line for line in facts.lines("nginx.conf") if re.search(r"(?i)proto\s+\$scheme", line)]
    if not (settings.harbor.with_traefik and wrong):
        return []
    cause = (
        "nginx replaces X-Forwarded-Proto by its own scheme, http: uploads are sent to http "
        f"addresses ({paths.CONFIG}/nginx/nginx.conf: {wrong[0].strip()})"
    )
    return [(ERROR, cause, f"{DEPLOY} (writes the file anew)")]


def _loop_probe(settings: Settings) -> dict[str, str]:
    form = "%{http_code} %{num_redirects} %{url_effective}"
    words = ("-L", "--max-redirs", "5", "-o", "/dev/null", "-w", form)
    return {"redirects": f'{_curl(settings, *words)}/; echo " $?"'}


def _loop(settings: Settings, facts: Facts) -> Found:
    words = facts.text("redirects").split()
    if not words or words[-1] != "47":  # curl: too many redirects
        return []
    where = words[2] if len(words) > 3 else settings.harbor.url
    cause = f"{settings.harbor.url}/ is redirected for ever, last to {where}"
    return [(ERROR, cause, f"no `https:` in {paths.HARBOR_YML} when Traefik ends TLS: {DEPLOY}")]


def _https_block_probe(_: Settings) -> dict[str, str]:
    return {"https block": f"grep -n '^https:' {paths.HARBOR_YML}"}


def _https_block(settings: Settings, facts: Facts) -> Found:
    lines = facts.lines("https block")
    if not (settings.harbor.with_traefik and lines):
        return []
    number = lines[0].split(":")[0]
    cause = f"{paths.HARBOR_YML}, line {number}: an https block, though Traefik ends TLS"
    return [(ERROR, cause, f"remove it and run prepare: {DEPLOY}")]


def _traefik_probe(_: Settings) -> dict[str, str]:
    return {
        "traefik": "timeout 20 docker inspect -f '{{.Config.Image}} {{json .Args}}' traefik",
        "engine api": traefik.ENGINE,
    }


def _read_timeout(settings: Settings, facts: Facts) -> Found:
    running = facts.text("traefik")
    if not settings.harbor.with_traefik or not running:
        return []
    found = re.search(r"(?i)respondingtimeouts\.readtimeout=(\d+)", running)
    seconds = int(found[1]) if found else 60
    if seconds == 0 or seconds >= SHORTEST_READ_TIMEOUT:
        return []
    known = "set to" if found else "not set, so"
    cause = f"Traefik's read timeout is {known} {seconds} s: it cuts uploads that take longer"
    return [(WARNING, cause, f"harbor.traefik.read_timeout: 1800 in the inventory; {DEPLOY}")]


def _engine_api(settings: Settings, facts: Facts) -> Found:
    running = facts.text("traefik")
    problem = traefik.engine_problem(running.split(" ")[0], facts.get("engine api"))
    if not (settings.harbor.with_traefik and "providers.docker" in running and problem):
        return []
    return [(ERROR, f"{problem}: no route to Harbor", f"{traefik.NEWER}; {DEPLOY}")]


def _mount_probe(settings: Settings) -> dict[str, str]:
    found = store_restore.probe(settings)
    return {key: found[key] for key in ("folder", "mounted")}


def _mount(settings: Settings, facts: Facts) -> Found:
    if not settings.harbor.with_traefik or not store_restore.detached(facts.answers):
        return []
    cause = "Traefik still has a certificate folder that was deleted: what it writes there is lost"
    return [(ERROR, cause, "fab start (restarts Traefik, which then has the present folder)")]


CHECKS = (
    Check(
        "token realm", "Are clients sent to the right address for a token?", _realm_probe, _realm
    ),
    Check(
        "forwarded scheme",
        "Does Harbor learn that clients use https?",
        _forwarded_probe,
        _forwarded,
    ),
    Check("redirect loop", "Does the front page end somewhere?", _loop_probe, _loop),
    Check(
        "https block",
        "Does only one of Traefik and Harbor end TLS?",
        _https_block_probe,
        _https_block,
    ),
    Check("read timeout", "May an upload take its time?", _traefik_probe, _read_timeout),
    Check("engine API", "Can this Traefik talk to this engine?", _traefik_probe, _engine_api),
    Check(
        "certificate folder", "Does Traefik have the folder that is there?", _mount_probe, _mount
    ),
)
