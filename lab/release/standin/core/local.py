"""The distribution registry behind core, and the index of what is in it.

The registry stores bytes by digest; projects, repositories, artifacts and tags are rows in the
database, as in Harbor.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from .client import Answer, Client, Headers, Unreachable
from .database import Database, Row, document

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def digest_of(payload: bytes) -> str:
    """The digest of a manifest or blob."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """A manifest as its bytes and type."""

    payload: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.payload)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def children(self) -> list[dict[str, Any]]:
        """The descriptors of an index's manifests."""
        found: list[dict[str, Any]] = json.loads(self.payload).get("manifests", [])
        return found

    @property
    def blobs(self) -> list[dict[str, Any]]:
        """The descriptors of an image's configuration and layers (schema 1: none)."""
        content = json.loads(self.payload)
        parts = [content.get("config"), *content.get("layers", [])]
        return [part for part in parts if part]

    def trimmed(self, digests: Iterable[str]) -> "Manifest":
        """An index with only these children."""
        content = json.loads(self.payload)
        wanted = set(digests)
        content["manifests"] = [one for one in self.children if one["digest"] in wanted]
        return Manifest(json.dumps(content, indent=3).encode(), self.media_type)


class Registry:
    """The distribution registry, with the credentials that core was started with."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._client = Client(url, timeout=300)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = f"Basic {login}"

    def open(
        self,
        method: str,
        path: str,
        headers: Headers | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """A request with core's own credentials."""
        sent = {**(headers or {}), "Authorization": self._authorization}
        return self._client.open(method, path, sent, body)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the blob can be read in that repository."""
        answer = self.open("HEAD", f"/v2/{repository}/blobs/{digest}")
        answer.close()
        return answer.status == 200

    def push_blob(self, repository: str, digest: str, content: Iterable[bytes]) -> bool:
        """Upload a blob as a stream; False when the registry refuses it."""
        started = self.open("POST", f"/v2/{repository}/blobs/uploads/", {"Content-Length": "0"})
        started.close()
        if started.status != 202:
            return False
        url = urljoin(self._client.base, started.headers["Location"])
        headers = {"Authorization": self._authorization, "Content-Type": "application/octet-stream"}
        sent = self._client.open_url("PATCH", url, headers, content)
        sent.close()
        if sent.status != 202:
            return False
        url = urljoin(self._client.base, sent.headers["Location"])
        ended = self._client.open_url(
            "PUT", f"{url}&digest={digest}", {**headers, "Content-Length": "0"}
        )
        ended.close()
        return ended.status == 201

    def push_manifest(self, repository: str, manifest: Manifest) -> bool:
        """Upload a manifest by its digest."""
        answer = self.open(
            "PUT",
            f"/v2/{repository}/manifests/{manifest.digest}",
            {"Content-Type": manifest.media_type},
            manifest.payload,
        )
        answer.close()
        return answer.status == 201

    def manifest(self, repository: str, digest: str) -> Manifest | None:
        """A stored manifest."""
        try:
            answer = self.open(
                "GET",
                f"/v2/{repository}/manifests/{digest}",
                {"Accept": ", ".join((*INDEX_TYPES, "*/*"))},
            )
        except Unreachable:
            return None
        payload = answer.read()
        if answer.status != 200:
            return None
        return Manifest(payload, answer.headers["Content-Type"])


class Index:
    """Repositories, artifacts, tags and blobs in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def artifact(self, repository: str, reference: str) -> Row | None:
        """By tag or digest."""
        column = (
            "a.digest = %s"
            if reference.startswith("sha256:")
            else ("a.id = (SELECT artifact_id FROM tag WHERE repository_id = r.id AND name = %s)")
        )
        return self._database.one(
            "SELECT a.* FROM artifact a JOIN repository r ON a.repository_id = r.id"
            f" WHERE r.name = %s AND {column}",
            repository,
            reference,
        )

    def cached_as(self, repository: str, digest: str) -> Row | None:
        """The artifact of this digest, or the trimmed one that stands for it."""
        return self._database.one(
            "SELECT a.* FROM artifact a JOIN repository r ON a.repository_id = r.id"
            " WHERE r.name = %s AND (a.digest = %s OR a.source_digest = %s)"
            " ORDER BY a.id DESC LIMIT 1",
            repository,
            digest,
            digest,
        )

    def record(
        self, project_id: int, repository: str, manifest: Manifest, source_digest: str | None = None
    ) -> Row:
        """Make the rows of a manifest that was stored."""
        row = self._repository(project_id, repository)
        children = [] if not manifest.is_index else manifest.children
        blobs = [] if manifest.is_index else manifest.blobs
        for blob in blobs:
            self.record_blob(blob["digest"], blob["size"], blob.get("mediaType", ""))
        self.record_blob(manifest.digest, len(manifest.payload), manifest.media_type)
        size = len(manifest.payload) + sum(blob["size"] for blob in blobs)
        return self._database.insert(
            "INSERT INTO artifact (repository_id, digest, media_type, size, children, blobs,"
            " source_digest) VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (repository_id, digest) DO UPDATE SET source_digest ="
            " coalesce(excluded.source_digest, artifact.source_digest) RETURNING *",
            row["id"],
            manifest.digest,
            manifest.media_type,
            size,
            document(children),
            document([blob["digest"] for blob in blobs]),
            source_digest,
        )

    def record_blob(self, digest: str, size: int, content_type: str) -> None:
        """Note a blob's size, and that it is in use now."""
        self._database.run(
            "INSERT INTO blob (digest, size, content_type) VALUES (%s, %s, %s)"
            " ON CONFLICT (digest) DO UPDATE SET update_time = now()",
            digest,
            size,
            content_type,
        )

    def tag(self, artifact: Row, name: str) -> None:
        """Give an artifact a tag, taking it from another one."""
        self._database.run(
            "INSERT INTO tag (artifact_id, repository_id, name) VALUES (%s, %s, %s)"
            " ON CONFLICT (repository_id, name) DO UPDATE SET artifact_id = excluded.artifact_id,"
            " push_time = now()",
            artifact["id"],
            artifact["repository_id"],
            name,
        )

    def pulled(self, artifact: Row, tag: str | None) -> None:
        """Count a pull."""
        self._database.run("UPDATE artifact SET pull_time = now() WHERE id = %s", artifact["id"])
        self._database.run(
            "UPDATE repository SET pull_count = pull_count + 1 WHERE id = %s",
            artifact["repository_id"],
        )
        if tag:
            self._database.run(
                "UPDATE tag SET pull_time = now() WHERE repository_id = %s AND name = %s",
                artifact["repository_id"],
                tag,
            )

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, sorted."""
        rows = self._database.all(
            "SELECT t.name FROM tag t JOIN repository r ON t.repository_id = r.id"
            " WHERE r.name = %s ORDER BY t.name",
            repository,
        )
        return [row["name"] for row in rows]

    def used(self, project_id: int) -> int:
        """Bytes that a project's artifacts take, each blob counted once."""
        row = self._database.one(
            "SELECT coalesce(sum(size), 0) AS used FROM blob WHERE digest IN ("
            " SELECT a.digest FROM artifact a JOIN repository r ON a.repository_id = r.id"
            " WHERE r.project_id = %s UNION SELECT jsonb_array_elements_text(a.blobs)"
            " FROM artifact a JOIN repository r ON a.repository_id = r.id"
            " WHERE r.project_id = %s)",
            project_id,
            project_id,
        )
        return int(row["used"]) if row else 0

    def has_room(self, project_id: int, more: int) -> bool:
        """Whether a project's quota has room for `more` bytes."""
        row = self._database.one("SELECT hard FROM quota WHERE project_id = %s", project_id)
        return row is None or row["hard"] < 0 or self.used(project_id) + more <= row["hard"]

    def _repository(self, project_id: int, name: str) -> Row:
        return self._database.insert(
            "INSERT INTO repository (name, project_id) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET update_time = now() RETURNING *",
            name,
            project_id,
        )
