"""The Telegram channel: cards out through the Bot API, presses in by polling or webhook."""

from bot.telegram.channel import TelegramChannel

__all__ = ["TelegramChannel"]
