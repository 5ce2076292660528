"""How a task came to where it stands, as its page tells it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from core.events import (
    ClaimEnded,
    DecisionRecorded,
    DecisionsCarried,
    DecisionsDropped,
    DecisionWithdrawn,
    ProgressReported,
    QuestionAnswered,
    QuestionAsked,
    ReminderSnoozed,
    ReviewClaimed,
    ReviewerReminded,
    ReviewEscalated,
    ReviewExpired,
    ReviewRequested,
    ReviewStuck,
    TaskCancelled,
    TaskForked,
    TaskRewound,
    TextStreamed,
    kind,
)
from core.graph import ROOT
from core.model import Point
from web.pages.text import beginning
from web.schemas import text_diff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from core.events import Event
    from core.graph import Graph
    from core.model import Decision, Json, ReviewRequest, StoredCheckpoint, StoredEvent, Task

STREAMED = 20_000
"""Characters of a node's text that are shown while it works: the newest. The page's script keeps to it."""
OPENED = 30
"""Of the checkpoints that are listed: how many with what they hold, the newest."""
GLIMPSE = 4_000
"""Characters of a value in that list; the checkpoint's own page shows more."""
COMPARED, COMPARED_GLIMPSES = 100_000, 5
"""Characters of a text that is compared for a page; in the list, so many times what is shown of a value."""
NAMED = 12
"""Nodes that the words below the picture name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """What the node at work has said so far."""

    node: str = ""
    fraction: float | None = None
    note: str | None = None
    text: str = ""

    @property
    def has_progress(self) -> bool:
        return self.fraction is not None or self.note is not None

    @property
    def percent(self) -> int | None:
        return None if self.fraction is None else round(self.fraction * 100)


def working(said: Sequence[StoredEvent]) -> Working:
    """Of what the node that runs now has said, oldest first."""
    events = [stored.event for stored in said]
    reports = [event for event in events if isinstance(event, ProgressReported)]
    pieces = [event for event in events if isinstance(event, TextStreamed)]
    newest = reports[-1] if reports else None
    return Working(
        node=(reports or pieces)[-1].node if events else "",
        fraction=newest.fraction if newest else None,
        note=newest.text if newest else None,
        text="".join(piece.text for piece in pieces)[-STREAMED:],
    )


def asked(review: ReviewRequest) -> str:
    """Where in its flow it was asked for; empty for a flow's one review, which says nothing more."""
    if review.point is Point.REVIEW and review.node in (ROOT, "review"):
        return ""
    return f"{_POINTS.get(review.point, 'at')} {review.node}"


_POINTS = {Point.BEFORE: "before", Point.AFTER: "after", Point.INSIDE: "asked by"}


