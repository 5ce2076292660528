"""ReviewRequest -> Card: what is shown of a review, in no platform's markup.

A card's strings are as their authors wrote them; whatever draws a card passes each through `bot.literal`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from bot.buttons import Action
from core.changes import PREVIOUS, difference
from core.explaining import looking, standing, upcoming
from core.literal import is_short
from core.model import Assurance, OnExpiry, Outcome, Point, Status, Verdict, text_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from datetime import datetime

    from bot.buttons import Buttons
    from core.changes import Difference
    from core.model import Decision, Json, Person, PersonId, Policy, Recipient, ReviewRequest, TaskId

MENU = 5
"""Options of Slack's smallest menu, its "overflow" (Block Kit reference)."""
REMARKS = 6
"""More decisions than these are counted, not shown: a message has limits, the task's page has none."""

IRREVOCABLE = "What follows cannot be undone."
"""Said to whoever approves under a destructive policy."""
ON_ITS_PAGE = "decided on its page"
"""Where a press in chat is not enough; whoever presses all the same is told so."""
NEWER = "a newer card of this review is below: what was pressed on this one may have been lost"

STANDS_IN = "in place of a card that could not be shown elsewhere"


class CardState(StrEnum):
    """What has become of a review, as its card's first word."""

    OPEN = "Review"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"
    FAILED = "Failed"
    EDITED = "Edited"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """A word or two inside a line of ours that somebody else chose, such as a name."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Somebody whom the message is for, to be called by the id that the platform knows them by."""

    name: str
    person: PersonId | None
    """None where an event does not say which person it was."""


