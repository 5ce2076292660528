"""Every statement, as text through the driver and as SQLAlchemy runs it."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Insert, Select, create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

import core.store
from core.store.checkpoints import LAST
from core.store.earlier import AT_ONCE, MANY
from core.store.postgresql import conninfo
from core.store.reviews import WAITING
from core.store.sql import SqlStore
from core.store.statements import Statement
from core.store.tables import checkpoint
from core.store.transaction import Transaction
from tests.bench.multitude import multiply
from tests.contracts.conftest import on
from tests.contracts.samples import sampled
from tests.contracts.steps import waiting
from tests.world import PAPER

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

DIALECTS = {"sqlite": sqlite.dialect(paramstyle="named"), "postgresql": postgresql.psycopg.dialect()}  # type: ignore[no-untyped-call]  # theirs


def statements() -> dict[str, Statement]:
    found = {}
    for module in pkgutil.iter_modules(core.store.__path__, "core.store."):
        if module.ispkg:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement):
                found[f"{module.name.rpartition('.')[2]}.{name}"] = value
    return found


ALL = statements()


def test_there_are_statements_in_every_module_that_asks() -> None:
    assert {name.partition(".")[0] for name in ALL} >= {
        "chats",
        "checkpoints",
        "credentials",
        "deliveries",
        "history",
        "reviews",
        "tasks",
    }
    assert len(ALL) > 40


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ALL)
def test_a_statement_has_one_text_and_its_constants(name: str, dialect: str) -> None:
    text, constants = ALL[name].text(DIALECTS[dialect])
    assert ALL[name].text(DIALECTS[dialect]) == (text, constants)
    assert "POSTCOMPILE" not in text, "IN lists are not expanded on this path"
    assert not [key for key in constants if key.startswith("p_")], "a parameter is never a constant"


def plain(rows: Any) -> list[tuple[Any, ...]]:
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]


READS: dict[str, dict[str, Any]] = {
    "census.OPEN": {},
    "census.AT_WORK": {"now": 2**62},
    "census.UNSHOWN": {"channel": PAPER},
    "tasks.BY_ID": {"id": "TASK"},
    "tasks.PAGE": {"created_at": 2**62, "id": "~", "status": "", "submitter": "", "flow": "", "limit": 5},
    "tasks.PAGE_OF_SUBMITTER": {
        "created_at": 2**62,
        "id": "~",
        "status": "",
        "submitter": "sam",
        "flow": "",
        "limit": 5,
    },
    "tasks.PAGE_OF_RUNNABLE": {
        "created_at": 2**62,
        "id": "~",
        "status": "",
        "submitter": "",
        "flow": "",
        "limit": 5,
    },
    "tasks.COUNTS": {},
    "tasks.RUNNABLE": {},
    "submissions.BY_KEY": {"submitter": "sam", "key": "once"},
    "recovery.POISONED": {},
    "timers.REMINDED": {"after": "", "limit": 5},
    "checkpoints.LAST": {"task": "TASK"},
    "checkpoints.SIZES": {"task": "TASK", "before": 99, "limit": 5},
    "checkpoints.OF_TASK": {"task": "TASK", "since": 0, "before": 99},
    "checkpoints.ONE": {"task": "TASK", "number": 2},
    "firing.TASK_OF": {"id": "REVIEW"},
    "reviews.BY_ID": {"id": "REVIEW"},
    "reviews.OF_TASK": {"task": "TASK"},
    "reviews.WAITING": {"like": '%"ana"%', "limit": 5, "opened_at": -1, "id": ""},
    "reviews.ANSWERED": {"person": "ben", "limit": 5},
    "reviews.CLOSED": {"limit": 5, "opened_at": -1, "id": ""},
    "reviews.CLOSED_SINCE": {"task": "APPROVED", "checkpoint": 0},
    "reviews.BEFORE_IT": {"task": "TASK", "attempt": 1, "before": 99},
    "reviews.LAST_APPROVED": {"task": "APPROVED"},
    "reviews.LAST_OUTCOME": {"task": "APPROVED", "checkpoint": 1},
    "reviews.DECISIONS": {"review": "REVIEW"},
    "reviews.LAST_REJECTIONS": {"task": "TASK", "before": 99},
    "earlier.ONE": {"review0": "SECOND"},
    "earlier.MANY": {f"review{number}": "SECOND" if number == 7 else "" for number in range(100)},
    "reviews.CALLED_OFF": {"task": "CALLED_OFF", "at": "NOW"},
    "reviews.OPEN_BY_TASK": {"task": "WAITING"},
    "reviews.STATUS_OF_TASK": {"id": "TASK"},
    "admitting.POLICIES": {},
    "carrying.LAST_AT_NODE": {"task": "TASK", "node": "review", "point": "review", "attempt": 2},
    "carrying.NUMBERED": {"review": "REVIEW"},
    "resuming.BRANCHES": {"task": "TASK"},
    "resuming.FORKS": {"task": "APPROVED"},
    "queues.DUE": {"channel": "paper", "now": 2**62},
    "queues.NEXT_DUE": {"channel": "paper", "after": 0},
    "deliveries.OF_TASK": {"task": "TASK"},
    "deliveries.THREAD": {"task": "TASK", "channel": "paper", "address": "desk", "before": 99, "id": ""},
    "deliveries.LAST_CHANGE": {"channel": "paper", "now": 0},
    "deliveries.SHOWN_IN": {"task": "TASK"},
    "deliveries.KNOWN_COPY": {"task": "TASK", "review": "REVIEW", "channel": "paper", "message": "a copy"},
    "receipts.OPEN_POLICY": {"review": "OPEN"},
    "receipts.STANDS": {"id": "CARD"},
    "receipts.PLACES": {"task": "TASK", "review": "REVIEW"},
    "receipts.ASKS": {"task": "WAITING", "seq": "ASKED_AT"},
    "places.MOVED_PLACES": {"channel": "paper"},
    "places.HEARD": {"channel": "paper"},
    "places.OPEN_CARDS": {"channel": "paper"},
    "deliveries.AT_MESSAGE": {"channel": "paper", "message": "a copy"},
    "timers.DUE": {"now": 2**62, "limit": 5},
    "timers.NEXT": {},
    "timers.OF_REVIEW": {"review": "OPEN"},
    "questions.ONE": {"id": "QUESTION"},
    "questions.AT_MESSAGE": {"channel": "paper", "message": "a notice"},
    "questions.OF_TASK": {"task": "WAITING"},
    "questions.UNANSWERED": {"submitter": "sam", "limit": 5},
    "looked_over.ALL": {},
    "delegations.TO": {"delegate": "ben", "now": 0},
    "delegations.ALL": {"now": 0},
    "history.LAST_NUMBERS": {f"task{number}": "TASK" if number == 7 else "" for number in range(100)},
    "history.AFTER": {"task": "TASK", "after": 0},
    "history.NEWEST": {"task": "TASK"},
    "history.TURNS": {"task": "TASK"},
    "history.LAST_OF_ANOTHER_KIND": {"task": "STUCK"},
    "history.SAID_SINCE": {"task": "STUCK", "after": 2},
    "history.ONE": {"task": "TASK", "seq": 2},
    "credentials.SECRET": {"name": "a"},
    "credentials.BY_HASH": {"hash": "a" * 64},
    "credentials.BY_ID": {"id": "c" * 32, "session": "d" * 64},
    "chats.UNHANDLED": {"channel": "telegram", "at": 0, "after": "", "limit": 10},
    "chats.KNOWN_UPDATE": {"channel": "telegram", "id": "1"},
    "chats.ENDED_DIALOGS": {
        "channel": "paper",
        "now": 2**62,
        "shown_since": 2**62,
        "at": 0,
        "after": "",
        "limit": 5,
    },
    "chats.DIALOG": {"channel": "paper", "message": "a question", "now": 0},
    "chats.ASKED_IN_VAIN": {"channel": "paper", "message": "a question", "now": 2**62},
    "chats.TO_CONFIRM": {"channel": "paper", "person": "ana", "now": 0},
}


def test_every_read_is_tried() -> None:
    reads = {name for name, statement in ALL.items() if is_read(statement)}
    assert reads == READS.keys() | READS_OF_REPLICAS.keys()


READS_OF_REPLICAS: dict[str, dict[str, Any]] = {
    "replicas.ENLISTED": {"id": "me", "worker": "WORKER"},
    "replicas.HELD": {"me": "me"},
    "replicas.LIVING": {},
    "replicas.MINE": {"me": "me", "id": "MINE"},
    "replicas.OTHERS": {"me": "somebody else"},
    "replicas.UNCOVERED": {"me": "me", "since": 0, "last": 0, "limit": 10},
    "replicas.STEADY": {"me": "me", "since": 0, "last": 0},
}
"""Only PostgreSQL has them."""


def is_read(statement: Statement) -> bool:
    """A lock reads nothing that anybody looks at, and of the time nobody hears the same twice."""
    text = statement.text(DIALECTS["postgresql"])[0]
    is_lock = "FOR UPDATE" in text or "pg_advisory_xact_lock" in text
    return isinstance(statement.expression, Select) and not is_lock and "clock_timestamp" not in text


@pytest.mark.parametrize("name", READS)
async def test_the_driver_answers_what_sqlalchemy_answers(
    name: str, any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        known = await sampled(store, clock)
    parameters = {key: known.get(value, value) for key, value in READS[name].items()}
    assert_same(any_database, ALL[name], parameters)


def assert_same(database: Database, statement: Statement, parameters: dict[str, Any]) -> None:
    connection = database.connect()
    transaction = Transaction(connection.cursor(), database.dialect)
    through_the_driver = plain(transaction.all(statement, **parameters))
    connection.close()
    url = database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as alchemy:
        expected = plain(alchemy.execute(statement.expression, {f"p_{k}": v for k, v in parameters.items()}))  # type: ignore[call-overload]  # any of its kinds
    assert through_the_driver == expected
    assert expected, "the sample has something to answer"


@pytest.mark.parametrize("name", READS_OF_REPLICAS)
async def test_the_driver_answers_what_sqlalchemy_answers_of_replicas(
    name: str, postgres_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        await sampled(store, clock)
    on(postgres_database, "INSERT INTO procrastinate_workers DEFAULT VALUES")
    on(
        postgres_database,
        "INSERT INTO replica SELECT 'me', max(id), 'n', 'r', 'c', 0 FROM procrastinate_workers",
    )
    on(postgres_database, "UPDATE task SET holder = 'dead' WHERE status = 'running'")
    on(
        postgres_database,
        "UPDATE task SET holder = 'me' WHERE id = (SELECT max(id) FROM task WHERE status = 'pending')",
    )
    [(worker, mine)] = on(
        postgres_database, "SELECT worker, task.id FROM replica JOIN task ON task.holder = replica.id"
    )
    known = {"WORKER": worker, "MINE": mine}
    parameters = {key: known.get(str(value), value) for key, value in READS_OF_REPLICAS[name].items()}
    assert_same(postgres_database, ALL[name], parameters)


async def test_a_review_is_closed_once_and_a_task_moved_from_where_it_was_read_only(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store)
        task = (await store.review(review)).task.id
    connection = any_database.connect()
    tx = Transaction(connection.cursor(), any_database.dialect)
    moved = {"id": task, "status": "running", "outcome": None, "review": None, "now": 1, "holder": None}
    assert tx.run(ALL["settling.MOVED"], **moved, seq=2, new_seq=5) == 0
    assert tx.run(ALL["settling.MOVED"], **moved, seq=3, new_seq=5) == 1
    assert tx.run(ALL["opening.CLOSE"], id=review, outcome="approved", now=1) == 1
    assert tx.run(ALL["opening.CLOSE"], id=review, outcome="rejected", now=2) == 0
    connection.close()


def test_inserts_name_every_column_that_has_to_be_given() -> None:
    for name, statement in ALL.items():
        if isinstance(statement.expression, Insert):
            columns = statement.expression.table.columns
            needed = {c.name for c in columns if not c.nullable and c.server_default is None}
            assert needed <= set(statement.keys or ()), name


async def test_a_later_page_of_open_reviews_begins_in_the_index(
    any_database: Database, clock: StoppedClock
) -> None:
    """Where it began at the first open review, a look over 10 million would never end."""
    async with SqlStore(any_database, clock) as store:
        await waiting(store)
    if any_database.dialect.name == "postgresql":  # whose plan is of what it last counted
        multiply(conninfo(any_database), 300)
        on(any_database, "ANALYZE task, review")
    text, constants = WAITING.text(any_database.dialect)
    given = {**constants, "like": "%", "opened_at": 1, "id": "", "limit": 10}
    connection = any_database.connect()
    try:
        cursor = connection.cursor()
        if any_database.dialect.name == "postgresql":
            cursor.execute("SET enable_seqscan = off", {})  # for so few rows it would not look into an index
            cursor.execute("SET enable_bitmapscan = off", {})
            cursor.execute(f"EXPLAIN {text}", given)
            plan = " ".join(str(row[0]) for row in cursor.fetchall())
            assert "ix_review_open on review" in plan, plan
            assert "Index Cond: (ROW(opened_at, (id)::text) > ROW" in plan, plan
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {text}", given)
            plan = " ".join(str(row[3]) for row in cursor.fetchall())
            assert "ix_review_open ((opened_at,id)>(?,?))" in plan, plan
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("opening.CLOSE", {"outcome": "approved", "now": 1}),
        ("firing.ESCALATE", {"expires_at": 1}),
        ("receipts.OPEN_POLICY", {}),
    ],
)
async def test_one_open_review_is_looked_up_by_its_id_where_next_to_none_is_open(
    name: str, given: dict[str, Any], postgres_database: Database, clock: StoppedClock
) -> None:
    """The index of the open ones, short when the plan was made, is read whole: with all that were closed
    since the last VACUUM, so that each decision cost more than the one before it."""
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store)
    on(postgres_database, "UPDATE review SET outcome = 'approved', closed_at = 1")
    multiply(conninfo(postgres_database), 300)
    on(postgres_database, "ANALYZE review")
    text, constants = ALL[name].text(postgres_database.dialect)
    connection = postgres_database.connect()
    try:
        cursor = connection.cursor()
        parameters = {**constants, **given, "id": review, "review": review}
        cursor.execute(f"EXPLAIN {text}", parameters)
        plan = " ".join(str(row[0]) for row in cursor.fetchall())
    finally:
        connection.close()
    assert "pk_review" in plan, plan


@pytest.mark.parametrize("name", ["replicas.MINE", "replicas.TAKE", "replicas.LEAVE"])
async def test_one_task_is_looked_up_by_its_id_where_next_to_none_has_work(
    name: str, postgres_database: Database, clock: StoppedClock
) -> None:
    """As the index of those that have is short then, and was read whole: with all that have ended since the
    last VACUUM."""
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store)
        task = (await store.review(review)).task.id
    multiply(conninfo(postgres_database), 300)
    on(postgres_database, "ANALYZE task, replica")
    text, constants = ALL[name].text(postgres_database.dialect)
    given = {**constants, "id": task, "me": "me", "since": 0, "last": 0}
    connection = postgres_database.connect()
    try:
        cursor = connection.cursor()
        cursor.execute(f"EXPLAIN {text}", given)
        plan = " ".join(str(row[0]) for row in cursor.fetchall())
    finally:
        connection.close()
    assert "pk_task on task" in plan, plan


async def test_the_last_checkpoint_is_read_without_all_reviews_however_many_it_may_have(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """With a plan of an early hour each rejection at a second replica read them all."""
    async with SqlStore(postgres_database, clock) as store:
        await waiting(store)
    names = [column.name for column in checkpoint.columns]
    quoted, values = (", ".join(f'"{n}"' for n in names) for _ in range(2))
    values = values.replace('"number"', "number + i")
    on(
        postgres_database,
        f"INSERT INTO checkpoint ({quoted}) SELECT {values} FROM checkpoint, generate_series(1, 40) i",  # noqa: S608 - ours
    )
    multiply(conninfo(postgres_database), 300)
    on(postgres_database, "ANALYZE checkpoint, review")
    text, constants = LAST.text(postgres_database.dialect)
    plan = on(postgres_database, "EXPLAIN " + text % dict.fromkeys(("task", *constants), f"'{'a' * 32}'"))
    assert not [row for row in plan if "Seq Scan" in row[0]], plan


async def test_the_drafts_before_an_inbox_s_are_found_without_reading_all_reviews(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        await waiting(store)
    text, constants = MANY.text(any_database.dialect)
    names = [*constants, *(f"review{number}" for number in range(AT_ONCE))]
    if any_database.dialect.name == "postgresql":
        multiply(conninfo(any_database), 10_000)
        on(any_database, "ANALYZE review")
        plan = on(any_database, "EXPLAIN " + text % dict.fromkeys(names, f"'{'a' * 32}'"))
        assert not [row for row in plan if "Seq Scan" in row[0]], plan
    else:
        connection = any_database.connect()
        cursor = connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {text}", dict.fromkeys(names, "a"))
        steps = [str(row[3]) for row in cursor.fetchall()]
        connection.close()
        assert not [step for step in steps if step.startswith("SCAN")], steps
