"""The Slack channel: cards out through the Web API, presses in through Socket Mode or signed HTTP."""

from bot.slack.channel import SlackChannel

__all__ = ["SlackChannel"]
