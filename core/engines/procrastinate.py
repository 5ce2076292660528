"""One of several processes that share the work of a PostgreSQL database.

What is stored here is run here while there is room (core/store/placing.py). Everything that no replica
holds comes as a job of Procrastinate's: what was stored where there was no room, and what a replica left that
ended. The heartbeat of the Procrastinate worker says that this replica lives.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import structlog

from core.defects import defect
from core.engines.segments import Segments
from core.errors import StoreUnavailable, Unavailable
from core.model import TaskId
from core.stopping import CUT_OFF, cut_off
from core.store.jobs import QUEUE, SEGMENT, UPKEEP, lock_of
from core.store.replicas import BURIED, STALLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import LiteralString

    from procrastinate import App, PsycopgConnector
    from procrastinate.jobs import Job
    from procrastinate.manager import JobManager
    from psycopg import AsyncConnection

    from core.ports import Clock, Engine, Runner, SharedWorkStore

log = structlog.get_logger()

HELD = 256
"""Segments that a replica holds, running or next, before it leaves what is stored to whoever has room. A job
costs four times a segment that is run where its work was stored; other replicas have time meanwhile."""
AT_ONCE = 8
"""Jobs that are taken up at once; each ends as soon as its task is held."""
BEAT = 5.0
"""Seconds between heartbeats; three of them missed, and the work goes to others (`STALLED`)."""
POLL = 1.0
"""Seconds between looks for jobs that were stored without a notification: those that are tried again."""
ANSWER = 10.0
"""Seconds after which a question of the worker's is given up. It has no time limit of its own, and a server
that says nothing any more need not have closed anything: the worker would wait for ever. To call it off takes
psycopg up to 10 more where the server hears nothing, either (5 for asking it to, 5 for its answer)."""
EVERY_FEW_SECONDS = "* * * * * */5"
EVERY_HOUR = "0 * * * * 0"
"""Procrastinate's sixth field is the second."""
KEPT = 24
"""Hours for which jobs that failed are kept."""
FIRST = timedelta(seconds=10)
"""How long a start waits to be known to the other replicas."""
PAUSES = (0.2, 1.0, 2.0)
"""Seconds before a worker that ended is started again: the last of them is for all that follow."""


