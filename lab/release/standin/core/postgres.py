"""The database by psycopg2, which only the container has: a pool of connections."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import psycopg2.extras  # type: ignore[import-untyped]

from .database import Database, Duplicate, InUse, Row, Unavailable

CONNECTIONS = 12


class Postgres(Database):
    """A pool of autocommitting connections; each call takes one."""

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(None)

    def all(self, sql: str, *values: Any) -> list[Row]:
        with self._cursor() as cursor:
            cursor.execute(sql, values or None)
            return [dict(row) for row in cursor.fetchall()]

    def run(self, sql: str, *values: Any) -> int:
        with self._cursor() as cursor:
            cursor.execute(sql, values or None)
            return int(cursor.rowcount)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connection = self._idle.get()
        try:
            connection = connection or self._connect()
            with connection.cursor() as cursor:
                yield cursor
        except psycopg2.errors.UniqueViolation as there:
            raise Duplicate(str(there)) from there
        except psycopg2.errors.ForeignKeyViolation as used:
            raise InUse(str(used)) from used
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as lost:
            connection = None
            raise Unavailable(str(lost)) from lost
        finally:
            self._idle.put(connection)

    def _connect(self) -> Any:
        connection = psycopg2.connect(
            connect_timeout=5, cursor_factory=psycopg2.extras.RealDictCursor, **self._parameters
        )
        connection.autocommit = True
        return connection
