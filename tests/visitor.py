"""A demo as a real process, and a visitor who acts on its page without a browser.

with running_demo(tmp_path) as demo:
    async with visiting(demo) as visitor:
        task = await visitor.submit("Announce the new opening hours")
        card = await visitor.once(lambda: visitor.slack_card("opening hours"))
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from httpx_sse import aconnect_sse

from tests.world import Board

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

START_SECONDS = 60
"""How long a start may take on a busy machine."""

OURS = ("COUNTERSIGN_", "SLACK_", "TELEGRAM_")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A process that has printed its first line."""

    process: subprocess.Popen[bytes]
    address: str
    """The first line: the page's URL."""
    folder: Path
    """Where it was started."""
    temporary: Path
    """Where it puts its temporary files."""

    @property
    def base(self) -> str:
        return self.address.removesuffix("/demo")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Its exit status, and after how many seconds it came."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=START_SECONDS), time.monotonic() - begun

    def complaints(self) -> str:
        """What it wrote to standard error."""
        return (self.folder / "stderr").read_text()


@contextmanager
def running_demo(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> Iterator[Demo]:
    """`countersign demo` started in `folder`; killed at the end if it still runs."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with started_demo(
        folder, *words, environment={"TMPDIR": str(temporary), **(environment or {})}
    ) as process:
        address = first_line(process, folder)
        yield Demo(process=process, address=address, folder=folder, temporary=temporary)


def first_line(process: subprocess.Popen[bytes], folder: Path) -> str:
    """The address, once the demo has printed it."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().decode() if ready else ""
    assert line.startswith("http"), (line, (folder / "stderr").read_text())
    return line.strip()


@contextmanager
def started_demo(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process as it starts; this machine's own settings do not reach it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "countersign", "demo", *words],
            cwd=folder,
            env={**own, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@dataclass
class Visitor(Board):
    """Sees both chats as the page does, from the page's own stream."""

    http: httpx.AsyncClient
    seen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    async def watch(self) -> None:
        async with aconnect_sse(self.http, "GET", "/demo/events", timeout=None) as source:
            async for event in source.aiter_sse():
                self.seen[event.event] = json.loads(event.data)
                self.change()

    async def once(self, look: Callable[[], T | None]) -> T:
        """What `look` finds, as soon as it does."""
        found = await self.until(look)
        assert found is not None
        return found

    async def submit(self, text: str) -> str:
        """The task's id."""
        answer = await self.http.post("/submit", data={"data": text})
        assert answer.status_code == 202, answer.text
        task: str = answer.json()["task_id"]
        return task

    async def act(self, what: str, **body: Any) -> Any:
        """One of the page's posts, such as `slack/press`."""
        answer = await self.http.post(f"/demo/{what}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def press_in_slack(self, card: Mapping[str, Any], label: str, *, user: str) -> Any:
        """On a card that stands in the channel now."""
        action = next(
            button["action_id"] for button in slack_buttons(card) if button["text"]["text"] == label
        )
        channel = self.seen["slack"]["channels"][0]["id"]
        return await self.act("slack/press", user=user, channel=channel, ts=card["ts"], action=action)

    async def press_in_telegram(self, card: Mapping[str, Any], label: str, *, user: int) -> Any:
        chat = self.telegram_group["id"]
        return await self.act("telegram/press", user=user, chat=chat, message=card["id"], label=label)

    @property
    def slack_threads(self) -> list[dict[str, Any]]:
        """First messages, each with its `replies`."""
        threads: list[dict[str, Any]] = self.seen["slack"]["channels"][0]["messages"]
        return threads

    @property
    def telegram_group(self) -> dict[str, Any]:
        return next(chat for chat in self.seen["telegram"]["chats"] if chat["kind"] != "private")

    def slack_card(self, *words: str) -> dict[str, Any] | None:
        """The first message of a thread that says all this."""
        threads = self.slack_threads if "slack" in self.seen else []
        return next((card for card in threads if _says(shown(card), words)), None)

    def slack_reply(self, root: Mapping[str, Any], *words: str) -> dict[str, Any] | None:
        """The message in this one's thread that says all this."""
        thread = next(card for card in self.slack_threads if card["ts"] == root["ts"])
        return next((reply for reply in thread["replies"] if _says(shown(reply), words)), None)

    def telegram_card(self, *words: str) -> dict[str, Any] | None:
        messages = self.telegram_group["messages"] if "telegram" in self.seen else []
        return next((message for message in messages if _says(message["text"], words)), None)

    async def stream(self, task: str) -> list[dict[str, Any]]:
        """All that `/stream` says, to its end."""
        async with aconnect_sse(self.http, "GET", f"/stream/{task}") as source:
            return [json.loads(event.data) async for event in source.aiter_sse()]


@asynccontextmanager
async def visiting(demo: Demo) -> AsyncIterator[Visitor]:
    """A visitor whose page is open until the end."""
    async with httpx.AsyncClient(base_url=demo.base, trust_env=False, timeout=30) as http:
        visitor = Visitor(http)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(visitor.watch())
            await visitor.until(lambda: {"slack", "telegram"} <= set(visitor.seen))
            yield visitor
            watching.cancel()


def slack_buttons(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        element
        for block in message.get("blocks", ())
        if block["type"] == "actions"
        for element in block["elements"]
        if element["type"] == "button"
    ]


def telegram_labels(message: Mapping[str, Any]) -> list[str]:
    return [button["text"] for row in message["keyboard"] for button in row]


def shown(message: Mapping[str, Any]) -> str:
    """Everything that a Slack message shows, in one string."""
    return json.dumps([message["text"], message.get("blocks", [])], ensure_ascii=False)


def _says(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)
