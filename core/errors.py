"""Everything core may raise.

    CountersignError
    ├── NotFound                 no such task or review
    ├── Unidentified             nobody is named by this request
    ├── Forbidden                this person may not
    │   ├── NotAReviewer         not among the policy's reviewers
    │   ├── SelfReview           the submitter, and the policy does not allow it
    │   ├── NotAnAdmin           not among those whom [admins] lists
    │   └── NotTheSubmitter      the question is not theirs to answer
    ├── Refused                  the right person at the wrong time
    │   ├── NotWaiting           the task has no open review
    │   ├── ReviewIsClosed       somebody, or a newer attempt, was first
    │   ├── AlreadyDecided       this person has said the same of this open review
    │   ├── AlreadyAnswered      the question has its answer
    │   ├── NotYourTurn          another stage of the policy is being decided
    │   ├── ConfirmOnPage        the policy takes no press in chat for a decision
    │   ├── TaskIsClosed         completed, failed or cancelled
    │   └── TaskIsRunning        it can be resumed only while it waits or has ended
    ├── StaleReview              the review named is not the open one
    ├── Invalid                  a value that cannot be accepted, with its sentence
    │   ├── UnknownFlow          no flow of that name
    │   ├── ReasonMissing        the policy asks why, and nobody said
    │   └── KeyReused            an idempotency key came back with another request
    ├── Unavailable              try again later; nothing was changed
    │   ├── StoreUnavailable     disk full, file locked, connection lost
    │   └── Overloaded           more work is waiting than is accepted
    ├── NotOffered               this installation has another way for it
    ├── DeliveryError            a channel could not show a card
    │   ├── RateLimited          the platform says when to come back
    │   ├── Unreachable          may work later
    │   ├── Undeliverable        will not work for this recipient
    │   │   └── Unwanted         nor will anything more of this task
    │   ├── MessageGone          the message to be edited is no longer there
    │   └── PlaceMoved           the recipient has another address now
    ├── FlowError                a flow or node that cannot be run as it is
    ├── StaleRun                 a segment that was overtaken; its work is dropped
    └── SettingsError            wrong settings; the sentence names the setting, never a secret

The text of each is one sentence that may be shown to the person who asked.
"""

from __future__ import annotations

from datetime import timedelta


class CountersignError(Exception):
    """A rule of the workflow, broken; its text is one sentence fit for the person who asked."""


class NotFound(CountersignError):
    """No such task or review."""


class Unidentified(CountersignError):
    """Nobody is named by this request."""


class Forbidden(CountersignError):
    """This person may not do this."""


class NotAReviewer(Forbidden):
    """Not among the policy's reviewers."""


class SelfReview(Forbidden):
    """The submitter, where the policy does not allow self-review."""


class NotAnAdmin(Forbidden):
    """Not among those whom `[admins]` lists."""


class NotTheSubmitter(Forbidden):
    """Neither who submitted the task nor an administrator; or an administrator who asked it themselves."""


class Refused(CountersignError):
    """The right person at the wrong time."""


class NotWaiting(Refused):
    """The task has no open review."""


class ReviewIsClosed(Refused):
    """Somebody else, or a newer attempt, was first."""


class AlreadyDecided(Refused):
    """This person has said the same of this review, which is still open for others."""


class AlreadyAnswered(Refused):
    """The question has its answer."""


class NotYourTurn(Refused):
    """Another stage of the policy is being decided."""


class ConfirmOnPage(Refused):
    """The policy takes no press in chat for a decision; the page does."""


class TaskIsClosed(Refused):
    """The task is completed, failed or cancelled."""


class TaskIsRunning(Refused):
    """The task is pending or running, so nobody may move it."""


class StaleReview(CountersignError):
    """The review or attempt named is not the open one."""


class Invalid(CountersignError):
    """A value that cannot be accepted."""


class UnknownFlow(Invalid):
    """No flow of that name is configured."""


class ReasonMissing(Invalid):
    """The policy asks for a reason with this verdict."""


class KeyReused(Invalid):
    """An idempotency key came back with another request."""


class Unavailable(CountersignError):
    """Nothing was changed; worth trying again after ``retry_after``."""

    def __init__(self, sentence: str, *, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class StoreUnavailable(Unavailable):
    """The database cannot take or give data now: disk full, file locked, connection lost.

    ``detail`` is one more sentence, for the log and the terminal alone: it names machines.
    """

    def __init__(
        self, sentence: str, *, retry_after: timedelta = timedelta(seconds=2), detail: str | None = None
    ) -> None:
        super().__init__(sentence, retry_after=retry_after)
        self.detail = detail

    @property
    def in_full(self) -> str:
        """The sentence for whoever runs the database."""
        return self.detail or str(self)

    def again(self) -> StoreUnavailable:
        """The same: one exception raised in many tasks would collect all their tracebacks."""
        return StoreUnavailable(str(self), retry_after=self.retry_after, detail=self.detail)


class Overloaded(Unavailable):
    """More work is waiting than is accepted."""


class NotOffered(CountersignError):
    """This installation has another way for it, which the sentence names."""


class DeliveryError(CountersignError):
    """A channel could not show a card; the text is for the log and the task's page, without secrets."""


class RateLimited(DeliveryError):
    """The platform said when to come back.

    ``whole_channel`` is true where the limit holds for every recipient of the channel, ``lane_only`` where
    it holds for what was tried alone: for edits and for no post, or the other way round. ``is_post`` is true
    where that was a post in place of an edit.
    """

    is_post = False

    def __init__(
        self,
        sentence: str,
        *,
        retry_after: timedelta,
        whole_channel: bool = False,
        lane_only: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        self.whole_channel = whole_channel
        self.lane_only = lane_only


class Unreachable(DeliveryError):
    """May work later: no connection, a time-out, the platform's 5xx."""


class Undeliverable(DeliveryError):
    """Will not work for this recipient: kicked, archived, blocked, deleted, refused."""


class Unwanted(Undeliverable):
    """The recipient wants nothing more of this task."""


class MessageGone(DeliveryError):
    """The message to be edited is no longer there: somebody deleted it."""


class PlaceMoved(DeliveryError):
    """The recipient has another address now, and messages at the old one cannot be changed any more."""

    def __init__(self, sentence: str, *, address: str) -> None:
        super().__init__(sentence)
        self.address = address


class FlowError(CountersignError):
    """A flow or node that cannot be run as it is."""


class StaleRun(CountersignError):
    """The task moved on under a running segment, whose work is dropped."""


class SettingsError(CountersignError):
    """Wrong settings; the sentence names the setting and never a secret.

    ``mend``, where it is given, is its last part: what to do, after ``what`` is wrong.
    """

    def __init__(self, what: str, *, mend: str | None = None) -> None:
        super().__init__(what if mend is None else f"{what}; {mend}.")
        self.what, self.mend = what, mend
