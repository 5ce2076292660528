"""Very many waiting tasks, made of one by the database itself, in SQLite and PostgreSQL alike."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import md5
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.engine import make_url

from core.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
    "INSERT INTO {table} ({names}) SELECT {values} FROM (SELECT * FROM {table}) s, n ORDER BY i",
    "postgresql": "INSERT INTO {table} ({names}) SELECT {values} "
    "FROM (SELECT * FROM {table}) s, generate_series(1, {count}) i ORDER BY i",
}
STAMP = {
    "sqlite": "printf('%012x', 1763700000000 + i / 4)",
    "postgresql": "lpad(to_hex(1763700000000 + i / 4), 12, '0')",
}
"""An id's first half: they lie in the order of their time, as ours do."""


def multiply(url: str, count: int) -> None:
    """Make so many of the one task that is there, which waits, with all that belongs to it."""
    kind = make_url(url).get_backend_name()
    ids = f"{STAMP[kind]} || substr(md5({{}} || i), 1, 20)"
    task, review = ids.format("'task'"), ids.format("'review'")
    by_name = {"task_id": task, "review_id": f"CASE WHEN s.review_id IS NOT NULL THEN {review} END"}
    changed = {
        ("task", "id"): task,
        ("review", "id"): review,
        ("delivery", "id"): ids.format("s.id"),
        ("delivery", "message"): "s.message || i",
        ("task", "created_at"): "s.created_at + i * 250",
        ("review", "opened_at"): "s.opened_at + i * 250",
    }
    statements = []
    for table in metadata.sorted_tables:
        columns = [column.name for column in table.columns]
        if table.name != "task" and not {"task_id", "review_id"} & {*columns}:
            continue
        values = [changed.get((table.name, name), by_name.get(name, f's."{name}"')) for name in columns]
        names = ", ".join(f'"{name}"' for name in columns)
        statements.append(
            SERIES[kind].format(count=count, table=table.name, names=names, values=", ".join(values))
        )
    _run(url, statements)


def tidied(url: str) -> None:
    """Leave a PostgreSQL database as its own upkeep leaves it some minutes later."""
    if _file(url) is None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def rows(url: str, statement: str) -> Sequence[Any]:
    """What is found, read beside the server."""
    if (file := _file(url)) is None:
        with psycopg.connect(url) as connection:
            return connection.execute(statement.encode()).fetchall()
    with closing(sqlite3.connect(file)) as base:
        return base.execute(statement).fetchall()


def _run(url: str, statements: Sequence[str]) -> None:
    """All or nothing."""
    if (file := _file(url)) is not None:
        with closing(sqlite3.connect(file)) as base, base:
            base.create_function("md5", 1, _md5, deterministic=True)
            for statement in statements:
                base.execute(statement)
        return
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _file(url: str) -> str | None:
    made = make_url(url)
    return made.database if made.get_backend_name() == "sqlite" else None


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
