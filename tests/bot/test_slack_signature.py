"""bot/slack/signature.py: what counts as signed by Slack, and for how long."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from bot.slack.signature import is_signed

SECRET = b"8f742231b10e"
BODY = b"payload=%7B%7D"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def signature(timestamp: str, body: bytes = BODY, secret: bytes = SECRET) -> str:
    """As docs.slack.dev has it, "Verifying requests from Slack"."""
    return "v0=" + hmac.new(secret, f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


def stamp(seconds: int) -> str:
    """So many after `NOW`, or before it."""
    return str(int((NOW + timedelta(seconds=seconds)).timestamp()))


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(0, True), (-300, True), (-301, False), (300, True), (301, False), (86_400, False)],
)
def test_a_signature_is_good_for_five_minutes_both_ways(seconds: int, *, counts: bool) -> None:
    """One from the future, too: kept back, it would be good for longer than it is remembered."""
    said = stamp(seconds)
    assert is_signed(SECRET, BODY, timestamp=said, signature=signature(said), now=NOW) is counts


@pytest.mark.parametrize(
    ("timestamp", "signed"),
    [
        (stamp(1), signature(stamp(0))),
        (stamp(0), signature(stamp(0), BODY + b"&")),
        (stamp(0), signature(stamp(0), secret=b"another")),
        (stamp(0), signature(stamp(0)).upper()),
        (stamp(0), signature(stamp(0))[:-1]),
        (stamp(0), signature(stamp(0)).removeprefix("v0=")),
        (stamp(0), ""),
        (stamp(0), "\udcff"),
        (f" {stamp(0)}", signature(f" {stamp(0)}")),
        (f"+{stamp(0)}", signature(f"+{stamp(0)}")),
        (f"{stamp(0)}.0", signature(f"{stamp(0)}.0")),
        ("١٢٣", signature("١٢٣")),
        ("9" * 400, signature("9" * 400)),
        ("", signature("")),
    ],
)
def test_anything_else_is_not_slacks(timestamp: str, signed: str) -> None:
    assert not is_signed(SECRET, BODY, timestamp=timestamp, signature=signed, now=NOW)
