"""The stretch from where a task stands to its next wait or its end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from core import asking, sentences
from core.counting import is_hopeless
from core.defects import Broke
from core.errors import FlowError, StaleRun, Unavailable
from core.events import (
    AttemptStarted,
    NodeFinished,
    NodeRetried,
    ReviewRequested,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
)
from core.gathering import Gathering
from core.graph import ROOT
from core.ids import new_id
from core.jsontext import to_json
from core.model import (
    LOCAL,
    Checkpoint,
    NewReview,
    Outcome,
    Point,
    ReviewId,
    Status,
    cause_of,
)
from core.nodes import ResultNode, ReviewNode
from core.processors.exchange import ProcessorError
from core.routes import Route
from core.running import Interrupt, Run, current
from core.states import MAX_STATE, check_size, checked_text, initial_state
from core.stepping import conclude, fresh, has_prep, in_time, prepare, run, text_of
from core.store.policies import policy_hash
from core.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime, timedelta

    from core.events import Event
    from core.flow import FlowDefinition
    from core.graph import Place
    from core.model import Json, Position, ReviewRequest
    from core.nodes import Shared
    from core.ports import Clock, StepStore

log = structlog.get_logger()

T = TypeVar("T")

APPLIED = frozenset({Point.REVIEW, Point.BEFORE, Point.AFTER})
"""Where a closed review's verdict is applied."""


class NotOurs(BaseException):
    """What comes next is somebody else's code. Not an `Exception`: no node has failed."""


