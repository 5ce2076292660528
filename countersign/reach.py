"""Which of the configured places cards can reach."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import Policy, Recipient
    from countersign.configuration import Configuration
    from countersign.settings import Settings

log = structlog.get_logger()


def reachable(configuration: Configuration, settings: Settings) -> Configuration:
    """Without recipients in chats that are off, whose cards would wait for ever; says so in the log."""
    on = switched(settings)
    for policy in configuration.policies.values():
        for channel in {place.channel for place in places(policy) if not on[place.channel]}:
            log.warning("recipients_of_a_chat_that_is_off", policy=policy.name, channel=channel)
    return within_reach(configuration, settings)


def within_reach(configuration: Configuration, settings: Settings) -> Configuration:
    """As `reachable`, for who only compares."""
    on = switched(settings)
    policies = {name: _within(policy, on) for name, policy in configuration.policies.items()}
    return replace(configuration, policies=policies)


def places(policy: Policy) -> tuple[Recipient, ...]:
    """Every place that its cards may go to, also once nobody has decided in time."""
    wider = policy.escalation
    return (*policy.recipients, *policy.fallback, *(wider.recipients if wider else ()))


def switched(settings: Settings) -> Mapping[str, bool]:
    """Whether each chat is on."""
    return {
        "slack": settings.bot.slack_bot_token is not None,
        "telegram": settings.bot.telegram_bot_token is not None,
    }


def _within(policy: Policy, on: Mapping[str, bool]) -> Policy:
    wider = policy.escalation
    return replace(
        policy,
        recipients=_open(policy.recipients, on),
        fallback=_open(policy.fallback, on),
        escalation=None if wider is None else replace(wider, recipients=_open(wider.recipients, on)),
    )


def _open(places: Sequence[Recipient], on: Mapping[str, bool]) -> tuple[Recipient, ...]:
    return tuple(place for place in places if on[place.channel])