class ProcrastinateEngine(Segments):
    """`conninfo` is where Procrastinate finds the database of the store."""

    def __init__(
        self,
        runner: Runner,
        store: SharedWorkStore,
        clock: Clock,
        *,
        conninfo: str,
        limit: int = 64,
        held: int = HELD,
        grace: Callable[[], timedelta] = timedelta,
    ) -> None:
        super().__init__(runner, store, clock, limit=limit, grace=grace)
        self._shared = store
        self._conninfo = conninfo
        self._most = held
        self._room = asyncio.Event()
        """Set when a segment has ended."""
        self._working: asyncio.Task[None] | None = None
        self._enlisted: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises `StoreUnavailable` where the other replicas cannot be told of this one."""
        self._app = self._make_app()
        self._enlisted = asyncio.get_running_loop().create_future()
        self._working = asyncio.create_task(self._keep_working(), name="jobs")
        try:
            async with asyncio.timeout(FIRST.total_seconds()):
                await self._enlisted
        except TimeoutError:
            await cut_off([self._working])
            raise StoreUnavailable("The PostgreSQL database cannot be reached for jobs.") from None
        self._shared.ask_for_room(self._has_room)
        await super().__aenter__()
        self._room.set()
        return self

    async def _close(self) -> None:
        if self._working is not None:
            working, self._working = self._working, None
            self._room.set()
            await cut_off([working], within=2 * CUT_OFF)

    def _has_room(self) -> bool:
        """Asked in the store's threads: a plain look, which may be of a moment ago."""
        return self._accepting and self.held < self._most

    def _is_ours(self, task: TaskId) -> bool:
        return not self._shared.is_left_to_a_job(task)

    async def _leave(self, tasks: Sequence[TaskId]) -> None:  # noqa: ARG002 - and all else that is held
        await self._shared.retire()

    def _freed(self) -> None:
        self._room.set()

    # Jobs

    def _make_app(self) -> App:
        from procrastinate import App  # noqa: PLC0415 - a second of import; SQLite needs none

        for name in ("procrastinate", "psycopg.pool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what they meet is told of here
        app = App(connector=_connector(self._conninfo))
        app.job_manager = _manager(app, self)
        app.task(name=SEGMENT, queue=QUEUE)(self._segment)
        often = app.task(name="sweep", queue=UPKEEP, queueing_lock=f"{UPKEEP}/sweep")(self._swept)
        app.periodic(cron=EVERY_FEW_SECONDS)(often)
        seldom = app.task(name="forget", queue=UPKEEP, queueing_lock=f"{UPKEEP}/forget")(self._forgot)
        app.periodic(cron=EVERY_HOUR)(seldom)
        return app

    async def _segment(self, task_id: str) -> None:
        """Hold the task and run it soon; twice is harmless.

        Where it fails, and where this replica stops, the next sweep leaves the work to another job.
        """
        task = TaskId(task_id)
        with _told("job", task_id=task):
            if self._accepting and await self._shared.take(task):
                self.run(task)

    async def _swept(self, timestamp: int) -> None:  # noqa: ARG002 - which Procrastinate gives
        with _told("sweep"):
            await self.sweep()

    async def sweep(self) -> None:
        """Have all that nobody holds run by somebody."""
        app = self._app
        if await self._shared.may_judge():
            await self._rescue()
            await app.job_manager.prune_stalled_workers(BURIED)
            await self._shared.bury()
        for task, version in await self._shared.uncovered():
            await self._defer(task, version)

    async def _rescue(self) -> None:
        """Have jobs of workers that ended done by others; the next sweep is another job in any case."""
        from procrastinate.exceptions import ConnectorException  # noqa: PLC0415 - as above
        from procrastinate.jobs import Status  # noqa: PLC0415 - as above

        jobs = self._app.job_manager
        for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED):
            try:
                if job.queue == QUEUE:
                    await jobs.retry_job(job)
                elif job.queue == UPKEEP:
                    await jobs.finish_job(job, Status.FAILED, delete_job=True)
            except ConnectorException as error:  # another replica was quicker
                log.debug("job_not_rescued", error=type(error).__name__)

    async def _defer(self, task: TaskId, version: int) -> None:
        from procrastinate.exceptions import AlreadyEnqueued  # noqa: PLC0415 - as above

        job = self._app.configure_task(SEGMENT, queue=QUEUE, queueing_lock=lock_of(task, version))
        try:
            await job.defer_async(task_id=task)
        except AlreadyEnqueued:
            log.debug("job_there_already", task_id=task)

    async def _forgot(self, timestamp: int) -> None:  # noqa: ARG002 - likewise
        with _told("forgetting"):
            await self._shared.forget_old()
            for queue in (QUEUE, UPKEEP):  # there may be somebody else's
                await self._app.job_manager.delete_old_jobs(
                    nb_hours=KEPT,
                    queue=queue,
                    include_failed=True,
                    include_cancelled=True,
                    include_aborted=True,
                )

    # The worker

    async def queues(self) -> list[str]:
        """Whose next job is to be fetched; where there is no room, room is waited for."""
        if not self._has_room():
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._room.wait()
        # What has to be done for all of them does not wait for room.
        return [QUEUE, UPKEEP] if self._has_room() else [UPKEEP]

    async def registered(self, worker: int) -> None:
        """A worker has begun; its heartbeat is ours."""
        await self._shared.enlist(worker)
        if self._enlisted is not None and not self._enlisted.done():
            self._enlisted.set_result(None)

    async def beaten(self, worker: int) -> None:
        """A worker that stood still for long may be forgotten: it is to begin anew."""
        try:
            is_known = await self._shared.beaten(worker)
        except Unavailable:
            return  # the heartbeat itself was stored
        if not is_known:
            raise StoreUnavailable("The other replicas have forgotten this one.")

    async def _keep_working(self) -> None:
        """A worker ends when the database is away; another one is started then."""
        failures = 0
        while True:
            began = monotonic()
            # Whatever it was, which is told there: without a worker nobody sees that we live.
            with suppress(Exception), _told("jobs"):
                await self._work()
                log.warning("jobs_interrupted", error=None)
            failures = 1 if monotonic() - began > STALLED else failures + 1
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES)) - 1])

    async def _work(self) -> None:
        """Until the worker ends, or is cancelled."""
        import psycopg  # noqa: PLC0415 - an extra
        from procrastinate.worker import Worker  # noqa: PLC0415 - as above

        # A pool that cannot connect waits for long before it says so.
        await (await psycopg.AsyncConnection.connect(self._conninfo, connect_timeout=2)).close()
        async with self._app.open_async():
            worker = Worker(
                self._app,
                queues=[QUEUE, UPKEEP],
                concurrency=AT_ONCE,
                fetch_job_polling_interval=POLL,
                abort_job_polling_interval=60.0,
                shutdown_graceful_timeout=CUT_OFF.total_seconds(),
                delete_jobs="successful",
                install_signal_handlers=False,
                update_heartbeat_interval=BEAT,
                stalled_worker_timeout=BURIED,
            )
            await worker.run()  # type: ignore[no-untyped-call]  # theirs


