"""A Slack that lives on loopback: Web API, Socket Mode, signed HTTP deliveries, people who press."""

from bot.simulator.slack.delivery import Answer, Forgery, Kind
from bot.simulator.slack.forms import NotOffered
from bot.simulator.slack.model import Change, Message, User, View
from bot.simulator.slack.simulator import SlackSimulator

__all__ = ["Answer", "Change", "Forgery", "Kind", "Message", "NotOffered", "SlackSimulator", "User", "View"]
