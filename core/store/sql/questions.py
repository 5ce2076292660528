"""Questions to the submitter of an open review."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import questions
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import (
        ChannelName,
        MessageRef,
        NewQuestion,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Question,
    )


class QuestionRows(Lanes):
    """Implements `core.ports.QuestionStore` but for the reviews and delegations that it reads."""

    async def ask(
        self, which: str | OpenReview, new: NewQuestion, *, policies: Mapping[str, Policy]
    ) -> Question:
        return await self._write.run(partial(questions.ask, which=which, new=new, policies=policies))

    async def answer(
        self, question_id: str, person: Person, text: str, *, via: str, is_admin: bool
    ) -> Question:
        return await self._write.run(
            partial(
                questions.answer,
                question_id=question_id,
                person=person,
                text=text,
                via=via,
                is_admin=is_admin,
            )
        )

    async def question(self, question_id: str) -> Question:
        return await self._read.run(partial(questions.one, question_id=question_id))

    async def question_at(self, channel: ChannelName, message: MessageRef) -> Question | None:
        return await self._read.run(partial(questions.at_message, channel=channel, message=message))

    async def questions(self, task_id: str) -> Sequence[Question]:
        return await self._read.run(partial(questions.of_task, task_id=task_id))

    async def unanswered(self, submitter: PersonId, *, limit: int) -> Sequence[Question]:
        return await self._read.run(partial(questions.unanswered, submitter=submitter, limit=limit))
