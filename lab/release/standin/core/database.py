"""The state, in Harbor's PostgreSQL, as the rest of the core sees it: four verbs and three errors."""

import json
from abc import ABC, abstractmethod
from typing import Any

Row = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY, applied timestamptz);
CREATE TABLE IF NOT EXISTS harbor_user (
    user_id serial PRIMARY KEY, username text UNIQUE NOT NULL, email text, realname text,
    comment text, password text NOT NULL DEFAULT '', sysadmin_flag bool NOT NULL DEFAULT false,
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS registry (
    id serial PRIMARY KEY, name text UNIQUE NOT NULL, url text NOT NULL, type text NOT NULL,
    insecure bool NOT NULL DEFAULT false, description text NOT NULL DEFAULT '',
    credential_type text NOT NULL DEFAULT '', access_key text NOT NULL DEFAULT '',
    access_secret text NOT NULL DEFAULT '', ca_certificate text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'healthy',
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS project (
    project_id serial PRIMARY KEY, name text UNIQUE NOT NULL, owner_id int NOT NULL,
    registry_id int REFERENCES registry (id), metadata jsonb NOT NULL DEFAULT '{}',
    cve_allowlist jsonb NOT NULL DEFAULT '{}',
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS project_member (
    id serial PRIMARY KEY, project_id int NOT NULL REFERENCES project ON DELETE CASCADE,
    entity_name text NOT NULL, entity_type text NOT NULL, entity_id int NOT NULL,
    role_id int NOT NULL, UNIQUE (project_id, entity_name, entity_type));
CREATE TABLE IF NOT EXISTS user_group (
    id serial PRIMARY KEY, group_name text NOT NULL, group_type int NOT NULL,
    ldap_group_dn text NOT NULL DEFAULT '', UNIQUE (group_name, group_type));
CREATE TABLE IF NOT EXISTS quota (
    id serial PRIMARY KEY, project_id int UNIQUE NOT NULL REFERENCES project ON DELETE CASCADE,
    hard bigint NOT NULL, creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS robot (
    id serial PRIMARY KEY, name text UNIQUE NOT NULL, level text NOT NULL,
    project_id int REFERENCES project ON DELETE CASCADE, description text NOT NULL DEFAULT '',
    secret text NOT NULL, duration bigint NOT NULL, expires_at bigint NOT NULL,
    disable bool NOT NULL DEFAULT false, permissions jsonb NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS properties (k text PRIMARY KEY, v jsonb);
CREATE TABLE IF NOT EXISTS retention_policy (
    id serial PRIMARY KEY, project_id int UNIQUE NOT NULL REFERENCES project ON DELETE CASCADE,
    policy jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS schedule (
    kind text PRIMARY KEY, id serial, schedule jsonb NOT NULL, parameters jsonb NOT NULL,
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS execution (
    id serial PRIMARY KEY, kind text NOT NULL, owner_id int NOT NULL DEFAULT 0,
    trigger text NOT NULL, status text NOT NULL, parameters jsonb NOT NULL DEFAULT '{}',
    log text NOT NULL DEFAULT '', creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS repository (
    id serial PRIMARY KEY, name text UNIQUE NOT NULL,
    project_id int NOT NULL REFERENCES project ON DELETE CASCADE,
    description text NOT NULL DEFAULT '', pull_count bigint NOT NULL DEFAULT 0,
    creation_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS artifact (
    id serial PRIMARY KEY, repository_id int NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest text NOT NULL, media_type text NOT NULL, size bigint NOT NULL,
    children jsonb NOT NULL DEFAULT '[]', blobs jsonb NOT NULL DEFAULT '[]',
    source_digest text, push_time timestamptz NOT NULL DEFAULT now(),
    pull_time timestamptz, UNIQUE (repository_id, digest));
CREATE TABLE IF NOT EXISTS tag (
    id serial PRIMARY KEY, artifact_id int NOT NULL REFERENCES artifact ON DELETE CASCADE,
    repository_id int NOT NULL REFERENCES repository ON DELETE CASCADE, name text NOT NULL,
    push_time timestamptz NOT NULL DEFAULT now(), pull_time timestamptz,
    UNIQUE (repository_id, name));
CREATE TABLE IF NOT EXISTS blob (
    digest text PRIMARY KEY, size bigint NOT NULL, content_type text NOT NULL DEFAULT '',
    update_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS audit_log (
    id serial PRIMARY KEY, username text NOT NULL, resource text NOT NULL,
    resource_type text NOT NULL, operation text NOT NULL, project_id int,
    op_time timestamptz NOT NULL DEFAULT now());
"""


class Unavailable(Exception):
    """The database cannot be reached."""


class Duplicate(Exception):
    """A row of that name is there already."""


class InUse(Exception):
    """Another row refers to it."""


class Database(ABC):
    """Statements with `%s` for values; each is a transaction of its own."""

    @abstractmethod
    def all(self, sql: str, *values: Any) -> list[Row]:
        """All rows as dictionaries; Unavailable, Duplicate, InUse."""

    @abstractmethod
    def run(self, sql: str, *values: Any) -> int:
        """Execute; the number of rows touched.  Unavailable, Duplicate, InUse."""

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        return next(iter(self.all(sql, *values)), None)

    def insert(self, sql: str, *values: Any) -> Row:
        """The row that an INSERT ... RETURNING made; Duplicate when it is there already."""
        return self.all(sql, *values)[0]

    def prepare(self, version: str) -> None:
        """Bring the schema to this version."""
        self.run(SCHEMA)
        self.run("INSERT INTO schema_migrations VALUES (%s, now()) ON CONFLICT DO NOTHING", version)


def document(value: Any) -> str:
    """A value for a jsonb column."""
    return json.dumps(value)
