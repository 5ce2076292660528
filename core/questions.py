"""A reviewer asks, the submitter answers; the review stays open, and no words are taken for a decision."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

from core.errors import CountersignError, Forbidden, Invalid, Refused
from core.ids import new_id
from core.literal import is_blank
from core.model import NewQuestion, QuestionId
from core.policy import check_in_time, check_may_answer, check_may_ask
from core.submissions import MAX_COMMENT, MAX_NAME, check_text, checked_id, checked_review

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from core.model import (
        ChannelName,
        MessageRef,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Question,
        ReviewRequest,
    )
    from core.ports import Clock, QuestionStore

ANSWERABLE = 100
"""Questions listed for one submitter."""

log = structlog.get_logger()


class Questions:
    """What web and bots call. The words themselves are never logged."""

    def __init__(
        self,
        store: QuestionStore,
        *,
        policies: Mapping[str, Policy],
        known: Callable[[PersonId], Person],
        is_admin: Callable[[PersonId], bool],
        with_others: Callable[[CountersignError, ReviewRequest], CountersignError],
        clock: Clock,
    ) -> None:
        """`policies` are those in force now; `known` raises for somebody whom the configuration lacks;
        `with_others` makes a refusal name who can instead."""
        self._store = store
        self._policies = policies
        self._known = known
        self._is_admin = is_admin
        self._with_others = with_others
        self._clock = clock

    async def ask(
        self,
        which: str | OpenReview,
        person: PersonId,
        text: str,
        *,
        via: str,
        key: str | None = None,
    ) -> Question:
        """Ask the submitter something about an open review, on the task's page and in its threads.

        Every reviewer may, also who waits for their turn or has decided. A request that is repeated with the
        same `key` asks nothing again.
        Raises `NotFound`, `NotAReviewer`, `SelfReview`, `ReviewIsClosed`, `Invalid`, `KeyReused`,
        `Unavailable`; for a task's open review also `NotWaiting`, and `StaleReview` where another was meant.
        """
        new = self._new(person, text, via, key)
        asking = self._store.ask(checked_review(which), new, policies=self._policies)
        return await _logged("question_asked", asking, person=person, via=via)

    def may_ask(self, review: ReviewRequest, person: PersonId) -> bool:
        """Whether `ask` would take a question of this person's now, as a reviewer of their own."""
        try:
            check_may_ask(review, person, self._policies)
        except (Forbidden, Refused):
            return False
        return True

    def may_answer(self, asked: Question, review: ReviewRequest, person: PersonId) -> bool:
        """Whether `answer` would take an answer of this person's now."""
        try:
            check_may_answer(asked, review, person, is_admin=self._is_admin(person))
        except (Forbidden, Refused):
            return False
        return True

    async def answer(self, question_id: str, person: PersonId, text: str, *, via: str) -> Question:
        """Answer as the submitter, or as an administrator in their place. The same again changes nothing.

        Raises `NotFound`, `NotTheSubmitter`, `ReviewIsClosed`, `AlreadyAnswered`, `Invalid`, `Unavailable`.
        """
        answering = self._store.answer(
            checked_id(question_id, "question"),
            self._known(person),
            _words(text, "answer"),
            via=via,
            is_admin=self._is_admin(person),
        )
        return await _logged("question_answered", answering, person=person, via=via)

    async def check_may_ask(self, review_id: str, person: PersonId) -> ReviewRequest:
        """The review, where this person could ask about it now; raises as `ask` would, and names who can.

        For a front end that asks for the words first. Changes nothing.
        """
        self._known(person)
        review = await self._store.review(checked_id(review_id, "review"))
        away = () if person in review.policy.reviewers else await self._store.delegations()
        for_whom = [of.person for of in away if of.delegate == person]
        try:
            check_may_ask(review, person, self._policies, for_whom)
            check_in_time(review, self._clock.now())
        except (Forbidden, Refused) as error:
            raise self._with_others(error, review) from None
        return review

    async def check_may_answer(self, question_id: str, person: PersonId) -> Question:
        """The question, where this person could answer it now; raises as `answer` would. Likewise."""
        self._known(person)
        asked = await self.one(question_id)
        review = await self._store.review(asked.review)
        check_may_answer(asked, review, person, is_admin=self._is_admin(person))
        return asked

    async def told_at(self, channel: ChannelName, message: MessageRef) -> Question | None:
        """The question that a message of ours in a chat tells; None for every other message."""
        return await self._store.question_at(channel, message)

    async def one(self, question_id: str) -> Question:
        """Raises `NotFound`."""
        return await self._store.question(checked_id(question_id, "question"))

    async def of_task(self, task_id: str) -> Sequence[Question]:
        """All that were asked about a task's reviews, oldest first; none for a task that there is not."""
        return await self._store.questions(checked_id(task_id, "task"))

    async def for_submitter(self, person: PersonId) -> Sequence[Question]:
        """The oldest hundred that wait for this person's answer, as the submitter."""
        return await self._store.unanswered(person, limit=ANSWERABLE)

    def _new(self, person: PersonId, text: str, via: str, key: str | None) -> NewQuestion:
        check_text(key, "Idempotency-Key", MAX_NAME)
        question_id = new_id() if key is None else _id_of(person, key)
        words = _words(text, "question")
        return NewQuestion(id=QuestionId(question_id), person=self._known(person), text=words, via=via)


def _id_of(person: PersonId, key: str) -> str:
    """The same for the same request."""
    return hashlib.sha256(f"{person}\n{key}".encode()).hexdigest()[:32]


def _words(text: str, what: str) -> str:
    words = text.strip()
    check_text(words, what, MAX_COMMENT)
    if is_blank(words):
        raise Invalid(f"The {what} is empty.")
    return words


async def _logged(what: str, doing: Awaitable[Question], *, person: PersonId, via: str) -> Question:
    try:
        done = await doing
    except CountersignError as error:
        log.info(f"{what}_refused", reason=type(error).__name__, person=person, via=via)
        raise
    facts = {"task_id": done.task, "review_id": done.review, "question_id": done.id}
    log.info(what, person=person, via=via, **facts)
    return done
