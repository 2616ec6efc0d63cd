"""The thin edge to PostgreSQL: a pool of connections, waiting for the server, rows as dictionaries."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from replay.lab.web.errors import DatabaseDown

Row = dict[str, Any]
Statement: TypeAlias = LiteralString | bytes | sql.SQL | sql.Composed
Connection = psycopg.Connection[Row]

SCHEMA_LOCK = 7_211_014  # any number that nobody else takes as an advisory lock


def wait_for_server(url: str, *, timeout_s: float, monotonic: Callable[[], float], pause: Callable[[float], None]) -> None:
    """Returns as soon as the server accepts a connection, asking with growing pauses.

    Raises DatabaseDown after `timeout_s`; its message holds the server's last answer, never the URL (it has a password).
    """
    deadline = monotonic() + timeout_s
    wait_s = 0.1
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as problem:
            if monotonic() + wait_s > deadline:
                answer = str(problem).strip().splitlines()[-1]
                raise DatabaseDown(
                    f"no database within {timeout_s:g} s ({answer}): start PostgreSQL or correct LAB_DATABASE_URL"
                ) from problem
        else:
            return
        pause(wait_s)
        wait_s = min(wait_s * 1.6, 3.0)


class Database:
    """Runs statements on pooled connections; every call is its own transaction unless `transaction` is used."""

    def __init__(self, pool: "ConnectionPool[Connection]") -> None:
        self._pool = pool

    def rows(self, statement: Statement, values: Sequence[object] | Row = ()) -> list[Row]:
        """Returns all rows of a query."""
        with self._pool.connection() as connection:
            return connection.execute(statement, values).fetchall()

    def row(self, statement: Statement, values: Sequence[object] | Row = ()) -> Row | None:
        """Returns the first row of a query or None."""
        with self._pool.connection() as connection:
            return connection.execute(statement, values).fetchone()

    def run(self, statement: Statement, values: Sequence[object] | Row = ()) -> int:
        """Runs a statement that returns no rows; returns how many rows it touched."""
        with self._pool.connection() as connection:
            return connection.execute(statement, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Gives a connection whose work is committed at the end, or rolled back by an error."""
        with self._pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Closes all connections."""
        self._pool.close(timeout=1.0)


def open_database(url: str) -> Database:
    """Opens the pool and makes the tables that are missing."""
    pool: ConnectionPool[Connection] = ConnectionPool(
        url,
        min_size=2,
        max_size=12,
        timeout=30,
        open=True,
        kwargs={"row_factory": dict_row},
    )
    database = Database(pool)
    # No values are passed, so that PostgreSQL takes the many statements of the file at once.
    schema = resources.files("replay.lab.web").joinpath("schema.sql").read_bytes()
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
        connection.execute(schema)
    return database
