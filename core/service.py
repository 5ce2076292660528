"""What the world may ask of core: submit, decide, cancel, follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from core.model import (
        Delivery,
        MessageRef,
        Person,
        PersonId,
        Recipient,
        ReviewId,
        ReviewRequest,
        StoredEvent,
        Submission,
        Task,
        TaskFilter,
        TaskId,
        TaskPage,
        Verdict,
    )


class Service(Protocol):
    """One door for every front end. Every answer is given after what it says is durable."""

    async def submit(self, submission: Submission) -> tuple[Task, bool]:
        """The stored task, and True where it is new (False: same idempotency key, same request).

        Raises `Invalid` (and `UnknownFlow`, `KeyReused`), `Overloaded`, `StoreUnavailable`.
        """
        ...

    async def task(self, task_id: str) -> Task:
        """Raises `NotFound`."""
        ...

    async def tasks(self, wanted: TaskFilter, *, cursor: str | None = None, limit: int = 50) -> TaskPage: ...

    async def review(self, review_id: str) -> ReviewRequest:
        """Raises `NotFound`."""
        ...

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]:
        """All reviews of a task, oldest first."""
        ...

    async def waiting_for(self, person: PersonId, *, limit: int = 100) -> Sequence[ReviewRequest]:
        """Open reviews that this person may decide now, oldest first."""
        ...

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        """Every card and notice of a task, oldest first."""
        ...

    async def decide(
        self,
        review_id: str,
        reviewer: PersonId,
        verdict: Verdict,
        *,
        comment: str | None = None,
        via: str,
        copy: tuple[Recipient, MessageRef] | None = None,
    ) -> ReviewRequest:
        """Record one reviewer's answer; the review as it stands after it (still open below the quorum).

        `copy` names the message whose button was pressed; where no delivery knows it (a post whose answer
        was lost), it is adopted, so that it changes like every other copy.
        Raises `NotFound`, `NotAReviewer`, `SelfReview`, `ReviewIsClosed`, `AlreadyDecided`, `Invalid`
        (a comment too long), `Unavailable`. A refusal changes nothing.
        """
        ...

    async def check_may_decide(self, review_id: str, person: PersonId) -> ReviewRequest:
        """The review, where this person could decide it now; raises as `decide` would. Changes nothing.

        For a front end that asks for a reason first; `decide` judges again.
        """
        ...

    async def cancel(self, task_id: str, person: PersonId) -> Task:
        """Call a task off; its submitter may. Raises `NotFound`, `Forbidden`, `TaskIsClosed`."""
        ...

    def follow(self, task_id: TaskId, *, after: int = 0) -> AsyncIterator[StoredEvent]:
        """Stored events with `seq` above `after`, then each new one; ends after a final status.

        Raises `NotFound` at the first step.
        """
        ...

    def person(self, person_id: str) -> Person | None:
        """Who that is, by the configuration in force; None for nobody."""
        ...