class Segment:
    """Runs once; the store refuses what it brings when something else was quicker."""

    def __init__(
        self,
        store: StepStore,
        flow: FlowDefinition,
        position: Position,
        clock: Clock,
        *,
        only_ours: bool = False,
    ) -> None:
        """With `only_ours` it raises `NotOurs` before it runs anybody else's code."""
        self._only_ours = only_ours
        self._store = store
        self._flow = flow
        self._graph = flow.graph
        self._routes = flow.routes
        self._clock = clock
        self._task = position.task
        self._position = position
        self._gathering = Gathering(store, position)
        task = position.task
        self._shared: Shared = dict(position.state or initial_state(task.id, task.input))
        self._attempt = max(position.task.attempt, 1)
        self._path: str | None = position.node or ROOT
        self._point = position.point
        self._action = position.action
        """Of the last node."""
        self._frames: list[Json] = []
        self._cause = position.cause
        if position.task.status is Status.PENDING:
            self._gathering.note(AttemptStarted(attempt=1))
        self._verdict = position.review
        """The closed review that is still to be applied."""
        self._may_run = position.begun or position.tries > 0
        """Whether the node was let past its `interrupt_before`."""
        self._tries, self._starts = position.tries, position.starts
        self._runs_visibly = self._may_run or (position.review is None and not position.answers)
        """Whether the last status that followers saw is running."""

    async def run(self) -> datetime | None:
        """When to come back, where a node is to be tried again later."""
        if self._path not in self._graph.places:
            sentence = f"Node {self._path!r} is not in the flow {self._task.flow!r} any more."
            await self._fail(sentence, FlowError.__name__)
            return None
        depth = self._depth(self._point)
        self._frames = [*self._position.frames, *[None] * depth][:depth]
        while self._path is not None:
            try:
                parked = await self._advance()
            except (Broke, StaleRun, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001 - a node is somebody else's code; it may raise anything
                return await self._retry_or_fail(error)
            if parked or self._gathering.status.is_final:
                return None
        await self._finish()
        return None

    @property
    def version(self) -> int:
        """Of the task, as far as this run has stored it."""
        return self._gathering.version

    @property
    def _place(self) -> Place:
        return self._graph.places[self._path or ROOT]

    def _depth(self, point: Point) -> int:
        """How many flows around this node have a frame; to be left, a flow needs its own, for its `post`."""
        return len(self._place.around) + (point is Point.LEAVE)

    async def _advance(self) -> bool:
        """Do the next thing; True where the task now waits for people."""
        place, verdict = self._place, self._verdict
        if self._only_ours and not (place.is_entered or place.path in self._flow.ours):
            raise NotOurs
        self._verdict = None
        parked = False
        match self._point:
            case Point.REVIEW | Point.BEFORE | Point.AFTER if verdict is not None:
                parked = await self._go_on(place, verdict)
            case Point.AFTER:
                parked = await self._park(Point.AFTER, asking.shown_at(self._shared))
            case Point.LEAVE:
                await self._leave(place)
            case Point.INSIDE:
                parked = await self._run_node(place)
            case _ if place.path in self._flow.interrupts_before and not self._may_run:
                parked = await self._park(Point.BEFORE, asking.shown_at(self._shared))
            case _ if isinstance(place.node, ReviewNode):
                parked = await self._ask(place.path, place.node)
            case _ if place.is_entered:
                await self._enter(place)
            case _:
                parked = await self._run_node(place)
        return parked

    # Reviews

    async def _ask(self, path: str, node: ReviewNode) -> bool:
        """Park at a ReviewNode, unless its condition says that nobody needs to be asked."""
        within = self._flow.settings.timeout
        if not await asking.holds(node, self._shared, within):
            self._cause = f"Nobody was asked at {path!r}: its condition does not hold."
            self._move(path, "approved", self._routes.after(path, "approved"))
            return False
        draft = await asking.draft_of(node, self._shared, within)
        return await self._park(Point.REVIEW, draft, node.policy)

    async def _go_on(self, place: Place, review: ReviewRequest) -> bool:
        """Apply a closed review and go where its outcome leads."""
        if review.outcome is Outcome.EDITED:
            return await self._ask_again(review)
        answer = asking.answer_of(review, self._position.answers[0].draft)
        if self._point is not Point.REVIEW:
            action = asking.fold(self._shared, answer)
        elif isinstance(place.node, ReviewNode):
            action = await asking.apply(place.node, self._shared, answer, self._flow.settings.timeout)
        else:
            raise FlowError(f"Node {place.path!r} asked for a review, and is no ReviewNode any more.")
        self._cause = f"{answer.outcome.capitalize()} by {', '.join(answer.reviewers) or 'nobody'}."
        if self._point is Point.REVIEW or not answer.is_approved:
            await self._take(place, action)
        elif self._point is Point.BEFORE:
            self._note_checkpoint(place.path, "approved", Route(place.path, Point.BEFORE))
            self._point, self._may_run = Point.RUN, True
        else:
            self._move(place.path, self._action, self._routes.after(place.path, self._action, asked=True))
        return False

    async def _ask_again(self, review: ReviewRequest) -> bool:
        """An edit that others have to approve is the next attempt's draft."""
        if not await self._may_try_again("Edited"):
            return False
        self._start_attempt()
        return await self._park(review.point, review.edit, review.policy.name)

    async def _park(self, point: Point, draft: Json, policy: str | None = None) -> bool:
        check_size(draft, f"What reviewers of {self._path!r} are to see")
        under = self._flow.policy(policy or self._task.policy)
        submitter = self._task.submitter
        review = NewReview(
            id=ReviewId(new_id()),
            policy=under,
            point=point,
            checkpoint=self._gathering.newest,
            is_hopeless=submitter != LOCAL and is_hopeless(under, submitter),
        )
        self._gathering.note(
            ReviewRequested(
                review=review.id,
                attempt=self._attempt,
                draft=draft,
                node=self._path,
                point=point.value,
                policy=under.name,
                policy_hash=policy_hash(under),
            )
        )
        await self._gathering.store(self._attempt, self._path, point=point, review=review)
        return True

    # Nodes

    async def _run_node(self, place: Place) -> bool:
        """True where the node asked for a review that it has no answer to yet."""
        if place.is_entered:
            raise FlowError(f"Node {place.path!r} asked for a review, and is a flow of its own now.")
        answers = self._position.answers if self._point is Point.INSIDE else ()
        if answers and answers[-1].outcome is Outcome.EDITED:
            return await self._ask_again(answers[-1])
        node = fresh(place.node, self._graph.flow.params)
        if isinstance(node, ResultNode):
            action = node._run(self._shared)
            self._move(place.path, action, self._routes.after(place.path, action))
            return False
        if place.path in self._flow.ours:
            # It stops no service, asks nothing and says nothing: what it is begun for needs no note.
            self._note_running()
            self._worked(place.path, await run(node, self._shared))
            return False
        await self._begin()
        try:
            action = await self._in_a_run(place, run(node, self._shared), answers)
        except Interrupt as asked:
            # What the node did to the state so far is dropped, and done again once there is an answer.
            return await self._park(Point.INSIDE, asked.draft, asked.policy)
        self._worked(place.path, action)
        return False

    async def _in_a_run(
        self, place: Place, work: Coroutine[Any, Any, T], answers: tuple[ReviewRequest, ...] = ()
    ) -> T:
        """What somebody else's code returns, with a run around it, and a time limit."""
        key = _run_key(self._task.id, place.path, self._gathering.newest + 1)
        telling = Telling(place.path, self._told)
        told = iter(asking.answers_of(answers))
        this = Run(key, told, telling.note, may_ask=not place.is_entered)
        token = current.set(this)
        try:
            returned = await in_time(place.path, work, self._flow.settings.timeout)
        except (Exception, Interrupt):
            await telling.end()
            if this.asked is not None:
                raise this.asked from None
            raise
        except BaseException:  # cancelled, most likely: nothing more of it is to be stored
            telling.abandon()
            raise
        finally:
            current.reset(token)
            is_unasked = this.drop_unasked()
        await telling.end()
        if this.asked is not None:
            # It caught the interrupt, as `except BaseException` does, and went on without an answer.
            raise this.asked
        if is_unasked:
            raise FlowError(
                f"Node {place.path!r} called review() and did not await it, so that nobody was asked: write "
                "`await review(…)`, in an asynchronous node."
            )
        return returned

    async def _told(self, events: list[Event]) -> None:
        self._gathering.note(*events)
        await self._store_begun()

    async def _begin(self) -> None:
        """Note that the node is about to run, so that one that stops the service is found out."""
        self._note_running()
        await self._store_begun()

    async def _store_begun(self) -> None:
        await self._gathering.store(
            self._attempt,
            self._path,
            point=self._point,
            begun=True,
            starts=self._starts,
            tries=self._tries,
        )

    def _note_running(self) -> None:
        if not self._runs_visibly:
            self._gathering.note(TaskResumed(attempt=self._attempt))
        self._runs_visibly = True

    async def _enter(self, place: Place) -> None:
        """Go to a flow's first node, once the flow's own `prep` has run."""
        prepared: Json = None
        if has_prep(place.node):
            await self._begin()
            flow = fresh(place.node, self._graph.flow.params)
            prepared = await self._in_a_run(place, prepare(flow, self._shared))
            check_size(prepared, f"What prep of the flow {place.path!r} returned")
        self._frames.append(prepared)
        first = self._graph.start(place.path)
        if has_prep(place.node):
            self._note_checkpoint(place.path, None, Route(first))
            self._cause = cause_of(place.path, None)
        self._path, self._point, self._may_run = first, Point.RUN, False

    async def _leave(self, place: Place) -> None:
        """A flow's nodes have run: its own `post` makes its action of the last one's."""
        if not place.is_entered:
            raise FlowError(f"{place.path!r} was a flow of its own, and is none any more.")
        await self._begin()
        prepared = self._frames[-1] if self._frames else None
        flow = fresh(place.node, self._graph.flow.params)
        action = await self._in_a_run(place, conclude(flow, self._shared, prepared, self._action))
        self._worked(place.path, text_of(action))

    # Where it goes on

    def _worked(self, path: str, action: str | None) -> None:
        """A node has run: keep what it left, and go where its action leads."""
        self._move(path, action, self._routes.after(path, action))
        self._tell_of_checkpoint(path, action)

    def _tell_of_checkpoint(self, path: str, action: str | None) -> None:
        """Of the newest, to those who follow the intermediate results."""
        self._gathering.note(NodeFinished(node=path, action=action, checkpoint=self._gathering.newest))

    async def _take(self, place: Place, action: str) -> None:
        """Go where a review's outcome leads; the next attempt begins where that comes back to the review."""
        route = self._routes.after_review(place.path, self._point, action)
        again = action == "rejected" and self._routes.comes_back(route, place.path)
        if again and not await self._may_try_again("Rejected"):
            return
        tells = self._point is Point.REVIEW and asking.folds_by_itself(place.node)
        self._move(place.path, action, route)
        if tells:
            self._tell_of_checkpoint(place.path, action)
        if again:
            self._start_attempt()

    def _move(self, path: str, action: str | None, route: Route) -> None:
        self._gathering.note(*route.unmatched)
        self._note_checkpoint(path, action, route)
        self._path, self._point, self._action = route.following, route.point, action
        self._may_run = False
        self._cause = cause_of(path, action)
        del self._frames[self._depth(route.point) if route.following is not None else 0 :]

    def _note_checkpoint(self, path: str, action: str | None, route: Route) -> None:
        """Take what stands in `shared`; raises `FlowError` where that cannot be stored."""
        text = checked_text(self._shared, f"Node {path!r} left in shared what")
        if len(text) > MAX_STATE:
            raise FlowError(f"Node {path!r} left {len(text)} characters of state, over {MAX_STATE}.")
        self._gathering.keep(
            Checkpoint(
                node=path,
                action=action,
                attempt=self._attempt,
                state=text,
                following=route.following,
                point=route.point,
                frames=to_json(self._frames) if any(frame is not None for frame in self._frames) else None,
                cause=self._cause,
            )
        )
        self._tries = self._starts = 0

    # Ends

    async def _may_try_again(self, what: str) -> bool:
        """False where there have been enough; the task has failed then. `what` says why another is due."""
        limit = self._flow.settings.max_attempts
        if self._attempt >= limit:
            sentence = f"{what} at attempt {self._attempt}, and max_attempts allows {limit}."
            await self._fail(sentence, "MaxAttempts")
            return False
        return True

    def _start_attempt(self) -> None:
        self._attempt += 1
        self._gathering.note(AttemptStarted(attempt=self._attempt))
        self._runs_visibly = True

    async def _finish(self) -> None:
        outcome = self._task.outcome
        result: Json = self._shared.get("final_result")
        if result is None and outcome is Outcome.APPROVED:
            result = await self._store.last_approved(self._task.id)
        self._gathering.note(
            TaskCompleted(final_result=result, outcome=None if outcome is None else outcome.value)
        )
        await self._gathering.store(self._attempt, self._path)
        log.info("task_completed", task_id=self._task.id, outcome=outcome)

    async def _fail(self, sentence: str, error: str) -> None:
        """End the task. The log has the `error`'s class only: the sentence may hold what a draft says."""
        self._gathering.note(TaskFailed(error=sentence))
        await self._gathering.store(self._attempt, self._path, point=self._point)
        log.warning("task_failed", task_id=self._task.id, node=self._path, error=error)

    async def _retry_or_fail(self, error: Exception) -> datetime | None:
        """A failed node is tried again later, as often as the flow's settings say; then the task fails."""
        settings = self._flow.settings
        tries = self._tries + 1
        sentence = sentences.of_node(self._path or ROOT, error)
        # A verdict is applied once: at a second run the review would be taken for one still to be asked.
        if isinstance(error, FlowError) or tries > settings.retries or self._point in APPLIED:
            await self._fail(sentence, type(error).__name__)
            return None
        wait: timedelta = min(settings.backoff * 2 ** (tries - 1), settings.backoff_limit)
        if isinstance(error, ProcessorError) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        due_at = self._clock.now() + wait
        path = self._path or ROOT
        self._gathering.note(NodeRetried(node=path, retry=tries, error=sentence))
        await self._gathering.store(self._attempt, self._path, point=self._point, tries=tries, due_at=due_at)
        log.warning("node_retried", task_id=self._task.id, node=path, retry=tries, error=type(error).__name__)
        return due_at


def _run_key(task: str, path: str, visit: int) -> str:
    return hashlib.sha256(f"{task}\n{path}\n{visit}".encode()).hexdigest()
