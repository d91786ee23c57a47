"""`migrate`: a harbor.yml of an older version becomes one of this version.

As in the genuine command the file is written from scratch: comments and unknown keys are gone,
and a missing `_version` breaks it (KeyError).
"""

import argparse
import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab.release.standin.versions import Release

from .settings import load

KNOWN = (
    "hostname",
    "http",
    "https",
    "ip_family",
    "internal_tls",
    "external_url",
    "harbor_admin_password",
    "database",
    "data_volume",
    "storage_service",
    "trivy",
    "jobservice",
    "notification",
    "log",
    "_version",
    "external_database",
    "redis",
    "external_redis",
    "uaa",
    "proxy",
    "metric",
    "trace",
    "upload_purging",
    "cache",
    "core",
)
FEATURE_OF = {
    "ip_family": "ip-family",
    "redis": "redis-section",
    "upload_purging": "upload-purging",
    "cache": "cache-section",
    "core": "quota-provider",
}


def run(host: Path, chosen: argparse.Namespace, release: Release) -> int:
    """Read --input below /hostfs, write --output (default: the same file)."""
    source = host / chosen.input.lstrip("/")
    target = host / (chosen.output or chosen.input).lstrip("/")
    document = load(source)
    wanted = chosen.target or release.minor
    if document["_version"] == wanted:
        print(f"Version of harbor.yml is identical to target {wanted}, no need to migrate")
        return 0
    target.write_text(_text(upgrade(dict(document), Release.parse(wanted))))
    print(f"Written to {target}")
    return 0


def upgrade(document: dict[str, Any], release: Release) -> dict[str, Any]:
    """The document with the keys that `release` wants, in its template's order."""
    known = [key for key in KNOWN if key not in FEATURE_OF or release.has(FEATURE_OF[key])]
    result = {key: document[key] for key in known if key in document}
    jobservice = result["jobservice"] = dict(result.get("jobservice") or {"max_job_workers": 10})
    notification = result["notification"] = dict(
        result.get("notification") or {"webhook_job_max_retry": 3}
    )
    if release.has("job-loggers"):
        jobservice.setdefault("job_loggers", ["STD_OUTPUT", "FILE"])
    if release.has("logger-sweeper"):
        jobservice.setdefault("logger_sweeper_duration", 1)
    if release.has("webhook-timeout"):
        notification.setdefault("webhook_job_http_client_timeout", 3)
    result["_version"] = release.minor
    return result


def _text(document: dict[str, Any]) -> str:
    out = io.StringIO()
    out.write("# Written by the stand-in's migrate\n")
    writer = YAML()
    writer.default_flow_style = False
    writer.dump(document, out)
    return out.getvalue()
