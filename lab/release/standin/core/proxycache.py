"""Pull through: /v2/ of a project that is bound to an upstream registry.

The order of questions, the fall-backs and the windows are Harbor's; how long a window is stands
in configuration.Windows.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab.release.standin.web import Response

from . import registry
from .client import Answer, Unreachable
from .database import Row
from .errors import ApiError
from .local import Manifest, digest_of
from .redisclient import RedisError
from .registry import V2Call
from .upstream import MANIFEST_TYPES, Upstream

if TYPE_CHECKING:
    from .app import Core

INDEX_SECONDS = 7 * 24 * 3600
INDEX_DEADLINE = 400
TAG_DEADLINE = 600
POLL = 0.1


class _UpstreamFailed(Exception):
    """The upstream gave no useful answer; the local copy may do."""


class ProxyCache:
    """The proxy cache of all proxy projects."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._guard = threading.Lock()
        self._running: set[tuple[str, ...]] = set()
        self._upstream_use: dict[str, int] = {}

    def answer(self, call: V2Call) -> Response:
        """One request below /v2/<proxy project>/."""
        if call.request.method not in ("GET", "HEAD"):
            raise ApiError(
                403, f"can not push artifact to a proxy project: {call.project['name']}", "DENIED"
            )
        upstream = self._core.registry_row(call.project["registry_id"])
        redirect = self._library_redirect(call, upstream)
        if redirect:
            return redirect
        if upstream["status"] != "healthy":
            return registry.local(call)
        if call.kind == "manifests":
            return self._manifest(call, upstream)
        if call.kind == "blobs" and call.request.method == "GET":
            return self._blob(call, upstream)
        if call.kind == "tags":
            return self._tags(call, upstream)
        return registry.local(call)

    def _library_redirect(self, call: V2Call, upstream: Row) -> Response | None:
        """Docker Hub's official images: /v2/p/nginx/... is answered with /v2/p/library/nginx/..."""
        if upstream["type"] != "docker-hub" or "/" in call.remote:
            return None
        if not self._core.release.has("library-redirect"):
            return None
        path = f"/v2/{call.project['name']}/library/{call.remote}/{call.kind}/{call.reference}"
        query = f"?{call.request.raw_query}" if call.request.raw_query else ""
        return Response(301, b"", {"Location": path + query})

    # manifests

    def _manifest(self, call: V2Call, upstream: Row) -> Response:
        try:
            with self._slot(call):
                return self._proxied_manifest(call, Upstream(upstream, self._core.switches))
        except (_UpstreamFailed, Unreachable) as failed:
            print(
                f"failed to proxy manifest, fallback to local, request uri: "
                f"{call.request.path}: {failed}",
                flush=True,
            )
            return registry.local(call)

    def _proxied_manifest(self, call: V2Call, upstream: Upstream) -> Response:
        artifact = self._core.index.artifact(call.repository, call.reference)
        if artifact and call.tag is None:
            return registry.local(call)
        digest = self._remote_digest(call, upstream, artifact)
        if digest is None:
            return registry.local(call)
        kept = self._kept_index(call.repository, digest)
        if kept:
            self._background_tag(call, digest)
            return _send(kept)
        if artifact and artifact["digest"] == digest:
            return registry.local(call)
        if call.request.method == "HEAD":
            self._background_tag(call, digest)
            return self._head(call, upstream)
        return self._fetch(call, upstream)

    def _remote_digest(self, call: V2Call, upstream: Upstream, artifact: Row | None) -> str | None:
        """What the reference is upstream now; None: use the local copy."""
        answered = _ask(upstream, "HEAD", call)
        answered.close()
        if answered.status == 200:
            digest = answered.headers.get("Docker-Content-Digest")
            return digest or call.reference
        if answered.status == 404:
            if artifact and self._serves_when_gone(call.project):
                return None
            raise ApiError(404, f"repo {call.remote}, tag {call.reference} not found")
        if answered.status == 429 and not artifact and self._core.release.passes_429:
            raise ApiError(429, "too many requests to the upstream registry")
        raise _UpstreamFailed(f"HEAD of {call.remote}:{call.reference}: {answered.status}")

    def _serves_when_gone(self, project: Row) -> bool:
        return (
            self._core.release.has("local-on-not-found")
            and project["metadata"].get("proxy_cache_local_on_not_found") == "true"
        )

    def _head(self, call: V2Call, upstream: Upstream) -> Response:
        answered = _ask(upstream, "HEAD", call)
        answered.close()
        if answered.status != 200:
            raise _UpstreamFailed(f"HEAD of {call.remote}: {answered.status}")
        digest = answered.headers.get("Docker-Content-Digest", "")
        return Response(
            200,
            b"",
            {
                "Content-Type": answered.headers.get("Content-Type", ""),
                "Content-Length": answered.headers.get("Content-Length", "0"),
                "Docker-Content-Digest": digest,
                "Etag": digest,
            },
        )

    def _fetch(self, call: V2Call, upstream: Upstream) -> Response:
        print(
            f"Artifact: {call.repository}:{call.tag or ''}, digest:{call.reference} is not found "
            "in proxy cache, fetch it from remote repo",
            flush=True,
        )
        answered = _ask(upstream, "GET", call)
        payload = answered.read()
        if answered.status == 404:
            raise ApiError(404, f"repo {call.remote}, reference {call.reference} not found")
        if answered.status == 429 and self._core.release.passes_429:
            raise ApiError(429, "too many requests to the upstream registry")
        if answered.status != 200:
            raise _UpstreamFailed(f"GET of {call.remote}: {answered.status}")
        manifest = Manifest(payload, answered.headers.get("Content-Type", ""))
        store = self._store_index if manifest.is_index else self._store_manifest
        self._background(
            ("manifest", call.repository, manifest.digest), lambda: store(call, manifest)
        )
        self._background_tag(call, manifest.digest)
        return _send(manifest)

    # what happens after the client was served

    def _store_manifest(self, call: V2Call, manifest: Manifest) -> None:
        """Store an image's manifest once its blobs are all here; give up when they don't come."""
        core = self._core
        windows = core.switches.windows()
        missing = {blob["digest"] for blob in manifest.blobs}

        def complete() -> bool:
            arrived = {one for one in missing if core.registry.has_blob(call.repository, one)}
            missing.difference_update(arrived)
            return not missing

        if not _until(complete, windows.manifest_deadline, windows.manifest):
            print(f"{call.repository}: not cached, blobs never asked for: {len(missing)}")
            return
        self._store(call, manifest, None)

    def _store_index(self, call: V2Call, index: Manifest) -> None:
        """Keep the payload for a week, and store an index of the platforms that were pulled."""
        core = self._core
        self._keep_index(call.repository, index)
        window = core.switches.windows().index
        digests = [child["digest"] for child in index.children]

        def present() -> list[str]:
            return [one for one in digests if core.index.artifact(call.repository, one)]

        if not _until(lambda: bool(present()), INDEX_DEADLINE, POLL):
            print(f"{call.repository}: index not cached, none of its images was pulled")
            return
        _until(lambda: len(present()) == len(digests), window, POLL)
        arrived = present()
        whole = len(arrived) == len(digests)
        self._store(call, index if whole else index.trimmed(arrived), index.digest)

    def _store(self, call: V2Call, manifest: Manifest, source_digest: str | None) -> None:
        core = self._core
        if not core.index.has_room(call.project["project_id"], len(manifest.payload)):
            print(f"{call.repository}: not cached, the project's quota is used up")
        elif core.registry.push_manifest(call.repository, manifest):
            core.index.record(call.project["project_id"], call.repository, manifest, source_digest)

    def _background_tag(self, call: V2Call, digest: str) -> None:
        tag = call.tag
        if tag is None:
            return
        core = self._core

        def ensure() -> None:
            if _until(
                lambda: core.index.cached_as(call.repository, digest) is not None,
                TAG_DEADLINE,
                POLL,
            ):
                time.sleep(core.switches.windows().tag)
                artifact = core.index.cached_as(call.repository, digest)
                if artifact:
                    core.index.tag(artifact, tag)

        self._background(("tag", call.repository, tag, digest), ensure)

    def _kept_index(self, repository: str, digest: str) -> Manifest | None:
        try:
            kept = self._core.redis.get(f"cache:manifestlist:{repository}:{digest}")
        except RedisError:
            return None
        if kept is None:
            return None
        media_type, _, payload = kept.partition(b"\n")
        return Manifest(payload, media_type.decode())

    def _keep_index(self, repository: str, index: Manifest) -> None:
        value = index.media_type.encode() + b"\n" + index.payload
        try:
            self._core.redis.keep(
                f"cache:manifestlist:{repository}:{index.digest}", value, INDEX_SECONDS
            )
        except RedisError as lost:
            print(f"the index is not kept: {lost}", flush=True)

    # blobs

    def _blob(self, call: V2Call, upstream: Row) -> Response:
        core = self._core
        if core.registry.has_blob(call.repository, call.reference):
            return registry.local(call)
        print(
            f"Blob {call.repository}@{call.reference} is not found in proxy cache, fetch it "
            "from remote repo",
            flush=True,
        )
        source = Upstream(upstream, core.switches)
        path = f"/v2/{call.remote}/blobs/{call.reference}"
        answered = source.open("GET", path)
        if answered.status != 200:
            answered.close()
            raise ApiError(404, f"blob {call.reference} not found")
        self._background(
            ("blob", call.repository, call.reference), lambda: self._store_blob(call, source, path)
        )
        return Response(
            200, self._limited(call, answered), {"Content-Type": "application/octet-stream"}
        )

    def _store_blob(self, call: V2Call, source: Upstream, path: str) -> None:
        """Fetch it a second time for the cache, as Harbor does."""
        core = self._core
        answered = source.open("GET", path)
        size = int(answered.headers.get("Content-Length") or 0)
        if answered.status != 200 or not core.index.has_room(call.project["project_id"], size):
            answered.close()
            return
        if core.registry.push_blob(call.repository, call.reference, self._limited(call, answered)):
            core.index.record_blob(call.reference, size, "application/octet-stream")

    def _limited(self, call: V2Call, content: Iterable[bytes]) -> Iterator[bytes]:
        """The stream at no more than proxy_speed_kb (kilobits a second, 128 bytes each)."""
        speed = 0
        if self._core.release.has("proxy-speed"):
            speed = int(call.project["metadata"].get("proxy_speed_kb") or 0)
        start, sent = time.monotonic(), 0
        for data in content:
            yield data
            sent += len(data)
            if speed > 0:
                time.sleep(max(0.0, start + sent / (speed * 128) - time.monotonic()))

    # tags

    def _tags(self, call: V2Call, upstream: Row) -> Response:
        """The cached tags and the upstream's."""
        names = set(self._core.index.tags(call.repository))
        try:
            answered = Upstream(upstream, self._core.switches).open(
                "GET", f"/v2/{call.remote}/tags/list"
            )
            payload = answered.read()
            if answered.status == 200:
                names |= set(json.loads(payload).get("tags") or [])
        except Unreachable as lost:
            print(f"only the cached tags of {call.repository}: {lost}", flush=True)
        if not names:
            raise ApiError(404, f"repository {call.repository} not found")
        return Response.json({"name": call.repository, "tags": sorted(names)})

    # bookkeeping

    @contextmanager
    def _slot(self, call: V2Call) -> Iterator[None]:
        """Hold one of max_upstream_conn; 429 when they are all taken."""
        limit = int(call.project["metadata"].get("max_upstream_conn") or 0)
        if limit <= 0 or not self._core.release.has("max-upstream"):
            yield
            return
        key = f"{call.repository}:{call.reference}"
        with self._guard:
            if self._upstream_use.get(key, 0) >= limit:
                raise ApiError(429, "too many requests to upstream registry")
            self._upstream_use[key] = self._upstream_use.get(key, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                self._upstream_use[key] -= 1

    def _background(self, key: tuple[str, ...], work: Callable[[], None]) -> None:
        """Run `work` in a thread unless the same is running already."""
        with self._guard:
            if key in self._running:
                return
            self._running.add(key)

        def run() -> None:
            try:
                work()
            except Unreachable as lost:
                print(f"not cached: {' '.join(key)}: {lost}", flush=True)
            finally:
                with self._guard:
                    self._running.discard(key)

        threading.Thread(target=run, daemon=True).start()


def _ask(upstream: Upstream, method: str, call: V2Call) -> Answer:
    return upstream.open(
        method, f"/v2/{call.remote}/manifests/{call.reference}", {"Accept": MANIFEST_TYPES}
    )


def _send(manifest: Manifest) -> Response:
    digest = digest_of(manifest.payload)
    return Response(
        200,
        manifest.payload,
        {
            "Content-Type": manifest.media_type,
            "Content-Length": str(len(manifest.payload)),
            "Docker-Content-Digest": digest,
            "Etag": digest,
        },
    )


def _until(condition: Callable[[], bool], seconds: float, step: float) -> bool:
    """Poll until `condition()` holds; False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
