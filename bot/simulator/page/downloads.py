"""Files that were sent to a simulated chat, as its people would open them: downloaded, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bot.simulator.slack.forms import NotOffered

if TYPE_CHECKING:
    from bot.simulator.slack import SlackSimulator
    from bot.simulator.telegram import TelegramSimulator


class Downloads:
    """Any file of either chat, by the platform's id."""

    def __init__(self, slack: SlackSimulator, telegram: TelegramSimulator) -> None:
        self._slack = slack
        self._telegram = telegram

    def routes(self, path: str) -> list[web.RouteDef]:
        return [
            web.get(f"{path}/slack/files/{{id}}", self.of_slack),
            web.get(f"{path}/telegram/files/{{id}}", self.of_telegram),
        ]

    async def of_slack(self, request: web.Request) -> web.Response:
        try:
            return _sent(self._slack.file(request.match_info["id"]).content)
        except NotOffered:
            raise web.HTTPNotFound from None

    async def of_telegram(self, request: web.Request) -> web.Response:
        stored = self._telegram.state.files.get(request.match_info["id"])
        if stored is None:
            raise web.HTTPNotFound
        return _sent(stored.content)


def _sent(content: bytes) -> web.Response:
    """Its name is what the page's link says."""
    return web.Response(
        body=content,
        content_type="application/octet-stream",
        headers={"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"},
    )
