"""`GET /inbox`, asked for every few seconds: what has not changed is neither made nor sent again."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from core.events import ClaimEnded
from core.model import Person, PersonId, Submission, Verdict
from tests.web.reading import Seen
from tests.web.web_house import PAGE
from tests.world import ANA, BEN, CY, EVE, SAM

if TYPE_CHECKING:
    import aiohttp

    from core.model import Task
    from tests.web.policy_house import PolicyHouse
    from tests.world import StoppedClock

TAG = re.compile(r'data-tag="[^"]+"')


class Reader:
    """A page that is asked for again and again, as its script does."""

    def __init__(self, browser: aiohttp.ClientSession, path: str = "/inbox") -> None:
        self._browser = browser
        self._path = path
        self.tag = ""
        self.body = ""

    async def look(self, **headers: str) -> int:
        """The status; what is told to be unchanged is unchanged, and what is sent again has changed."""
        asked = {**PAGE, "If-None-Match": self.tag or '"none"', **headers}
        before = self.body
        async with self._browser.get(self._path, headers={**PAGE, **headers}) as answer:
            assert answer.status == 200
            now, self.body = answer.headers["ETag"], TAG.sub("", await answer.text())
            page = Seen(await answer.text())
            (live,) = [one for one in page.all("div") if one.get("id") == "live"]
            assert live["data-tag"] == now
        async with self._browser.get(self._path, headers=asked) as answer:
            assert answer.headers["ETag"] == now
            assert answer.headers["Cache-Control"] == "no-store"
            sent = await answer.read()
        assert (answer.status == 304) == (now == self.tag) == (self.body == before) == (not sent)
        self.tag = now
        return answer.status


async def test_whatever_changes_in_it_is_sent_and_nothing_else_is(
    office: PolicyHouse, clock: StoppedClock
) -> None:
    world, service = office.world, office.world.service
    reader = Reader(await office.signed_in("ana"))

    async def changes() -> None:
        assert await reader.look() == 200
        assert await reader.look() == 304

    await changes()  # empty
    task: Task = await world.submit("For two", flow="two")
    review = await office.open_review(task.id)
    await changes()
    await service.looking.claim(review, BEN.id, via="web")
    await changes()
    await service.looking.claim(review, ANA.id, via="web")
    await changes()
    await service.looking.snooze(review, ANA.id, timedelta(hours=2), via="web")
    await changes()
    await office.later(1)
    await office.world.event(task.id, ClaimEnded, 2)  # nobody says any more that they look
    await changes()
    await service.looking.wake(review, ANA.id, via="web")
    await changes()
    await service.decide(review, CY.id, Verdict.APPROVE, comment="Good", via="slack")
    await changes()
    await service.withdraw(review, CY.id, via="web")
    await changes()
    await service.delegations.add(CY.id, BEN.id, clock.now() + timedelta(hours=1), by=CY.id)
    assert await reader.look() == 304
    await service.delegations.add(ANA.id, EVE.id, clock.now() + timedelta(hours=1), by=ANA.id)
    await changes()
    office.service.answers.update(
        people=lambda: (EVE_RENAMED,), somebody=lambda one: EVE_RENAMED if one == EVE.id else ANA
    )
    await changes()
    office.service.answers.clear()
    await changes()
    clock.advance(hours=2)  # back
    await changes()
    mine, _ = await service.submit(Submission(input="Hers", flow="alone", submitter=ANA.id))
    await office.open_review(mine.id)
    assert await reader.look() == 304
    await service.decide(review, CY.id, Verdict.EDIT, content="For two, edited", via="web")
    await office.open_review(task.id, 2)
    await changes()
    await service.cancel(task.id, SAM.id)
    await changes()  # "1 task of yours waits for somebody else."


EVE_RENAMED = Person(id=PersonId("eve"), name="Eve Moss-Okri")


async def test_questions_are_part_of_it(office: PolicyHouse) -> None:
    task_id = await office.submitted()
    review = await office.open_review(task_id)
    sam = Reader(await office.signed_in("sam"))
    assert [await sam.look(), await sam.look()] == [200, 304]
    asked = await office.world.service.questions.ask(review, ANA.id, "Which hours?", via="web")
    assert [await sam.look(), await sam.look()] == [200, 304]
    await office.world.service.questions.answer(asked.id, SAM.id, "Nine to five", via="web")
    assert [await sam.look(), await sam.look()] == [200, 304]


async def test_somebody_else_s_inbox_is_another(office: PolicyHouse) -> None:
    """In the same browser, after signing in as somebody else, or anew: the forms are of the session."""
    await office.submitted(flow="two")
    ana, ben, again = [Reader(await office.signed_in(who)) for who in ("ana", "ben", "ana")]
    assert [await one.look() for one in (ana, ben, again)] == [200, 200, 200]
    assert len({one.tag for one in (ana, ben, again)}) == 3
    for other in (ben.tag, again.tag):
        browser = await office.signed_in("ana")
        async with browser.get("/inbox", headers={**PAGE, "If-None-Match": other}) as answer:
            assert answer.status == 200


async def test_it_is_told_to_nobody_who_is_not_signed_in(office: PolicyHouse) -> None:
    reader = Reader(await office.signed_in("ana"))
    await reader.look()
    for tag in (reader.tag, "*"):
        async with office.http.get("/inbox", headers={**PAGE, "If-None-Match": tag}) as answer:
            assert answer.status == 401


async def test_what_is_unchanged_is_not_rendered(office: PolicyHouse) -> None:
    """However it is asked: among several, and as a proxy passes it on."""
    await office.submitted()
    browser = await office.signed_in("ana")
    reader = Reader(browser)
    await reader.look()
    plain = reader.tag.removeprefix("W/")
    for said in (reader.tag, plain, f'"x", {reader.tag}', "*"):
        async with browser.get("/inbox", headers={**PAGE, "If-None-Match": said}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    for said in ('"x"', "", plain.strip('"'), "\udcff"):
        async with browser.get("/inbox", headers={**PAGE, "If-None-Match": said}) as answer:
            assert answer.status == 200
