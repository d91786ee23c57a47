"""The stand-in's registryctl: deletes blobs and manifests from the registry's storage.

Harbor's garbage collection asks it to, since a registry's own API cannot delete blobs.  The
storage is the one of /etc/registry/config.yml; only the file system driver is supported.
"""

import os
import re
import shutil
from pathlib import Path

from . import web

STORAGE = Path("/storage/docker/registry/v2")
BLOB = re.compile(r"/api/registry/blob/(sha256):([0-9a-f]{64})")
MANIFEST = re.compile(r"/api/registry/(.+)/manifests/(sha256):([0-9a-f]{64})")


def answer(request: web.Request) -> web.Response:
    """Health, and deletion for whoever knows JOBSERVICE_SECRET."""
    if request.path == "/api/health":
        return web.Response.json("healthy")
    if request.headers.get("Authorization") != f"Harbor-Secret {os.environ['JOBSERVICE_SECRET']}":
        return web.Response.json({"errors": [{"code": "UNAUTHORIZED", "message": ""}]}, 401)
    if request.method == "DELETE":
        if match := BLOB.fullmatch(request.path):
            return _delete(STORAGE / "blobs" / match[1] / match[2][:2] / match[2])
        if match := MANIFEST.fullmatch(request.path):
            folder = STORAGE / "repositories" / match[1] / "_manifests" / "revisions"
            return _delete(folder / match[2] / match[3])
    return web.Response.json({"errors": [{"code": "NOT_FOUND", "message": request.path}]}, 404)


def _delete(folder: Path) -> web.Response:
    if ".." in folder.parts or not folder.is_dir():
        return web.Response.json({"errors": [{"code": "NOT_FOUND", "message": str(folder)}]}, 404)
    shutil.rmtree(folder)
    return web.Response()


if __name__ == "__main__":
    web.serve(answer, 8080, quiet=["/api/health"])
