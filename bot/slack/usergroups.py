"""Who is in a Slack user group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.failures import FAILURES, refusal_of
from core.addresses import is_loopback_url
from core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from bot.settings import BotSettings
    from bot.slack.failures import Failure

CALL_SECONDS = 10
PAGES = 20
"""The most that are read of one group; Slack sends all at once, though its reference has a cursor."""
_HINTS = {
    "missing_scope": "the app lacks the scope usergroups:read; add it and install the app again",
    "no_such_subteam": "there is no such user group, or it is disabled",
    "plan_upgrade_required": "the workspace's plan has no user groups",
}
"""docs.slack.dev, errors of usergroups.users.list."""


async def members(settings: BotSettings, group: str) -> tuple[str, ...]:
    """As `TEAM/USER`, the team being the bot's own. Raises `Unavailable`, also for no such group."""
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
    team = (await _asked(client.auth_test())).get("team_id")
    if not isinstance(team, str) or not team:
        raise Unavailable("Slack does not say which workspace the token is for.")
    return tuple([f"{team}/{user}" for user in await _users(client, group)])


async def _users(client: AsyncWebClient, group: str) -> list[str]:
    found: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(PAGES):
        answer = await _asked(client.usergroups_users_list(usergroup=group, **more))
        users = answer.get("users")
        if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
            raise Unavailable("Slack's answer holds no list of users.")
        found += users
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return found
        more = {"cursor": cursor}
    raise Unavailable("Slack's list of users does not end.")


async def _asked(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except FAILURES as error:
        raise _unavailable(error) from error


def _unavailable(error: Failure) -> Unavailable:
    """Names Slack's error code and nothing else of its answer."""
    if not isinstance(error, SlackApiError):
        return Unavailable(f"Slack could not be reached ({type(error).__name__}).")
    refusal = refusal_of(error)
    if refusal.status == 429 or refusal.code == "ratelimited":
        return Unavailable("Slack asks for a pause.", retry_after=refusal.retry_after)
    hint = f": {_HINTS[refusal.code]}" if refusal.code in _HINTS else ""
    return Unavailable(f"Slack refuses it ({refusal.code or refusal.status}){hint}.")
