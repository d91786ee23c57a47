"""The files under common/config: what is in them, who owns them, with which mode."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import folders
from .secret import REGISTRY_USER, Rotating
from .settings import Settings, no_proxy

TEMPLATES = Path(__file__).parent / "templates"
ROOT = 0


@dataclass(frozen=True)
class File:
    """One file below common/config; `template` is rendered, or `text` taken as it is."""

    path: str
    uid: int
    mode: int
    template: str = ""
    text: str = ""


def files(settings: Settings, rotating: Rotating) -> list[File]:
    """All files of this configuration."""
    nginx = "nginx-https.conf" if settings.https else "nginx-http.conf"
    found = [
        _env("core"),
        _env("jobservice"),
        _env("registryctl"),
        _config("core/app.conf"),
        _config("jobservice/config.yml"),
        _config("log/logrotate.conf"),
        _config("log/rsyslog_docker.conf"),
        _config("nginx/nginx.conf", nginx),
        _config("portal/nginx.conf", "portal.conf"),
        _config("registry/config.yml"),
        _config("registryctl/config.yml"),
        File("registry/passwd", ROOT, 0o644, text=rotating.registry_passwd),
    ]
    if not settings.database.external:
        found.append(_env("db"))
    if settings.flags.trivy:
        found.append(_env("trivy-adapter"))
    if settings.metric:
        found.append(_env("exporter"))
    return found


def write_all(config: Path, settings: Settings, rotating: Rotating) -> None:
    """Render every file into `config` (common/config)."""
    values = context(settings, rotating)
    for folder in ("nginx/conf.d", "core/certificates"):
        (config / folder).mkdir(parents=True, exist_ok=True)
    for file in files(settings, rotating):
        text = render(file.template, values) if file.template else file.text
        folders.write(config / file.path, text, file.uid, file.mode)
        print(f"Generated configuration file: /config/{file.path}")


def render(template: str, values: dict[str, Any]) -> str:
    """One template with its values; an unknown name in it is an error."""
    return _environment().get_template(f"{template}.jinja").render(values)


def context(settings: Settings, rotating: Rotating) -> dict[str, Any]:
    """What the templates may use."""
    release = settings.release
    return {
        "s": settings,
        "secret": rotating,
        "registry_user": REGISTRY_USER,
        "has": release.has,
        "proxied": _proxied(settings),
        "proxy_types": ",".join(release.proxy_types),
        "adapters": ",".join(release.adapters) if release.has("adapter-whitelist") else "",
        "storage": _storage(settings),
        "redirect_disabled": _redirect_disabled(settings),
    }


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _env(component: str) -> File:
    return File(f"{component}/env", ROOT, 0o640, f"{component}.env")


def _config(path: str, template: str = "") -> File:
    return File(path, folders.HARBOR, 0o640, template or path.replace("/", "-"))


def _proxied(settings: Settings) -> dict[str, dict[str, str]]:
    """The outbound proxy's variables of each component; empty where it is not to be used."""
    variables = {
        "HTTP_PROXY": str(settings.proxy.get("http_proxy") or ""),
        "HTTPS_PROXY": str(settings.proxy.get("https_proxy") or ""),
        "NO_PROXY": no_proxy(settings),
    }
    if not any(settings.proxy.get(key) for key in ("http_proxy", "https_proxy")):
        return {"core": {}, "jobservice": {}, "trivy": {}}
    return {
        name: variables if name in settings.proxy_components else {}
        for name in ("core", "jobservice", "trivy")
    }


def _storage(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The registry's storage driver and its parameters."""
    for kind, parameters in settings.storage.items():
        if kind != "redirect":
            found = dict(parameters or {})
            if kind == "filesystem":
                found.setdefault("rootdirectory", "/storage")
            if kind == "gcs" and found.get("keyfile"):
                found["keyfile"] = "/etc/registry/gcs.key"
            return kind, found
    return "filesystem", {"maxthreads": 100, "rootdirectory": "/storage"}


def _redirect_disabled(settings: Settings) -> bool:
    key = "disable" if settings.release.has("redirect-disable") else "disabled"
    return bool((settings.storage.get("redirect") or {}).get(key))
