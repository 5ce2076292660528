"""bot/slack/door.py: what was answered once is answered alike and not done again, while it is signed."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import ClientSession, web
from slack_bolt.response import BoltResponse

from bot.slack import door
from bot.slack.door import Door
from bot.slack.payloads import SIGNED_AT
from bot.slack.signature import WINDOW
from tests.bot.house import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from slack_bolt.async_app import AsyncApp
    from slack_bolt.request.async_request import AsyncBoltRequest

    from tests.world import StoppedClock

SECRET = b"8f742231b10e"
SECOND = timedelta(seconds=1)


class Bolt:
    """Notes each request that is let through to it."""

    def __init__(self) -> None:
        self.status = 200
        self.heard: list[AsyncBoltRequest] = []

    async def async_dispatch(self, request: AsyncBoltRequest) -> BoltResponse:
        self.heard.append(request)
        return BoltResponse(status=self.status, body=f"answer {len(self.heard)}")


class Line:
    """Between Slack and a door."""

    def __init__(self, url: str, session: ClientSession, clock: StoppedClock) -> None:
        self._url = url
        self._session = session
        self._clock = clock

    async def said(self, body: bytes, *, ahead: timedelta = timedelta()) -> dict[str, str]:
        """What Slack signs now, its clock being `ahead` of ours."""
        stamp = str(int((self._clock.now() + ahead).timestamp()))
        digest = hmac.new(SECRET, f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}

    async def sent(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        dressed = {**headers, "Content-Type": "application/json"}
        async with self._session.post(self._url, data=body, headers=dressed) as answer:
            return answer.status, await answer.text()


@pytest.fixture
def bolt() -> Bolt:
    return Bolt()


@pytest.fixture
async def line(bolt: Bolt, clock: StoppedClock) -> AsyncIterator[Line]:
    at_door = Door(secret=SECRET, clock=clock, app=lambda: cast("AsyncApp", bolt))
    routes = [web.post("/slack/events", at_door.handle)]
    async with served(routes) as url, ClientSession() as session:
        yield Line(f"{url}/slack/events", session, clock)


def event(number: int) -> bytes:
    return b'{"event": %d}' % number


async def test_it_is_remembered_for_as_long_as_its_signature_is_good(
    line: Line, bolt: Bolt, clock: StoppedClock
) -> None:
    """Of a Slack whose clock is five minutes ahead of ours, that is ten."""
    signed = await line.said(event(1), ahead=WINDOW)
    assert await line.sent(event(1), signed) == (200, "answer 1")
    clock.advance(WINDOW + SECOND)
    await line.sent(event(2), await line.said(event(2)))
    clock.advance(WINDOW - SECOND)
    await line.sent(event(3), await line.said(event(3)))
    assert await line.sent(event(1), signed) == (200, "answer 1")
    clock.advance(SECOND)
    assert (await line.sent(event(1), signed))[0] == 401
    assert len(bolt.heard) == 3


async def test_what_is_over_is_not_remembered(line: Line, bolt: Bolt, clock: StoppedClock) -> None:
    """The very words may be said again; and nothing grows without end."""
    await line.sent(event(1), await line.said(event(1)))
    clock.advance(2 * WINDOW + SECOND)
    await line.sent(event(2), await line.said(event(2)))
    assert await line.sent(event(1), await line.said(event(1))) == (200, "answer 3")


async def test_of_a_flood_the_latest_are_remembered(
    line: Line, bolt: Bolt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REMEMBERED", 2)
    for number in (1, 2, 3):
        await line.sent(event(number), await line.said(event(number)))
    for number in (2, 3):
        assert await line.sent(event(number), await line.said(event(number))) == (200, f"answer {number}")
    assert await line.sent(event(1), await line.said(event(1))) == (200, "answer 4")
    assert len(bolt.heard) == 4


async def test_what_failed_may_be_sent_again(line: Line, bolt: Bolt) -> None:
    """Slack repeats an event that got no 200, and it was not done."""
    bolt.status = 503
    assert (await line.sent(event(1), await line.said(event(1))))[0] == 503
    bolt.status = 200
    assert await line.sent(event(1), await line.said(event(1))) == (200, "answer 2")


async def test_when_it_was_signed_its_header_says_and_nothing_in_it(line: Line, bolt: Bolt) -> None:
    """Else whoever may write into a payload made an old one young."""
    body = b'{"%s": 99999999999}' % SIGNED_AT.encode()
    signed = await line.said(body)
    await line.sent(body, signed)
    assert bolt.heard[0].body[SIGNED_AT] == int(signed["X-Slack-Request-Timestamp"])
