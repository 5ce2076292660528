"""What the pages show: read-only, but for signing in and out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from aiohttp import web
from markupsafe import Markup

from core.events import EVENTS, kind
from core.model import LOCAL, DeliveryState, Status, TaskFilter
from core.picture import svg
from web.auth import CALLER, SESSION
from web.bodies import parsed
from web.gate import see_other, wants_page
from web.pages.since import Differences
from web.pages.trail import called_off, diffs, leaves, timeline, way, working
from web.parameters import cursor, known_id, own_path, task_filter
from web.schemas import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.explaining import Explanation
    from core.model import (
        Delegation,
        Delivery,
        PersonId,
        Question,
        QuestionId,
        ReviewId,
        ReviewRequest,
        StoredCheckpoint,
        Task,
    )
    from core.service import Service
    from web.auth import Caller, Callers
    from web.pages import Pages
    from web.pages.since import Since

    CardLinks = Callable[[ReviewId, Sequence[Delivery]], Sequence[tuple[str, str]]]
    """Of a review and all deliveries of its task: each chat that shows its card, by name, and a link."""

KINDS = " ".join(kind(event) for event in EVENTS)
"""The names under which the stream that a task's page follows sends its messages."""
RECENT = 8
LISTED = 50
"""Tasks on one page of the list of all."""
MANY = 9
"""Of their own waiting tasks, people are told the number up to this one."""
LONGEST_INBOX = 100
"""Reviews that it shows, the oldest: it is looked at every few seconds, and holds every draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A flow's picture, and what it shows in words."""

    picture: Markup
    words: str
    current: str | None


