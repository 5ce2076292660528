"""The stretch from where a task stands to its next wait or its end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import structlog

from core.errors import FlowError, StaleRun, Unavailable
from core.events import (
    ActionUnmatched,
    AttemptStarted,
    NodeFinished,
    NodeRetried,
    ReviewRequested,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
)
from core.graph import ROOT
from core.ids import new_id
from core.jsontext import to_json
from core.lifecycle import after
from core.model import (
    Answer,
    Checkpoint,
    NewReview,
    Outcome,
    Point,
    ReviewId,
    Status,
    Step,
    cause_of,
)
from core.nodes import ResultNode, ReviewNode, note_answer
from core.running import Interrupt, Run, current
from core.states import initial_state
from core.stepping import TookTooLong, conclude, fresh, has_post, has_prep, prepare, run_in_time, text_of
from core.telling import Telling
from core.threads import in_thread

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from core.events import Event
    from core.flow import FlowDefinition
    from core.graph import Place
    from core.model import Json, Position, ReviewRequest
    from core.nodes import Shared
    from core.ports import Clock, FlowStore

log = structlog.get_logger()

MAX_STATE = 8 * 2**20
"""Characters of JSON that a task's state may take: room for a draft of the largest body many times over."""
BOOKKEEPING = frozenset(
    {"task_id", "processed_output", "feedback", "feedback_comment", "final_result", "current_attempt"}
)
"""The seed's keys that reviewers are not shown where a node is interrupted that has made no draft."""


