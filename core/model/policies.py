"""Who may decide, how many must agree, by when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from core.model.decisions import Verdict

if TYPE_CHECKING:
    from core.model.deliveries import Recipient
    from core.model.names import ChannelName, PersonId


class Party(StrEnum):
    """Somebody who has a hand in what is reviewed."""

    SUBMITTER = "submitter"
    EDITOR = "editor"
    """Whose edit the draft is."""


class ReasonRule(StrEnum):
    """When a decision has to come with a comment."""

    NEVER = "never"
    ON_REJECT = "on_reject"
    ALWAYS = "always"


class Assurance(StrEnum):
    """What proves that a decision is its reviewer's."""

    CHAT = "chat"
    """A press in chat will do."""
    CONFIRM = "confirm"
    """A press in chat leads to the page, where its reviewers sign in to decide."""


class OnExpiry(StrEnum):
    """What becomes of a review that nobody decided in time."""

    REJECT = "reject"
    """It expires, and the flow goes the way of a rejection, without a next attempt."""
    APPROVE = "approve"
    ESCALATE = "escalate"
    """The escalation happens, and the deadline begins anew; the second time it is as `REJECT`."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """So many of these people have to approve."""

    name: str
    """The group's; `reviewers` where there is none."""
    people: tuple[PersonId, ...]
    approvals: int
    outside: tuple[str, ...] = ()
    """The groups among them whose members somebody else keeps; who is in them today may approve, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingHours:
    """When somebody is at work; reminders and escalations wait for it."""

    cron: str
    """The minutes at work as five cron fields: `* 9-16 * * mon-fri`."""
    zone: str
    """Of the IANA database: `Europe/Madrid`."""
    holidays: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Who is asked besides, and where, once a review has waited so long."""

    after: timedelta | None
    """Since the review opened; None is at the deadline only, where `on_expiry` says so."""
    people: tuple[PersonId, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    outside: tuple[str, ...] = ()
    """As a quorum's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may decide, how many must agree, by when. No reviewers means nobody.

    Where there are no `stages`, `approvals` of all `reviewers` are asked for in one.
    """

    name: str
    reviewers: tuple[PersonId, ...]
    """Everybody who may decide in some stage."""
    approvals: int = 1
    """How many approvals are asked for in all."""
    stages: tuple[tuple[Quorum, ...], ...] = ()
    """In sequence; each has one quorum or more, met side by side and by different people."""
    rejections: int = 1
    """How many people have to reject; 1 is a veto."""
    distinct_from: tuple[Party, ...] = (Party.SUBMITTER,)
    """Who may not decide, although a reviewer."""
    reason: ReasonRule = ReasonRule.NEVER
    quick_reasons: tuple[str, ...] = ()
    """Comments to choose from."""
    assurance: Assurance = Assurance.CHAT
    destructive: bool = False
    """Whether what follows an approval cannot be undone: in chat it takes a second press."""
    deadline: timedelta | None = None
    """How long the review is open; None is for ever."""
    reminders: tuple[timedelta, ...] = ()
    """How long after its opening those who have not decided are reminded."""
    escalation: Escalation | None = None
    on_expiry: OnExpiry = OnExpiry.REJECT
    hours: tuple[WorkingHours, ...] = ()
    """Of the reviewers' groups; none is at any time."""
    carries: bool = False
    """Whether approvals count in the next attempt, too."""
    keeps_removed: bool = True
    """Whether decisions count of people who are no reviewers any more."""
    claim: timedelta = timedelta(minutes=15)
    """How long it is shown that somebody is looking, unless they say so again."""
    recipients: tuple[Recipient, ...] = ()
    outside: tuple[str, ...] = ()
    """The groups of all its quorums whose members somebody else keeps."""
    fallback: tuple[Recipient, ...] = ()
    """Where the card goes that one of the recipients cannot be shown."""

    @property
    def channels(self) -> frozenset[ChannelName]:
        """Where there may be cards."""
        return frozenset(place.channel for place in (*self.recipients, *self.fallback))

    @property
    def in_stages(self) -> tuple[tuple[Quorum, ...], ...]:
        return self.stages or ((self._everybody,),)

    @property
    def _everybody(self) -> Quorum:
        return Quorum(name="reviewers", people=self.reviewers, approvals=self.approvals, outside=self.outside)

    def asks_why(self, verdict: Verdict) -> bool:
        """Whether a decision of this kind has to come with a reason."""
        return self.reason is ReasonRule.ALWAYS or (
            self.reason is ReasonRule.ON_REJECT and verdict is Verdict.REJECT
        )
