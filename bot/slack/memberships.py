"""Who is in a Slack user group, or in a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.people import is_user_group
from bot.slack.failures import FAILURES, refusal_of
from core.addresses import is_loopback_url
from core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bot.settings import BotSettings
    from bot.slack.failures import Failure

CALL_SECONDS = 10
PAGE = 999
"""Members of a channel in one answer: the most that Slack takes (conversations.members); it may give fewer.
It recommends 200; but every page is a call, and of those it takes some hundred a minute (Tier 4)."""
PAGES = 20
"""The most that are read of one list. Slack sends all of a user group at once, though its reference has a
cursor."""

_OF_USER_GROUPS = {
    "missing_scope": "the app lacks the scope usergroups:read; add it and install the app again",
    "no_such_subteam": "there is no such user group, or it is disabled",
    "plan_upgrade_required": "the workspace's plan has no user groups",
}
"""docs.slack.dev, errors of usergroups.users.list."""
_OF_CHANNELS = {
    "missing_scope": "the app lacks the scope channels:read, or groups:read for a private channel; "
    "add it and install the app again",
    "channel_not_found": "there is no such channel, or it is private and the app is not in it",
    "not_in_channel": "invite the app to the channel",
    "method_not_supported_for_channel_type": "it is no channel, public or private",
    "fetch_members_failed": "Slack could not read its own list",
}
"""docs.slack.dev, errors of conversations.members, and of its kin."""


async def members(settings: BotSettings, address: str) -> tuple[str, ...]:
    """Of a user group or a channel, as `TEAM/USER`, the team being the bot's own; without the bot itself.

    Raises `Unavailable`, also where there is no such thing.
    """
    if settings.slack_bot_token is None:
        raise Unavailable("SLACK_BOT_TOKEN is not set.")
    client = AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url,
        timeout=CALL_SECONDS,
        retry_handlers=[],
    )
    if is_loopback_url(settings.slack_api_url):
        client.proxy = None  # slack_sdk takes one from the environment, which cannot reach this machine
    bot = await _asked(client.auth_test(), {})
    team = bot.get("team_id")
    if not isinstance(team, str) or not team:
        raise Unavailable("Slack does not say which workspace the token is for.")
    users = await (_of_user_group if is_user_group(address) else _of_channel)(client, address)
    return tuple([f"{team}/{user}" for user in users if user != bot.get("user_id")])


async def _of_user_group(client: AsyncWebClient, group: str) -> list[str]:
    def page(cursor: dict[str, Any]) -> Awaitable[Any]:
        return client.usergroups_users_list(usergroup=group, **cursor)

    return await _users(page, "users", _OF_USER_GROUPS)


async def _of_channel(client: AsyncWebClient, channel: str) -> list[str]:
    """In an order that stays, which Slack does not promise."""

    def page(cursor: dict[str, Any]) -> Awaitable[Any]:
        return client.conversations_members(channel=channel, limit=PAGE, **cursor)

    return sorted(set(await _users(page, "members", _OF_CHANNELS)))


async def _users(
    page: Callable[[dict[str, Any]], Awaitable[Any]], key: str, hints: Mapping[str, str]
) -> list[str]:
    """All pages of a list; `key` is where an answer has it."""
    found: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(PAGES):
        answer = await _asked(page(more), hints)
        users = answer.get(key)
        if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
            raise Unavailable("Slack's answer holds no list of users.")
        found += users
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return found
        more = {"cursor": cursor}
    raise Unavailable(f"Slack's list of users does not end within {PAGES} pages.")


async def _asked(call: Awaitable[Any], hints: Mapping[str, str]) -> Any:
    try:
        return await call
    except FAILURES as error:
        raise _unavailable(error, hints) from error


def _unavailable(error: Failure, hints: Mapping[str, str]) -> Unavailable:
    """Names Slack's error code and nothing else of its answer."""
    if not isinstance(error, SlackApiError):
        return Unavailable(f"Slack could not be reached ({type(error).__name__}).")
    refusal = refusal_of(error)
    if refusal.status == 429 or refusal.code == "ratelimited":
        return Unavailable("Slack asks for a pause.", retry_after=refusal.retry_after)
    hint = f": {hints[refusal.code]}" if refusal.code in hints else ""
    return Unavailable(f"Slack refuses it ({refusal.code or refusal.status}){hint}.")