def diffs(events: Sequence[StoredEvent]) -> dict[tuple[str, str], str]:
    """What each edit changed, by review and reviewer."""
    return {
        (stored.event.review, stored.event.reviewer): stored.event.diff
        for stored in events
        if isinstance(stored.event, DecisionRecorded) and stored.event.diff
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that happened to a review, as a sentence; or a decision that stands."""

    at: datetime
    decision: Decision | None = None
    kind: str = ""
    text: str = ""
    more: str | None = None
    """What somebody wrote with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One entry of the timeline: a review with what happened to it, or that somebody resumed or forked."""

    review: ReviewRequest | None = None
    lines: tuple[Line, ...] = ()
    resumed: TaskRewound | TaskForked | None = None
    stored: StoredEvent | None = None


def timeline(events: Sequence[StoredEvent], reviews: Sequence[ReviewRequest]) -> list[Turn]:
    """In the order in which it happened; a review that opened since `events` were read comes last."""
    left = {str(review.id): review for review in reviews}
    happened: defaultdict[str, list[StoredEvent]] = defaultdict(list)
    for stored in events:
        happened[getattr(stored.event, "review", "")].append(stored)
    turns: list[Turn] = []
    for stored in events:
        if isinstance(stored.event, ReviewRequested) and stored.event.review in left:
            review = left.pop(stored.event.review)
            turns.append(Turn(review=review, lines=_lines(review, happened[review.id])))
        elif isinstance(stored.event, (TaskRewound, TaskForked)):
            turns.append(Turn(resumed=stored.event, stored=stored))
    return turns + [Turn(review=review, lines=_lines(review, ())) for review in left.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledOff:
    """By whose name, and when."""

    by: str
    at: datetime


def called_off(task: Task, events: Sequence[StoredEvent]) -> CalledOff | None:
    """The last time that somebody did; None where that has come since `events` were read."""
    for stored in reversed(events):
        if isinstance(stored.event, TaskCancelled):
            by = task.canceller(stored.event.by, stored.event.by_name)
            return CalledOff(by=by, at=stored.at)
    return None


def _lines(review: ReviewRequest, happened: Sequence[StoredEvent]) -> tuple[Line, ...]:
    """The decisions that stand, and between them what else there was, as it happened."""
    left = {(str(made.reviewer), made.at): made for made in review.decisions}
    standing: dict[int, Decision] = {}
    for stored in reversed(happened):
        event = stored.event
        if isinstance(event, DecisionRecorded) and (event.reviewer, stored.at) in left:
            standing[stored.seq] = left.pop((event.reviewer, stored.at))
    said = [
        Line(at=stored.at, decision=standing[stored.seq])
        if stored.seq in standing
        else Line(
            at=stored.at,
            kind=kind(stored.event),
            text=_TOLD[type(stored.event)](stored.event),
            more=_words_of(stored.event),
        )
        for stored in happened
        if type(stored.event) in _TOLD
    ]
    # Without an event: carried from the attempt before, or made since the events were read.
    rest = [Line(at=made.at, decision=made) for made in left.values()]
    carried = [line for line in rest if line.at <= review.opened_at]
    return (*carried, *said, *(line for line in rest if line not in carried))


def _words_of(event: Event) -> str | None:
    match event:
        case DecisionRecorded(comment=comment):
            return comment
        case QuestionAsked(text=text) | QuestionAnswered(text=text):
            return text
        case _:
            return None


_VERDICTS = {"approve": "Approved", "reject": "Rejected", "edit": "Edited"}
_TOLD: Mapping[type, Callable[[Any], str]] = {
    DecisionRecorded: lambda event: (
        f"{_VERDICTS[event.verdict]} by {_by(event)}, which does not count any more."
    ),
    DecisionWithdrawn: lambda event: f"The decision of {event.reviewer_name} was taken back.",
    DecisionsCarried: lambda event: (
        f"Approvals of the attempt before count here, too: {_listed(event.reviewers)}."
    ),
    DecisionsDropped: lambda event: (
        f"No reviewers any more, so what they said did not count: {_listed(event.people)}."
    ),
    ReviewerReminded: lambda event: f"Reminded: {_listed(event.people)}.",
    ReviewClaimed: lambda event: f"{event.person_name} is looking, until {_moment(event.until)}.",
    ClaimEnded: lambda event: (
        f"{event.person_name} stopped looking."
        if event.reason == "released"
        else f"{event.person_name} has not said again that they are looking."
    ),
    ReminderSnoozed: lambda event: (
        f"{event.person_name} is reminded with everybody else again."
        if event.until is None
        else f"{event.person_name} wants to be reminded at {_moment(event.until)}."
    ),
    QuestionAsked: lambda event: f"{event.person_name} asks {event.submitter_name}:",
    QuestionAnswered: lambda event: f"{event.person_name} answers {event.asked_by_name}:",
    ReviewEscalated: lambda event: (
        f"Escalated: {event.reason}" + (f" {_listed(event.people)} may decide, too." if event.people else "")
    ),
    ReviewStuck: lambda event: f"Stuck: {event.reason}",
    ReviewExpired: lambda event: f"Not decided in time, so its policy made it {event.outcome}.",
}
"""What a decision that is not among those that stand, and the events besides, are on the timeline."""


def _by(event: DecisionRecorded) -> str:
    return f"{event.reviewer_name} for {event.person_name}" if event.person_name else event.reviewer_name


def _moment(until: str) -> str:
    at = datetime.fromisoformat(until)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def _listed(names: Sequence[Json]) -> str:
    return ", ".join(map(str, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The path that a task took through its flow, and where it stands."""

    nodes: tuple[str, ...]
    current: str | None

    @property
    def taken(self) -> tuple[tuple[str, str], ...]:
        """The steps, as pairs of nodes; also the one to where it stands."""
        return tuple(pairwise((*self.nodes, *([self.current] if self.current else []))))

    @property
    def words(self) -> str:
        """For those who do not see the picture."""
        named = self.nodes[-NAMED:]
        path = " → ".join(("…", *named) if len(named) < len(self.nodes) else named)
        said = [f"Path taken: {path}."] if path else []
        return " ".join([*said, *([f"Now at: {self.current}."] if self.current else [])])


def way(
    task: Task, checkpoints: Sequence[StoredCheckpoint], graph: Graph, asking: ReviewRequest | None = None
) -> Way:
    """By the checkpoints that led to the newest, also those of a branch that was left and taken up again.

    `asking` is the open review: its node, which may lie inside the flow that comes next, is where it stands.
    """
    led = _lineage(checkpoints)
    nodes = tuple(
        one.node
        for before, one in pairwise([None, *led])
        if one is not None and one.node and not _is_copy(one) and not _is_echo(before, one, graph)
    )
    if task.status.is_final or not led:
        current = None
    elif asking is not None and asking.node != ROOT:
        current = asking.node
    else:
        current = _entered(led[-1].following, graph)
    return Way(nodes=nodes, current=current)


def _entered(path: str | None, graph: Graph) -> str | None:
    """The first node inside, where that is a flow whose nodes run one by one."""
    while path in graph.places and graph.places[path].is_entered:
        path = graph.start(path)
    return path


def _is_echo(before: StoredCheckpoint | None, one: StoredCheckpoint, graph: Graph) -> bool:
    """Whether a review after the node left it, which the node itself did not run for."""
    if before is None or before.node != one.node or one.node not in graph.places:
        return False
    return before.following == one.node and graph.successor(one.node, before.action) != one.node


def _lineage(checkpoints: Sequence[StoredCheckpoint]) -> list[StoredCheckpoint]:
    """The newest with its parents, as far back as they are listed, oldest first."""
    known = {one.number: one for one in checkpoints}
    led: list[StoredCheckpoint] = []
    one = checkpoints[-1] if checkpoints else None
    while one is not None:
        led.append(one)
        one = None if one.parent is None else known.get(one.parent)
    return led[::-1]


def _is_copy(one: StoredCheckpoint) -> bool:
    """Whether a branch begins with it: the node ran at its parent, and not again."""
    return one.parent is not None and one.parent != one.number - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key of a state that a node changed; `diff` where both are texts that can be compared."""

    key: str
    before: str
    now: str
    diff: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A checkpoint as a page shows it; without `state` it is one line only."""

    one: StoredCheckpoint
    changes: Sequence[Change] = ()
    state: str | None = None


def leaves(checkpoints: Sequence[StoredCheckpoint]) -> list[Leaf]:
    """The newest, oldest first."""
    lines = [Leaf(one=one) for one in checkpoints[:-OPENED]]
    return lines + [leaf(one, GLIMPSE) for one in checkpoints[-OPENED:]]


def leaf(one: StoredCheckpoint, longest: int) -> Leaf:
    changes = [
        Change(
            key=key,
            before=glimpse(before, longest),
            now=glimpse(now, longest),
            diff=_diff(one, before, now, longest),
        )
        for key, (before, now) in one.changes.items()
    ]
    return Leaf(one=one, changes=changes, state=glimpse(dict(one.state), longest))


def _diff(one: StoredCheckpoint, before: Json, now: Json, longest: int) -> str | None:
    if not (isinstance(before, str) and isinstance(now, str)):
        return None
    if max(len(before), len(now)) > min(COMPARED, COMPARED_GLIMPSES * longest):
        return None
    return text_diff(one, before, now)


def glimpse(value: Json, longest: int) -> str:
    """The value as text, cut where that is longer."""
    text, is_whole = beginning(value, longest)
    return text if is_whole else text + "…"