@contextmanager
def _told(what: str, **facts: str) -> Iterator[None]:
    """Log what comes out of it, and let it out: Procrastinate's own words are silenced."""
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415 - as above
    from psycopg import Error  # noqa: PLC0415 - an extra

    from core.store.reasons import why  # noqa: PLC0415 - it imports psycopg

    try:
        yield
    except (Unavailable, ConnectorException, Error, OSError, TimeoutError) as error:
        log.warning(f"{what}_interrupted", error=type(error).__name__, reason=why(error), **facts)
        raise
    except Exception as error:  # whatever it is: nobody else tells of it
        log.error(f"{what}_broke", **facts, **defect(error))
        raise


def _connector(conninfo: str) -> PsycopgConnector:
    """Procrastinate's own, which raises `TimeoutError` where the server does not answer."""
    from procrastinate import PsycopgConnector  # noqa: PLC0415 - as above

    class Connector(PsycopgConnector):
        async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
            async with asyncio.timeout(ANSWER):
                await super().execute_query_async(query, **arguments)

        async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
            async with asyncio.timeout(ANSWER):
                row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
            return row

        async def execute_query_all_async(
            self, query: LiteralString, **arguments: Any
        ) -> list[dict[str, Any]]:
            async with asyncio.timeout(ANSWER):
                rows: list[dict[str, Any]] = await super().execute_query_all_async(query, **arguments)
            return rows

    return Connector(
        conninfo=conninfo,
        min_size=1,
        max_size=4,
        timeout=5.0,
        reconnect_timeout=5.0,
        kwargs={"connect_timeout": 2, "tcp_user_timeout": 5_000},
        configure=_without_transactions,
    )


async def _without_transactions(connection: AsyncConnection[Any]) -> None:
    """A question is one statement: a replica that freezes before a COMMIT would keep what it had locked."""
    await connection.set_autocommit(True)


def _manager(app: App, engine: ProcrastinateEngine) -> JobManager:
    """Procrastinate's own, which lets the engine know of the worker, and asks it what to fetch."""
    from procrastinate.manager import JobManager  # noqa: PLC0415 - as above

    class Manager(JobManager):
        async def register_worker(self) -> int:
            worker = await super().register_worker()
            await engine.registered(worker)
            return worker

        async def update_heartbeat(self, worker_id: int) -> None:
            await super().update_heartbeat(worker_id)
            await engine.beaten(worker_id)

        async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:  # noqa: ARG002 - as many as there is room for
            return await super().fetch_job(await engine.queues(), worker_id)

    return Manager(app.connector)


if TYPE_CHECKING:
    # The checker's word that it is one.
    _: type[Engine] = ProcrastinateEngine
