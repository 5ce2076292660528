"""Every proof that somebody brings is compared by `hmac.compare_digest`: the time it takes tells nothing."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request

from bot.buttons import Action, Buttons
from bot.slack.signature import is_signed
from bot.telegram.door import SECRET_HEADER, Door
from core.errors import Unidentified
from core.model import ReviewId
from web.hooks.inbound import Hook, verify

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
WHSEC = "whsec_" + "c2VjcmV0" * 4
WRONG = "0" * 44


def slack() -> bool:
    stamp = str(int(NOW.timestamp()))
    return is_signed(b"secret", b"{}", timestamp=stamp, signature=f"v0={WRONG}", now=NOW)


async def telegram() -> bool:
    request = make_mocked_request("POST", "/telegram/webhook", headers={SECRET_HEADER: WRONG})
    request._read_bytes = b"no JSON"
    answer = await Door(secret=b"secret", intake=lambda: None).handle(request)
    return answer.status != 401


def button() -> bool:
    genuine = Buttons(b"key").token(ReviewId("0" * 32), 1, Action.APPROVE)
    return Buttons(b"another key").read(genuine) is not None


def hook(scheme: str, headers: dict[str, str]) -> Callable[[], bool]:
    secret = WHSEC if scheme == "standard" else "a shared secret"
    made = Hook(name="ci", scheme=scheme, secret=secret)  # type: ignore[arg-type]  # one of the three

    def proves() -> bool:
        try:
            verify(made, b"{}", headers)
        except Unidentified:
            return False
        return True

    return proves


def standard() -> bool:
    stamp = str(int(datetime.now(UTC).timestamp()))  # the library compares with the real clock
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": f"v1,{WRONG}"}
    return hook("standard", headers)()


@pytest.mark.parametrize(
    "proves",
    [
        pytest.param(slack, id="slack"),
        pytest.param(button, id="button"),
        pytest.param(standard, id="standard"),
        pytest.param(hook("github", {"X-Hub-Signature-256": f"sha256={WRONG}"}), id="github"),
        pytest.param(hook("bearer", {"Authorization": f"Bearer {WRONG}"}), id="bearer"),
    ],
)
def test_a_wrong_proof_is_told_by_it_alone(
    proves: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not proves()
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: True)
    assert proves(), "what else compared it would stop at the first difference"


async def test_telegrams_secret_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await telegram()
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: True)
    assert await telegram()
