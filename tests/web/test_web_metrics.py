"""`GET /metrics`: for who has signed in, where anything is exposed at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from core.errors import StoreUnavailable
from core.model import PersonId
from web.auth import LAST_KNOWN, RECHECK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.web.web_house import House, Houses
    from tests.world import StoppedClock


class Told:
    """An exposition that keeps what it is told."""

    def __init__(self) -> None:
        self.readers = -1
        self.refused: dict[tuple[int, str], int] = {}
        self.accept = ""

    async def text(
        self, accept: str, *, readers: int, refused: Mapping[tuple[int, str], int]
    ) -> tuple[bytes, str]:
        self.accept, self.readers, self.refused = accept, readers, dict(refused)
        return b"# nothing\n", "text/plain; version=1.0.0; charset=utf-8"


class Chosen(Told):
    """In the format that the library chooses."""

    async def text(
        self, accept: str, *, readers: int, refused: Mapping[tuple[int, str], int]
    ) -> tuple[bytes, str]:
        encoder, content_type = choose_encoder(accept)
        return encoder(CollectorRegistry()), content_type


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("1.0.0", True),
        ("1.0.0 ", True),
        (" 1.0.0", False),
        ("x", False),
        ("1..0", False),
        ('"1.0.0"', False),
        ("1.0.0 x", False),
        ("9.0.0.\u00e4", False),
        ("9.0.0.\udcff", False),
        ("9" * 5000, False),
        ("9.0.0." + "9" * 5000, False),
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
async def test_a_version_that_can_be_none_is_not_asked_for(
    houses: Houses, kind: str, version: str, *, taken: bool
) -> None:
    """Prometheus's library compares whatever stands there, and repeats it in the answer's header."""
    house = await houses(exposition=Chosen())
    headers = {"Accept": f"{kind}; version={version}, */*;q=0.1", **await house.bearer("eve")}
    async with house.http.get("/metrics", headers=headers) as answer:
        assert answer.status == 200
        plain = "text/plain; version=0.0.4; charset=utf-8"
        assert (answer.headers["Content-Type"] != plain) == taken


async def test_of_several_versions_each_has_to_be_one(houses: Houses) -> None:
    house = await houses(exposition=Chosen())
    accept = "text/plain; version=9.0.0, application/openmetrics-text; version=9.0.0-x"
    async with house.http.get("/metrics", headers={"Accept": accept, **await house.bearer("eve")}) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_need_a_sign_in_as_everything_else(houses: Houses) -> None:
    house = await houses(exposition=Told())
    async with house.http.get("/metrics") as answer:
        assert answer.status == 401
    async with house.http.get("/metrics", headers=await house.bearer("eve")) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.text() == "# nothing\n"


async def test_while_the_database_is_away_a_token_that_was_good_is_shown_numbers_and_nothing_else(
    houses: Houses, clock: StoppedClock
) -> None:
    """Or nobody would see in them that it is away. A token that nobody has shown before cannot be known."""
    house = await houses(exposition=Told())
    eve, sam = await house.bearer("eve"), await house.bearer("sam")
    assert await status(house, "/metrics", eve) == 200

    async def away(_token_hash: str) -> None:
        raise StoreUnavailable("It is away.")

    house.store.answers["credential"] = away
    clock.advance(RECHECK)
    for _ in range(2):
        assert await status(house, "/metrics", eve) == 200
    assert await status(house, "/metrics", sam) == 503
    assert await status(house, "/v1/tasks", eve) == 503
    del house.store.answers["credential"]
    await house.world.store.revoke_credentials(PersonId("eve"))
    assert await status(house, "/metrics", eve) == 401
    house.store.answers["credential"] = away
    assert await status(house, "/metrics", eve) == 503


async def test_nor_is_a_token_known_for_ever_that_may_have_been_revoked_since(
    houses: Houses, clock: StoppedClock
) -> None:
    """Nobody has asked with it meanwhile, so that nobody here has heard. The clock may be set back."""
    house = await houses(exposition=Told())
    eve = await house.bearer("eve")
    assert await status(house, "/metrics", eve) == 200
    await house.world.store.revoke_credentials(PersonId("eve"))

    async def away(_token_hash: str) -> None:
        raise StoreUnavailable("It is away.")

    house.store.answers["credential"] = away
    clock.advance(LAST_KNOWN)
    assert await status(house, "/metrics", eve) == 200
    clock.advance(RECHECK)
    clock.advance(hours=-3)
    assert await status(house, "/metrics", eve) == 503


async def status(house: House, path: str, headers: Mapping[str, str]) -> int:
    async with house.http.get(path, headers=headers) as answer:
        return answer.status


async def test_open_streams_and_refusals_are_counted(houses: Houses) -> None:
    told = Told()
    house = await houses(exposition=told)
    task = await house.submitted()
    sam = await house.bearer("sam")
    async with house.http.get(f"/stream/{task}", headers=sam) as stream:
        assert stream.status == 200
        async with house.http.get(f"/v1/tasks/{'0' * 32}", headers=sam) as answer:
            assert answer.status == 404
        async with house.http.get("/metrics", headers={**sam, "Accept": "text/plain"}):
            pass
    assert (told.readers, told.accept) == (1, "text/plain")
    assert told.refused == {(404, "not-found"): 1}


async def test_where_nothing_is_exposed_there_is_no_such_page(houses: Houses) -> None:
    house = await houses()
    async with house.http.get("/metrics", headers=await house.bearer("sam")) as answer:
        assert answer.status == 404
