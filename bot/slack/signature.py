"""Whether a request comes from Slack, judged over its raw bytes before anything reads them."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

WINDOW = timedelta(seconds=300)
"""Slack's own advice against replays (docs.slack.dev, "Verifying requests from Slack")."""


def is_signed(secret: bytes, body: bytes, *, timestamp: str, signature: str, now: datetime) -> bool:
    """`timestamp` and `signature` are the headers as they came: anything at all may stand in them."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        return False
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > WINDOW:
        return False
    expected = hmac.new(secret, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    # bytes, because compare_digest refuses strings that are not ASCII
    return hmac.compare_digest(b"v0=" + expected.encode(), signature.encode("utf-8", "surrogateescape"))
