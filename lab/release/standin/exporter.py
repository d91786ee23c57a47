"""The stand-in's exporter: Harbor's health as a Prometheus metric."""

import json
import os
import urllib.request

from . import web


def answer(request: web.Request) -> web.Response:
    """The metrics on the path that harbor.yml names."""
    if request.path != os.environ["HARBOR_EXPORTER_METRICS_PATH"]:
        return web.Response.text("stand-in exporter\n")
    return web.Response.text(_metrics())


def _metrics() -> str:
    core = f"http://{os.environ['HARBOR_SERVICE_HOST']}:{os.environ['HARBOR_SERVICE_PORT']}"
    with urllib.request.urlopen(f"{core}/api/v2.0/health", timeout=10) as answered:
        health = json.load(answered)
    lines = [
        "# HELP harbor_up Whether a component is healthy",
        "# TYPE harbor_up gauge",
        f"harbor_health {int(health['status'] == 'healthy')}",
    ]
    for component in health["components"]:
        up = int(component["status"] == "healthy")
        lines.append(f'harbor_up{{component="{component["name"]}"}} {up}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    web.serve(answer, 9090, quiet=["/"])
