"""The Bot API's refusals in its own wording: clients tell them apart by status and text.

Wording: the server's source (tdlib/telegram-bot-api, Client.cpp; tdlib/td) and answers seen in public issues.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
OTHER_POLLER = "terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_IS_ACTIVE = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
WEBHOOK_WAS_SET = "terminated by setWebhook request"


class ApiError(Exception):
    """An answer with `ok: false`; `description` as Telegram words it."""

    def __init__(self, status: int, description: str, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    def as_api(self) -> dict[str, Any]:
        answer = {"ok": False, "error_code": self.status, "description": self.description}
        return answer if self.parameters is None else {**answer, "parameters": dict(self.parameters)}


def bad_request(reason: str) -> ApiError:
    """400; as the server does, the first letter becomes small unless the second is a capital too."""
    if reason[1:2].islower() or not reason[1:2].isalpha():
        reason = reason[:1].lower() + reason[1:]
    return ApiError(400, f"Bad Request: {reason}")


def unparsable(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")


def forbidden(reason: str) -> ApiError:
    return ApiError(403, f"Forbidden: {reason}")


def conflict(reason: str) -> ApiError:
    return ApiError(409, f"Conflict: {reason}")


def unauthorized() -> ApiError:
    """A well-formed token that is nobody's."""
    return ApiError(401, "Unauthorized")


def not_found(reason: str | None = None) -> ApiError:
    """A malformed token or address, or (with a reason) a method that does not exist."""
    return ApiError(404, "Not Found" if reason is None else f"Not Found: {reason}")


def too_many_requests(wait: float) -> ApiError:
    """429; `wait` in seconds, told in whole ones."""
    seconds = max(1, math.ceil(wait))
    return ApiError(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})


def upgraded(new_chat: int) -> ApiError:
    return ApiError(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        {"migrate_to_chat_id": new_chat},
    )
