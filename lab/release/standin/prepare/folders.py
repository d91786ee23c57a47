"""Owners and modes of what prepare makes below the data volume."""

import os
import shutil
from pathlib import Path

from .settings import Settings

HARBOR = 10000
DATABASE = 999  # PostgreSQL and Redis


def own(path: Path, uid: int, mode: int) -> None:
    """Give a file or folder its owner and mode."""
    os.chown(path, uid, uid)
    path.chmod(mode)


def write(path: Path, text: str, uid: int, mode: int) -> None:
    """Write a file with its owner and mode, making its folder (root's) first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    own(path, uid, mode)


def prepare_folder(path: Path, uid: int, mode: int) -> None:
    """Make a folder; its content is given the owner too when the top's was wrong."""
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_uid != uid:
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, uid, uid, follow_symlinks=False)
    own(path, uid, mode)


def prepare_data(data: Path, settings: Settings) -> None:
    """The folders of the data volume."""
    for name in ("registry", "ca_download", "job_logs", "stand-in"):
        prepare_folder(data / name, HARBOR, 0o755)
    if not settings.database.external:
        prepare_folder(data / "database", DATABASE, 0o700)
    if not settings.redis.external:
        prepare_folder(data / "redis", DATABASE, 0o755)
    if settings.release.has("scandata-exports"):
        prepare_folder(data / "scandata_exports", HARBOR, 0o755)
    if settings.flags.trivy:
        prepare_folder(data / "trivy-adapter" / "trivy", HARBOR, 0o755)
        prepare_folder(data / "trivy-adapter" / "reports", HARBOR, 0o755)
    if settings.flags.chartmuseum:
        prepare_folder(data / "chart_storage", HARBOR, 0o755)
    (data / "secret").mkdir(parents=True, exist_ok=True)


def copy_certificate(data: Path, settings: Settings, host_root: Path) -> None:
    """Copy Harbor's own TLS pair to secret/cert, removed first as the genuine prepare does."""
    target = data / "secret" / "cert"
    shutil.rmtree(target, ignore_errors=True)
    if settings.https is None:
        return
    prepare_folder(target, HARBOR, 0o755)
    pair = {"server.crt": settings.https.certificate, "server.key": settings.https.private_key}
    for name, source in pair.items():
        shutil.copyfile(host_root / source.lstrip("/"), target / name)
        own(target / name, HARBOR, 0o600)
