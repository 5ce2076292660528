"""Slack's errors as core's. Texts name Slack's error code and nothing else of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from slack_sdk.errors import SlackApiError, SlackRequestError

from core.errors import DeliveryError, MessageGone, RateLimited, Undeliverable, Unreachable

Failure = SlackApiError | SlackRequestError | aiohttp.ClientError | TimeoutError | OSError
FAILURES = (SlackApiError, SlackRequestError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call of `AsyncWebClient` raises."""

BAD_TOKEN = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    }
)
"""The token is wrong or was withdrawn (docs.slack.dev, errors of auth.test)."""

_GONE = "message_not_found"
_STAYS = frozenset({"cant_update_message", "edit_window_closed"})
"""The message stands there as it is."""
_LATER = BAD_TOKEN | {
    "accesslimited",
    "fatal_error",
    "internal_error",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "missing_scope",
}
"""Worth trying again: by themselves, or once the operator has mended the app."""
_RESTRICTED = "restricted_action"
_HINTS = {
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "the channel does not exist, or is private and the app is not in it",
    "is_archived": "the channel is archived",
    "missing_scope": "the app lacks a permission; install it again with our manifest",
    _RESTRICTED: "the workspace does not let apps post there",
}
_CODE = re.compile(r"[a-z0-9_]{1,60}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What Slack's answer says of a failed call."""

    status: int
    code: str
    """Slack's word for the error; empty where there is none."""
    retry_after: timedelta


def failure(error: Failure) -> DeliveryError:
    """The error as core knows it, to be raised from the other."""
    if not isinstance(error, SlackApiError):
        return Unreachable(f"Slack could not be reached ({type(error).__name__}).")
    refusal = refusal_of(error)
    if refusal.status == 429 or refusal.code == "ratelimited":
        # the limits are those of each method (docs.slack.dev, rate limits)
        return RateLimited("Slack asks for a pause.", retry_after=refusal.retry_after, lane_only=True)
    unchangeable = f"The message cannot be changed any more ({refusal.code})."
    if refusal.code == _GONE:
        return MessageGone(unchangeable)
    if refusal.code in _STAYS:
        return Undeliverable(unchangeable)
    if not refusal.code or refusal.status >= 500 or refusal.code in _LATER:
        return Unreachable(f"Slack did not take it ({refusal.code or refusal.status}){_hint(refusal.code)}.")
    return Undeliverable(f"Slack refused it ({refusal.code}){_hint(refusal.code)}.")


def refusal_of(error: SlackApiError) -> Refusal:
    """slack_sdk puts its own response there, or aiohttp's where the body was no JSON."""
    response = error.response
    status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, Mapping) else None
    return Refusal(
        status=int(status),
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else "",
        retry_after=_retry_after(getattr(response, "headers", {})),
    )


def _retry_after(headers: Mapping[str, str]) -> timedelta:
    """Whole seconds (docs.slack.dev, rate limits); a minute where they are missing, and one at least."""
    value = headers.get("Retry-After", "")
    seconds = int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 60
    return timedelta(seconds=max(1, seconds))


def _hint(code: str) -> str:
    # `restricted_action_read_only_channel` and the like say which rule of the workspace's it is
    known = _RESTRICTED if code.startswith(f"{_RESTRICTED}_") else code
    return f": {_HINTS[known]}" if known in _HINTS else ""