class Views:
    """The handlers of the pages."""

    def __init__(
        self, *, service: Service, callers: Callers, pages: Pages, card_links: CardLinks | None = None
    ) -> None:
        self._service = service
        self._card_links = card_links
        self._callers = callers
        self._pages = pages
        self._differences = Differences(service)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.form),
            web.get("/tasks", self.tasks),
            web.get("/tasks/{task_id}", self.task),
            web.get("/inbox", self.inbox),
            web.get("/sign-in", self.ask_to_sign_in),
            web.post("/sign-in", self.sign_in),
            web.post("/sign-out", self.sign_out),
        ]

    async def form(self, request: web.Request) -> web.Response:
        mine = await self._service.tasks(TaskFilter(submitter=request[CALLER].person), limit=RECENT)
        return self._pages.page(
            request, "form.html", recent=mine.tasks, flows=self._service.offers(), once=token_hex(12)
        )

    async def tasks(self, request: web.Request) -> web.Response:
        """Everybody's, newest first: also what has ended, which no inbox shows any more."""
        wanted = task_filter(request)
        found = await self._service.tasks(wanted, cursor=cursor(request), limit=LISTED)
        return self._pages.page(
            request,
            "tasks.html",
            tasks=found.tasks,
            wanted=wanted,
            is_first=cursor(request) is None,
            older=found.cursor and str(request.rel_url.update_query(cursor=found.cursor)),
            statuses=[status.value for status in Status],
            flows=sorted({*self._service.flow_names, *filter(None, [wanted.flow])}),
            somebody=self._service.somebody,
        )

    async def task(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        # Read first, so that whatever happens meanwhile comes with the stream, which goes on from here.
        story = await self._service.story(task_id)
        task = await self._service.task(task_id)
        reviews = await self._service.reviews(task.id)
        checkpoints = await self._service.checkpoints.of_task(task.id)
        caller = request[CALLER]
        may_resume = self._service.may_resume(caller.person)
        is_theirs = may_resume or caller.person == task.submitter
        asking = await self._asking(task, caller)
        questions = await self._questions(task)
        deliveries = await self._service.deliveries(task.id)
        return self._pages.page(
            request,
            "task.html",
            task=task,
            seq=story.seq,
            kinds=KINDS,
            working=working(story.said),
            turns=timeline(story.turns, reviews),
            called_off=called_off(task, story.turns),
            diffs=diffs(story.turns),
            forks=await self._service.checkpoints.forks(task.id),
            last_review=reviews[-1].id if reviews else None,
            leaves=leaves(checkpoints),
            unlisted=checkpoints[0].number if checkpoints else 0,
            flow=self._flow(task, checkpoints, next((one for one in reviews if one.is_open), None)),
            may_resume=may_resume,
            asking=asking,
            since=await self._since(asking),
            questions=questions,
            may_ask=asking is not None and self._may_ask(asking, caller.person),
            may_answer=[] if asking is None else self._may_answer(asking.review, questions, caller.person),
            may_cancel=is_theirs,
            somebody=self._service.somebody,
            undelivered=undelivered(deliveries),
            on_its_way=any(map(_is_on_its_way, deliveries)),
            card_links=self._card_links(reviews[-1].id, deliveries) if self._card_links and reviews else (),
        )

    def _flow(
        self, task: Task, checkpoints: Sequence[StoredCheckpoint], asking: ReviewRequest | None
    ) -> Drawn | None:
        graph = self._service.graph(task.flow)
        if graph is None:
            return None
        path = way(task, checkpoints, graph, asking)
        drawn = svg(graph, current=path.current, taken=path.taken, title=f"Flow {task.flow}")
        return Drawn(picture=Markup(drawn), words=path.words, current=path.current)  # noqa: S704 - made of escaped names

    async def inbox(self, request: web.Request) -> web.Response:
        person = request[CALLER].person
        waiting = await self._service.waiting_for(person, limit=LONGEST_INBOX + 1)
        elsewhere = None if waiting else await self._waiting_elsewhere(person)
        standing = await self._service.delegations.standing()
        shown = {
            "waiting": waiting[:LONGEST_INBOX],
            "has_more": len(waiting) > LONGEST_INBOX,
            "elsewhere": elsewhere,
            "asked": await self._service.questions.for_submitter(person),
            "away": next((one for one in standing if one.person == person), None),
            "decides_for": {review.id: decides_for(review, person, standing) for review in waiting},
        }
        return await self._pages.unless_seen(
            request,
            "inbox.html",
            shown=shown,
            names=(self._service.people(), self._service.in_force()),
            rest=partial(self._rest_of_inbox, person, waiting[:LONGEST_INBOX]),
        )

    async def _rest_of_inbox(self, person: PersonId, waiting: Sequence[ReviewRequest]) -> dict[str, Any]:
        return {
            "somebody": self._service.somebody,
            "since": await self._differences.of(waiting),
            "stands": {review.id: self._service.explained(review, person) for review in waiting},
        }

    async def ask_to_sign_in(self, _request: web.Request) -> web.Response:
        """For whoever opens the address that a wrong token has left in the browser."""
        return see_other("/")

    async def sign_in(self, request: web.Request) -> web.Response:
        body = await parsed(request, SignIn)
        cookie = await self._callers.sign_in(_token(body.token))
        response = see_other(own_path(body.next)) if wants_page(request) else web.Response(status=204)
        response.set_cookie(
            self._callers.cookie,
            cookie,
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            secure=self._callers.secure,
            samesite="Lax",
            path="/",
        )
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        await self._callers.sign_out(request)
        response = see_other("/") if wants_page(request) else web.Response(status=204)
        response.del_cookie(
            self._callers.cookie, path="/", secure=self._callers.secure, httponly=True, samesite="Lax"
        )
        return response

    async def _waiting_elsewhere(self, person: PersonId) -> str | None:
        """A sentence on a person's own tasks that wait for others; None where there are none."""
        mine = TaskFilter(status=Status.WAITING_FOR_REVIEW, submitter=person)
        found = await self._service.tasks(mine, limit=MANY)
        if not found.tasks:
            return None
        if len(found.tasks) == 1:
            return "1 task of yours waits for somebody else."
        number = f"More than {MANY}" if found.cursor else len(found.tasks)
        return f"{number} tasks of yours wait for somebody else."

    async def _questions(self, task: Task) -> list[Question]:
        """Those about the open review; older ones stand in the timeline."""
        if task.review is None:
            return []
        return [one for one in await self._service.questions.of_task(task.id) if one.review == task.review]

    def _may_ask(self, asking: Explanation, person: PersonId) -> bool:
        """Reviewers, also of another stage, and who decides for one."""
        is_theirs = person == asking.review.task.submitter and person != LOCAL
        return not is_theirs and (asking.may_decide or self._service.questions.may_ask(asking.review, person))

    def _may_answer(
        self, review: ReviewRequest, questions: Sequence[Question], person: PersonId
    ) -> list[QuestionId]:
        may_answer = self._service.questions.may_answer
        return [one.id for one in questions if may_answer(one, review, person)]

    async def _since(self, asking: Explanation | None) -> Since | None:
        return None if asking is None else (await self._differences.of([asking.review]))[asking.review.id]

    async def _asking(self, task: Task, caller: Caller) -> Explanation | None:
        """The open review, explained to the viewer."""
        return None if task.review is None else await self._service.explain(task.id, caller.person)


def decides_for(review: ReviewRequest, person: PersonId, standing: Sequence[Delegation]) -> list[PersonId]:
    """Reviewers in whose place somebody who is no reviewer finds this in their inbox."""
    known = review.policy.reviewers
    if person in known:
        return []
    return [one.person for one in standing if one.delegate == person and one.person in known]


def _is_on_its_way(delivery: Delivery) -> bool:
    """Whether what becomes of it is to be seen on the page, and is not yet: that is no event."""
    return delivery.state is DeliveryState.DUE and (delivery.message is None or delivery.tries > 0)


def undelivered(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Cards and notices that were given up, or that failed and will be tried again."""
    return [
        delivery
        for delivery in deliveries
        if delivery.state is DeliveryState.GIVEN_UP or (delivery.tries and delivery.error)
    ]


def _token(pasted: str) -> str:
    """What was pasted into the form, also where it is the whole link."""
    return pasted.rpartition("#token=")[2].strip()