class Segment:
    """Runs once; the store refuses what it brings when something else was quicker."""

    def __init__(self, store: FlowStore, flow: FlowDefinition, position: Position, clock: Clock) -> None:
        self._store = store
        self._flow = flow
        self._graph = flow.graph
        self._clock = clock
        self._task = position.task
        self._position = position
        self._version, self._seq, self._status = position.version, position.seq, position.task.status
        self._shared: Shared = {
            **initial_state(position.task.id, position.task.input),
            **(position.state or {}),
        }
        self._attempt = max(position.task.attempt, 1)
        self._path: str | None = position.node or ROOT
        self._point = position.point
        self._action = position.action
        """Of the last node."""
        self._frames: list[Json] = []
        self._cause = position.cause
        self._checkpoints: list[Checkpoint] = []
        self._stored_checkpoints = position.checkpoints
        self._events: list[Event] = []
        if position.task.status is Status.PENDING:
            self._events.append(AttemptStarted(attempt=1))
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
            except (StaleRun, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001 - a node is somebody else's code; it may raise anything
                return await self._retry_or_fail(error)
            if parked or self._status.is_final:
                return None
        await self._finish()
        return None

    @property
    def _place(self) -> Place:
        return self._graph.places[self._path or ROOT]

    def _depth(self, point: Point) -> int:
        """How many flows around this node have a frame; to be left, a flow needs its own, for its `post`."""
        return len(self._place.around) + (point is Point.LEAVE)

    async def _advance(self) -> bool:
        """Do the next thing; True where the task now waits for people."""
        place, verdict = self._place, self._verdict
        self._verdict = None
        parked = False
        match self._point:
            case Point.REVIEW | Point.BEFORE | Point.AFTER if verdict is not None:
                parked = await self._go_on(place, verdict)
            case Point.AFTER:
                parked = await self._park(Point.AFTER, self._shown())
            case Point.LEAVE:
                await self._leave(place)
            case Point.INSIDE:
                parked = await self._run_node(place)
            case _ if place.path in self._flow.interrupts_before and not self._may_run:
                parked = await self._park(Point.BEFORE, self._shown())
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
        if node.when is not None and not await self._called(node, "when", node.when, self._shared):
            self._checkpoint(path, "approved", f"Nobody was asked at {path!r}: its condition does not hold.")
            return False
        draft = (
            await self._called(node, "show", node.prep, self._shared)
            if node.show
            else node.prep(self._shared)
        )
        return await self._park(Point.REVIEW, draft, node.policy)

    async def _called(self, node: ReviewNode, what: str, function: Any, *args: Any) -> Any:
        """A user's function of the state, off the event loop; raises `FlowError` with its name."""
        try:
            return await in_thread(lambda: function(*args))
        except Exception as error:
            raise FlowError(f"{what!r} of review {node.name!r} raised {_said(error)}.") from error

    async def _go_on(self, place: Place, review: ReviewRequest) -> bool:
        """Apply a closed review and go where its outcome leads."""
        if review.outcome is Outcome.EDITED:
            return await self._ask_again(review)
        answer = _answer(review, await self._would_show(place))
        if self._point is not Point.REVIEW:
            action = self._fold(answer)
        elif isinstance(place.node, ReviewNode):
            action = await self._applied(place.node, review.draft, answer)
        else:
            raise FlowError(f"Node {place.path!r} asked for a review, and is no ReviewNode any more.")
        self._cause = f"{answer.outcome.capitalize()} by {', '.join(answer.reviewers) or 'nobody'}."
        if self._point is not Point.REVIEW and answer.is_approved:
            self._let_through(place)
        else:
            await self._take(place, action)
        return False

    async def _applied(self, node: ReviewNode, draft: Json, answer: Answer) -> str:
        shared = self._shared
        if node.apply is None:
            return node.post(shared, draft, answer)
        action: str = await self._called(node, "apply", node.post, shared, draft, answer)
        return action

    async def _would_show(self, place: Place) -> Json:
        """What the flow itself made of what reviewers were shown: an edit is what differs."""
        if self._point is Point.REVIEW and isinstance(place.node, ReviewNode):
            node = place.node
            if node.show is None:
                return node.prep(self._shared)
            shown: Json = await self._called(node, "show", node.prep, self._shared)
            return shown
        return self._shown()

    def _shown(self) -> Json:
        """What reviewers see where a node is interrupted: the draft, or else what the flow has gathered."""
        if self._shared.get("processed_output") is not None:
            draft: Json = self._shared["processed_output"]
            return draft
        return {key: value for key, value in self._shared.items() if key not in BOOKKEEPING}

    def _fold(self, answer: Answer) -> str:
        """The answer to an interrupt, in the state."""
        note_answer(self._shared, answer)
        if answer.is_approved and answer.is_edited:
            if self._shared.get("processed_output") is not None:
                self._shared["processed_output"] = answer.content
            elif isinstance(answer.content, dict):
                self._shared.update(answer.content)
        return answer.outcome.value

    def _let_through(self, place: Place) -> None:
        """Approved at an interrupt: run the node, or go where it led."""
        if self._point is Point.BEFORE:
            self._note_checkpoint(place.path, "approved", place.path, Point.BEFORE)
            self._point, self._may_run = Point.RUN, True
        else:
            following, point = self._whither(place.path, self._action)
            self._move(place.path, self._action, following, point)

    async def _ask_again(self, review: ReviewRequest) -> bool:
        """An edit that others have to approve is the next attempt's draft."""
        if not await self._may_try_again():
            return False
        self._start_attempt()
        return await self._park(review.point, review.edit, review.policy.name)

    async def _park(self, point: Point, draft: Json, policy: str | None = None) -> bool:
        self._check_json(draft, f"What reviewers of {self._path!r} are to see")
        review = NewReview(
            id=ReviewId(new_id()),
            policy=self._flow.policy(policy),
            point=point,
            checkpoint=self._stored_checkpoints + len(self._checkpoints),
        )
        self._events.append(ReviewRequested(review=review.id, attempt=self._attempt, draft=draft))
        await self._store_step(point=point, review=review)
        return True

    # Nodes

    async def _run_node(self, place: Place) -> bool:
        """True where the node asked for a review that it has no answer to yet."""
        answers = self._position.answers if self._point is Point.INSIDE else ()
        if answers and answers[-1].outcome is Outcome.EDITED:
            return await self._ask_again(answers[-1])
        node = fresh(place.node, self._graph.flow.params)
        if isinstance(node, ResultNode):
            action = node._run(self._shared)
            self._checkpoint(place.path, action)
            return False
        await self._begin()
        try:
            action = await self._in_a_run(place, node, answers)
        except Interrupt as asked:
            # What the node did to the state so far is dropped, and done again once there is an answer.
            return await self._park(Point.INSIDE, asked.draft, asked.policy)
        self._checkpoint(place.path, action, worked=True)
        return False

    async def _in_a_run(self, place: Place, node: Any, answers: tuple[ReviewRequest, ...]) -> str | None:
        key = _run_key(self._task.id, place.path, self._stored_checkpoints + 1)
        telling = Telling(place.path, self._told)
        token = current.set(Run(key, iter(_answers(answers)), telling.note))
        try:
            action = await run_in_time(node, self._shared, self._flow.settings.timeout)
        except (Exception, Interrupt):
            await telling.end()
            raise
        except BaseException:
            telling.abandon()
            raise
        finally:
            current.reset(token)
        await telling.end()
        return action

    async def _told(self, events: list[Event]) -> None:
        self._events += events
        await self._store_step(point=self._point, begun=True, starts=self._starts, tries=self._tries)

    async def _begin(self) -> None:
        """Note that the node is about to run, so that one that stops the service is found out."""
        if not self._runs_visibly and not self._events:
            self._events.append(TaskResumed(attempt=self._attempt))
        self._runs_visibly = True
        await self._store_step(point=self._point, begun=True, starts=self._starts, tries=self._tries)

    async def _enter(self, place: Place) -> None:
        """Go to a flow's first node, once the flow's own `prep` has run."""
        prepared: Json = None
        if has_prep(place.node):
            await self._begin()
            prepared = await prepare(fresh(place.node, self._graph.flow.params), self._shared)
            self._check_json(prepared, f"What prep of the flow {place.path!r} returned")
        self._frames.append(prepared)
        first = self._graph.start(place.path)
        if has_prep(place.node):
            self._note_checkpoint(place.path, None, first, Point.RUN)
            self._cause = cause_of(place.path, None)
        self._path, self._point, self._may_run = first, Point.RUN, False

    async def _leave(self, place: Place) -> None:
        """A flow's nodes have run: its own `post` makes its action of the last one's."""
        if not place.is_entered:
            raise FlowError(f"{place.path!r} was a flow of its own, and is none any more.")
        await self._begin()
        prepared = self._frames[-1] if self._frames else None
        flow = fresh(place.node, self._graph.flow.params)
        action = await conclude(flow, self._shared, prepared, self._action)
        self._checkpoint(place.path, text_of(action), worked=True)

    # Where it goes on

    def _checkpoint(
        self, path: str, action: str | None, cause: str | None = None, *, worked: bool = False
    ) -> None:
        """A node has run: keep what it left, and go where its action leads."""
        if cause is not None:
            self._cause = cause
        if path in self._flow.interrupts_after and self._path == path:
            following: str | None = path
            point = Point.AFTER
        else:
            following, point = self._whither(path, action)
        self._move(path, action, following, point)
        if worked:
            number = self._stored_checkpoints + len(self._checkpoints)
            self._events.append(NodeFinished(node=path, action=action, checkpoint=number))

    async def _take(self, place: Place, action: str) -> None:
        """Go where a review's outcome leads; the next attempt begins where that comes back to the review."""
        following, point = self._after_verdict(place, action)
        again = action == "rejected" and following is not None and self._graph.reaches(following, place.path)
        if again and not await self._may_try_again():
            return
        self._move(place.path, action, following, point)
        if again:
            self._start_attempt()

    def _after_verdict(self, place: Place, action: str) -> tuple[str | None, Point]:
        if action == "expired" and action not in place.node.successors:
            action = "rejected"
        if self._point is Point.REVIEW:
            return self._whither(place.path, action)
        # An interrupted node knows nothing of reviews: a "no" ends the flow, unless it has a way for it.
        return self._graph.successor(place.path, action), Point.RUN

    def _whither(self, path: str, action: str | None) -> tuple[str | None, Point]:
        """Where an action leads, out of nested flows too; (None, …) where the whole flow ends."""
        following = self._graph.successor(path, action)
        if following is not None:
            return following, Point.RUN
        self._check_may_end(path, action)
        around = self._graph.places[path].around
        if not around:
            return None, Point.RUN
        outer = around[-1]
        if has_post(self._graph.places[outer].node):
            return outer, Point.LEAVE
        if outer in self._flow.interrupts_after:
            return outer, Point.AFTER
        return self._whither(outer, action)

    def _check_may_end(self, path: str, action: str | None) -> None:
        """PocketFlow ends a flow at an action that leads nowhere with no more than a warning; so do we,
        but for a review's verdict, and where the flow is strict. Raises `FlowError`."""
        choices = self._graph.choices(path)
        if not choices or path == ROOT:
            return
        word = action or "default"
        if isinstance(self._graph.places[path].node, ReviewNode):
            raise FlowError(
                f"Review {path!r} came out {word}, which leads nowhere; it has: {', '.join(choices)}."
            )
        if self._flow.settings.strict_actions:
            raise FlowError(
                f"Node {path!r} returned the action {word!r}, which leads nowhere; "
                f"it has: {', '.join(choices)}."
            )
        self._events.append(ActionUnmatched(node=path, action=word, choices=list(choices)))

    def _move(self, path: str, action: str | None, following: str | None, point: Point) -> None:
        self._note_checkpoint(path, action, following, point)
        self._path, self._point, self._action = following, point, action
        self._may_run = False
        self._cause = cause_of(path, action)
        del self._frames[self._depth(point) if following is not None else 0 :]

    def _note_checkpoint(self, path: str, action: str | None, following: str | None, point: Point) -> None:
        """Take what stands in `shared`; raises `FlowError` where that cannot be stored."""
        text = self._check_json(self._shared, f"Node {path!r} left in shared what")
        if len(text) > MAX_STATE:
            raise FlowError(f"Node {path!r} left {len(text)} characters of state, over {MAX_STATE}.")
        self._checkpoints.append(
            Checkpoint(
                node=path,
                action=action,
                attempt=self._attempt,
                state=text,
                following=following,
                point=point,
                frames=to_json(self._frames) if any(frame is not None for frame in self._frames) else None,
                cause=self._cause,
            )
        )
        self._tries = self._starts = 0

    def _check_json(self, value: Any, what: str) -> str:
        """The value as JSON text; raises `FlowError` where a database could not keep it."""
        try:
            text = to_json(value)
            text.encode()  # half a surrogate pair is no text that a database takes
        except (TypeError, ValueError, RecursionError) as error:
            raise FlowError(f"{what} is not JSON: {error}.") from error
        return text

    # Ends

    async def _may_try_again(self) -> bool:
        """False where there have been enough attempts; the task has failed then."""
        limit = self._flow.settings.max_attempts
        if self._attempt >= limit:
            sentence = f"Rejected {self._attempt} times, which is the most that max_attempts allows."
            await self._fail(sentence, "MaxAttempts")
            return False
        return True

    def _start_attempt(self) -> None:
        self._attempt += 1
        self._events.append(AttemptStarted(attempt=self._attempt))
        self._runs_visibly = True

    async def _finish(self) -> None:
        outcome = self._task.outcome
        result: Json = self._shared.get("final_result")
        if result is None and outcome is Outcome.APPROVED:
            result = await self._store.last_approved(self._task.id)
        self._events.append(
            TaskCompleted(final_result=result, outcome=None if outcome is None else outcome.value)
        )
        await self._store_step()
        log.info("task_completed", task_id=self._task.id, outcome=outcome)

    async def _fail(self, sentence: str, error: str) -> None:
        """End the task. The log has the `error`'s class only: the sentence may hold what a draft says."""
        self._events.append(TaskFailed(error=sentence))
        await self._store_step(point=self._point)
        log.warning("task_failed", task_id=self._task.id, node=self._path, error=error)

    async def _retry_or_fail(self, error: Exception) -> datetime | None:
        """A failed node is tried again later, as often as the flow's settings say; then the task fails."""
        settings = self._flow.settings
        tries = self._tries + 1
        sentence = _sentence(self._path or ROOT, error)
        if isinstance(error, FlowError) or tries > settings.retries:
            await self._fail(sentence, type(error).__name__)
            return None
        wait: timedelta = min(settings.backoff * 2 ** (tries - 1), settings.backoff_limit)
        due_at = self._clock.now() + wait
        path = self._path or ROOT
        self._events.append(NodeRetried(node=path, retry=tries, error=sentence))
        await self._store_step(point=self._point, tries=tries, due_at=due_at)
        log.warning("node_retried", task_id=self._task.id, node=path, retry=tries, error=type(error).__name__)
        return due_at

    async def _store_step(
        self,
        *,
        point: Point = Point.RUN,
        begun: bool = False,
        starts: int = 0,
        tries: int = 0,
        due_at: datetime | None = None,
        review: NewReview | None = None,
    ) -> None:
        """Store what has gathered since the last step, in one transaction."""
        step = Step(
            task=self._task.id,
            version=self._version,
            seq=self._seq,
            status=after(self._status, *self._events),
            callback_url=self._task.callback_url,
            checkpoints=tuple(self._checkpoints),
            first_checkpoint=self._stored_checkpoints + 1,
            events=tuple(self._events),
            attempt=self._attempt,
            node=self._path,
            point=point,
            begun=begun,
            starts=starts,
            tries=tries,
            due_at=due_at,
            review=review,
        )
        self._version = await self._store.step(step)
        self._seq += len(step.events)
        self._status = step.status
        self._stored_checkpoints += len(step.checkpoints)
        self._checkpoints.clear()
        self._events.clear()


def _answer(review: ReviewRequest, shown: Json) -> Answer:
    """A closed review as its flow sees it; `shown` is what the flow had made, before any edit."""
    return Answer(
        review=review.id,
        outcome=review.outcome,
        draft=review.draft,
        content=review.content,
        comment=review.decisions[-1].comment if review.decisions else None,
        reviewers=tuple(decision.reviewer_name for decision in review.decisions),
        attempt=review.attempt,
        is_edited=review.content != shown,
    )


def _answers(reviews: tuple[ReviewRequest, ...]) -> list[Answer]:
    """One for each question that a node asked: an edit that others had to approve goes before its answer."""
    answers: list[Answer] = []
    asked: list[ReviewRequest] = []
    for review in reviews:
        asked.append(review)
        if review.outcome is not Outcome.EDITED:
            answers.append(_answer(review, asked[0].draft))
            asked.clear()
    return answers


def _run_key(task: str, path: str, visit: int) -> str:
    return hashlib.sha256(f"{task}\n{path}\n{visit}".encode()).hexdigest()


def _sentence(path: str, error: Exception) -> str:
    """What went wrong, as text that every database takes."""
    if isinstance(error, (FlowError, TookTooLong)):
        sentence = str(error)
    else:
        sentence = f"Node {path!r} failed: {_said(error)}"
    return sentence[:2000].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _said(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of somebody else's may not even be able to say so
        text = "(it cannot say why)"
    return f"{type(error).__name__}: {text}"
