"""A loopback Telegram: the Bot API for the bot under test, and what people do in its chats."""

from bot.simulator.telegram.people import MessageShape
from bot.simulator.telegram.simulator import TelegramSimulator

__all__ = ["MessageShape", "TelegramSimulator"]