Line = tuple[str | Theirs, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A line, and what somebody said with it."""

    line: Line
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """Something to press; `token` is at most 64 bytes."""

    label: str
    token: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One review as shown in one message."""

    state: CardState
    title: str
    byline: Line
    previous: tuple[Remark, ...]
    """Every "no", or the edit, that led to this attempt."""
    difference: Difference | None
    """None where there is nothing to compare."""
    draft: str
    """What was put before reviewers or, once an edit of it is approved, that."""
    is_prose: bool
    """False where the draft is structured data."""
    has_file: bool
    """Whether the draft is in the thread as a file, too."""
    decided: int
    """Decisions before those among `remarks`."""
    remarks: tuple[Remark, ...]
    note: str | None
    buttons: tuple[Button, ...]
    menu: tuple[Button, ...]
    """What somebody may do besides; none where there are no buttons. Without `Action.EDIT` at most `MENU`."""
    url: str
    """The task's page."""
    sha256: str
    """Of the whole draft as UTF-8, in hexadecimal digits."""
    is_for_page: bool = False
    """Whether its buttons decide nothing, and lead to the page where that is decided."""
    called: tuple[Named, ...] = ()
    """Whom it waits for, where several read it: called as it is posted, and only named as it changes."""

    def told(self, latest: int) -> tuple[Remark, ...]:
        """The latest remarks, and how many decisions came before."""
        hidden = max(0, len(self.remarks) - latest)
        before = self.decided + hidden
        counted = (Remark(line=(f"Decisions before these: {before}",)),) if before else ()
        return (*counted, *self.remarks[hidden:])


def card(
    request: ReviewRequest, *, public_url: str, buttons: Buttons, place: Recipient | None = None
) -> Card:
    """The card as it should look now, in this place; `public_url` is the base of our own pages."""
    draft = text_of(request.content)
    return Card(
        state=state(request),
        title=request.task.title,
        byline=_byline(request, place),
        previous=_previous(request),
        difference=difference(request),
        draft=draft,
        is_prose=isinstance(request.content, str),
        # A closed review's is not sent any more, and an edit's never is.
        has_file=request.is_open and not is_short(draft),
        decided=max(0, len(request.decisions) - REMARKS),
        remarks=_remarks(request),
        note=_note(request),
        buttons=_buttons(request, buttons, _ASK_FIRST if _asks_first(request.policy) else _DECIDE),
        menu=_buttons(request, buttons, _MENU if request.decisions else _MENU[:-1]),
        url=url_of(request.task.id, public_url),
        sha256=hashlib.sha256(encoded(request.content)).hexdigest(),
        is_for_page=_is_for_page(request),
    )


def encoded(draft: Json) -> bytes:
    """What a draft's SHA-256 is made of, and its file."""
    return text_of(draft).encode("utf-8", "surrogatepass")


def whole(card: Card) -> str:
    """Where all of a draft is that had to be cut."""
    return "the file below and its page have them all" if card.has_file else "its page has them all"


def calling(shown: Card, people: Iterable[Person], here: Container[PersonId]) -> Card:
    """The card as it is shown where several read it; `here` are those whom the platform can call."""
    named = (Named(name=one.name, person=one.id) for one in people if one.id in here)
    return replace(shown, called=tuple(named))


def enumerated(named: Sequence[Named]) -> list[str | Named]:
    """`Ana, Ben and Cy`."""
    parts: list[str | Named] = []
    for number, one in enumerate(named, 1):
        is_last = number == len(named) > 1
        parts += [*([" and " if is_last else ", "] if number > 1 else []), one]
    return parts


def retired(shown: Card) -> Card:
    """The card once another one of its review stands in for it: it can only be looked at."""
    return replace(shown, buttons=(), menu=(), note=NEWER) if shown.buttons else shown


def state(request: ReviewRequest) -> CardState:
    """The outcome in a reader's words."""
    if request.taken_back_by is not None:
        return CardState.SUPERSEDED
    if request.outcome is Outcome.CANCELLED and request.task.status is Status.FAILED:
        return CardState.FAILED
    if request.outcome is Outcome.OPEN and not _awaits(request):
        return CardState.SUPERSEDED
    return _STATES[request.outcome]


def clock_time(at: datetime) -> str:
    """`at` is in UTC, and so says the text."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def url_of(task: TaskId, public_url: str) -> str:
    """The task's page."""
    return f"{public_url.rstrip('/')}/tasks/{task}"


def _awaits(request: ReviewRequest) -> bool:
    return request.is_open and request.outcome is Outcome.OPEN and request.superseded_by is None


def _byline(request: ReviewRequest, place: Recipient | None) -> Line:
    task = request.task
    line: Line = (f"attempt {request.attempt} · submitted by ", Theirs(text=task.submitter_name))
    if (request.point, request.node) != (Point.REVIEW, _ONLY):
        line = (f"{_POINTS.get(request.point, '')}", Theirs(text=request.node), " · ", *line)
    if task.on_behalf_of is not None:
        line += (" on behalf of ", Theirs(text=task.on_behalf_of))
    policy = request.policy
    if place in policy.fallback and place not in policy.recipients:
        line += (f" · {STANDS_IN}",)
    return line


def _previous(request: ReviewRequest) -> tuple[Remark, ...]:
    """Its attempt is not always this one less one (an edit opens one, too), so no number is given."""
    led = request.led
    remarks = [_remark(made, f"Before this, {_DID[made.verdict]} by ") for made in led[-PREVIOUS:]]
    return _with_hidden("Rejections before these: ", len(led) - PREVIOUS, remarks)


def _remarks(request: ReviewRequest) -> tuple[Remark, ...]:
    did = _DECIDED | ({Verdict.EDIT: "Edited by "} if request.outcome is Outcome.EDITED else {})
    remarks = [
        _remark(made, did[made.verdict], is_carried=made.at < request.opened_at)
        for made in request.decisions[-REMARKS:]
    ]
    return (*remarks, *_endings(request))


def _with_hidden(words: str, hidden: int, remarks: list[Remark]) -> tuple[Remark, ...]:
    return (Remark(line=(f"{words}{hidden}",)), *remarks) if hidden > 0 else tuple(remarks)


def _remark(decision: Decision, words: str, *, is_carried: bool = False) -> Remark:
    """`is_carried`: given in an attempt before, so of another draft."""
    line: Line = (words, Theirs(text=decision.reviewer_name))
    if decision.person is not None:
        line += (" for ", Theirs(text=decision.person_name or decision.person))
    before = " in an attempt before" if is_carried else ""
    return Remark(line=(*line, f"{before}, {clock_time(decision.at)}"), comment=decision.comment or None)


def _endings(request: ReviewRequest) -> tuple[Remark, ...]:
    """What ended this review other than a decision, and what it did not save."""
    when = f", {clock_time(request.closed_at)}" if request.closed_at else ""
    if request.outcome is Outcome.EXPIRED and request.task.status is not Status.FAILED:
        return (Remark(line=(f"Expired undecided{when}",)),)
    if _is_approved_by_time(request):
        return (Remark(line=(f"Approved by its policy, as it was not decided in time{when}",)),)
    if request.task.status is Status.FAILED and request.superseded_by is None:
        return (Remark(line=("The task failed.",), comment=request.task.error),)
    if request.taken_back_by is not None:
        who: Line = (Theirs(text=request.taken_back_by), ", who resumed the task")
        return (Remark(line=("Taken back by ", *who, when)),)
    if request.outcome is Outcome.CANCELLED:
        by: Line = (" by ", Theirs(text=request.cancelled_by)) if request.cancelled_by else ()
        return (Remark(line=("Cancelled", *by, when)),)
    return ()


def _note(request: ReviewRequest) -> str | None:
    if request.superseded_by is not None:
        return f"superseded by attempt {request.superseded_by}"
    escalated = "escalated" if request.is_open and request.is_escalated else ""
    where = ON_ITS_PAGE if _is_for_page(request) else ""
    stuck = f"{request.stuck}: {request.remedy}" if request.is_open and request.stuck else ""
    parts = (escalated, standing(request), upcoming(request), where, looking(request), stuck)
    return " · ".join(filter(None, parts)) or None


def _is_for_page(request: ReviewRequest) -> bool:
    return _awaits(request) and request.policy.assurance is Assurance.CONFIRM


def _is_approved_by_time(request: ReviewRequest) -> bool:
    """The deadline approved it, and not somebody in the moment before."""
    is_wanted = request.outcome is Outcome.APPROVED and request.policy.on_expiry is OnExpiry.APPROVE
    return is_wanted and request.is_by_the_clock


def _asks_first(policy: Policy) -> bool:
    """Whether Approve is to take a second press, where it does not anyway."""
    is_asked_more = policy.asks_why(Verdict.APPROVE) or policy.assurance is Assurance.CONFIRM
    return policy.destructive and not is_asked_more


def _buttons(
    request: ReviewRequest, buttons: Buttons, offered: Iterable[tuple[str, Action]]
) -> tuple[Button, ...]:
    if not _awaits(request):
        return ()
    return tuple(
        Button(label=label, token=buttons.token(request.id, request.attempt, action), action=action)
        for label, action in offered
    )


_STATES = {
    Outcome.OPEN: CardState.OPEN,
    Outcome.APPROVED: CardState.APPROVED,
    Outcome.REJECTED: CardState.REJECTED,
    Outcome.EXPIRED: CardState.EXPIRED,
    Outcome.CANCELLED: CardState.CANCELLED,
    Outcome.EDITED: CardState.EDITED,
}
_DECIDED = {
    Verdict.APPROVE: "Approved by ",
    Verdict.REJECT: "Rejected by ",
    Verdict.EDIT: "Edited and approved by ",
}
_DID = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected", Verdict.EDIT: "edited"}
_POINTS = {Point.BEFORE: "before ", Point.AFTER: "after ", Point.INSIDE: "asked by ", Point.REVIEW: ""}
_DECIDE = (("Approve", Action.APPROVE), ("Reject…", Action.REJECT))
_ASK_FIRST = (("Approve…", Action.ASK_APPROVE), ("Reject…", Action.REJECT))
_MENU = (
    ("Edit…", Action.EDIT),
    ("Ask…", Action.ASK),
    ("I'm looking", Action.CLAIM),
    ("Remind me in 1 hour", Action.SNOOZE_HOUR),
    ("Remind me tomorrow", Action.SNOOZE_DAY),
    ("Take back my decision", Action.WITHDRAW),  # the last: offered where somebody has decided
)
_ONLY = "review"
"""The name of a flow's one review, which says nothing more."""
