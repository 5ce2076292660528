"""`countersign demo` as a real process: the real adapters, both simulated chats, the page's own calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.visitor import (
    Demo,
    running_demo,
    shown,
    slack_buttons,
    telegram_labels,
    visiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ANA, BEN, OTTO = "U01ANA", "U02BEN", "U03OTTO"
BEN_T, OTTO_T = 4202, 4203


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One process for the tests that leave it running."""
    with running_demo(tmp_path_factory.mktemp("demo"), "--port", "0") as started:
        yield started


async def test_a_text_is_rejected_in_slack_and_its_second_attempt_approved_in_telegram(demo: Demo) -> None:
    async with visiting(demo) as visitor:
        page = await visitor.http.get("/demo")
        assert page.status_code == 200
        assert "What should be done?" in page.text

        task = await visitor.submit("Announce the new opening hours")
        first = await visitor.once(lambda: visitor.slack_card("opening hours", "attempt 1"))
        card = await visitor.once(lambda: visitor.telegram_card("opening hours", "attempt 1"))
        assert telegram_labels(card) == ["Approve", "Reject…", "Edit…", "Ask…", "I'm looking"]

        assert await visitor.press_in_slack(first, "Reject…", user=ANA) == {"ok": True}
        await visitor.until(lambda: visitor.seen["slack"]["views"])
        [view] = visitor.seen["slack"]["views"]
        [block] = [block["block_id"] for block in view["blocks"] if block["type"] == "input"]
        reason = {block: "Name the holiday, too"}
        assert await visitor.act("slack/submit", user=ANA, view=view["id"], values=reason) == {"ok": True}

        said = ("attempt 2", "Name the holiday, too", "rejected by Ana Ruiz")
        await visitor.once(lambda: visitor.slack_reply(first, *said))
        old = await visitor.once(lambda: visitor.slack_card("opening hours", "superseded by attempt 2"))
        assert slack_buttons(old) == []
        second = await visitor.once(lambda: visitor.telegram_card("opening hours", *said))
        assert second["reply_to"] == card["id"]
        await visitor.once(lambda: visitor.telegram_card("opening hours", "superseded by attempt 2"))

        answer = await visitor.press_in_telegram(second, "Approve", user=BEN_T)
        assert answer == {"ok": True, "text": "Approved.", "alert": False}
        in_slack = await visitor.once(lambda: visitor.slack_reply(first, "Approved by Ben Okafor"))
        in_telegram = await visitor.once(lambda: visitor.telegram_card("Approved by Ben Okafor", "attempt 2"))
        assert slack_buttons(in_slack) == []
        assert telegram_labels(in_telegram) == []

        history = await visitor.stream(task)
        assert [(event["status"], event.get("attempt")) for event in history] == [
            ("pending", None),
            ("running", 1),
            ("waiting_for_review", 1),
            ("running", 2),
            ("waiting_for_review", 2),
            ("completed", None),
        ]
        assert "Name the holiday, too" in history[-1]["final_result"]


async def test_a_long_text_can_be_downloaded_from_either_chat(demo: Demo) -> None:
    text = "\n".join(f"{number}. The announcement goes on <b>and on</b>" for number in range(1, 200))
    words = f"All {len(text):,} characters of attempt 1"
    async with visiting(demo) as visitor:
        await visitor.submit(text)
        root = await visitor.once(lambda: visitor.slack_card("announcement goes on", "the file below"))
        shared = await visitor.once(lambda: visitor.slack_reply(root, words))
        sent = await visitor.once(lambda: visitor.telegram_card(words))
        (file,) = shared["files"]
        assert file["name"] == sent["document"]["file_name"] == "attempt-1.txt"
        for where in (f"slack/files/{file['id']}", f"telegram/files/{sent['document']['file_id']}"):
            answer = await visitor.http.get(f"/demo/{where}")
            assert answer.text == text
            assert answer.headers["Content-Disposition"] == "attachment"
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for where in ("slack/files/F0", "telegram/files/x"):
            assert (await visitor.http.get(f"/demo/{where}")).status_code == 404


async def test_it_opens_with_a_decided_card_a_second_attempt_and_one_that_waits(demo: Demo) -> None:
    async with visiting(demo) as visitor:
        refund = visitor.slack_card("Refund for order 1042")
        assert refund is not None
        assert "Approved by Ben Okafor" in shown(refund)
        assert slack_buttons(refund) == []
        status = visitor.slack_card("Status page", "superseded by attempt 2")
        assert status is not None
        assert visitor.slack_reply(status, "attempt 2", "no data was lost") is not None
        waiting = visitor.slack_card("Deploy payments 4.12.0")
        assert waiting is not None
        assert [button["text"]["text"] for button in slack_buttons(waiting)] == [
            "Approve",
            "Reject…",
            "Edit…",
        ]


async def test_who_is_no_reviewer_is_refused_in_private(demo: Demo) -> None:
    async with visiting(demo) as visitor:
        task = await visitor.submit("Open the gate for Otto")
        card = await visitor.once(lambda: visitor.slack_card("gate for Otto"))
        await visitor.press_in_slack(card, "Approve", user=OTTO)
        await visitor.until(lambda: visitor.seen["slack"]["channels"][0]["ephemerals"])
        [refusal] = visitor.seen["slack"]["channels"][0]["ephemerals"]
        assert refusal["only_for"] == OTTO

        in_telegram = await visitor.once(lambda: visitor.telegram_card("gate for Otto"))
        answer = await visitor.press_in_telegram(in_telegram, "Approve", user=OTTO_T)
        assert answer["alert"]
        assert answer["text"] == refusal["text"]
        now = (await visitor.http.get(f"/v1/tasks/{task}")).json()
        assert now["status"] == "waiting_for_review"


@pytest.mark.parametrize("said", ["@Countersign looking", "@countersign  looking"])
async def test_who_is_called_by_name_in_slack_hears_it(demo: Demo, said: str) -> None:
    async with visiting(demo) as visitor:
        await visitor.submit("Paint the door")
        card = await visitor.once(lambda: visitor.slack_card("Paint the door"))
        channel = visitor.seen["slack"]["channels"][0]["id"]
        await visitor.act("slack/say", user=BEN, channel=channel, text=said, thread=card["ts"])
        await visitor.once(lambda: visitor.slack_card("Paint the door", "Ben Okafor is looking"))


async def test_a_delegate_is_called_by_name_in_slack(demo: Demo) -> None:
    async with visiting(demo) as visitor:
        channel = visitor.seen["slack"]["channels"][0]["id"]
        words = "/countersign away @ben.okafor until tomorrow"
        await visitor.act("slack/say", user=OTTO, channel=channel, text=words)

        def told() -> bool:
            answers = visitor.seen["slack"]["channels"][0]["ephemerals"]
            return any("Ben Okafor decides for you" in answer["text"] for answer in answers)

        await visitor.until(told)
        await visitor.act("slack/say", user=OTTO, channel=channel, text="/countersign back")


async def test_a_reason_can_be_typed_in_telegram(demo: Demo) -> None:
    async with visiting(demo) as visitor:
        await visitor.submit("Rename the team")
        card = await visitor.once(lambda: visitor.telegram_card("Rename the team"))
        await visitor.press_in_telegram(card, "Reject…", user=BEN_T)
        question = await visitor.once(lambda: visitor.telegram_card("Ben Okafor, why do you reject"))
        await visitor.press_in_telegram(question, "Give a reason", user=BEN_T)
        await visitor.until(lambda: visitor.seen["telegram"]["prompts"])
        [prompt] = visitor.seen["telegram"]["prompts"]
        await visitor.act(
            "telegram/say",
            user=BEN_T,
            chat=prompt["chat"],
            text="To which name?",
            reply_to=prompt["message"],
        )
        await visitor.once(lambda: visitor.telegram_card("attempt 2", "To which name?"))


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
async def test_another_sites_page_cannot_act_in_the_chats(demo: Demo, headers: dict[str, str]) -> None:
    async with visiting(demo) as visitor:
        channel = visitor.seen["slack"]["channels"][0]["id"]
        body = {"user": ANA, "channel": channel, "text": "I was never here"}
        answer = await visitor.http.post("/demo/slack/say", json=body, headers=headers)
        assert answer.status_code == 403
        await visitor.act("slack/say", **body | {"text": "I was"})
        await visitor.once(lambda: visitor.slack_card("I was"))
        assert visitor.slack_card("I was never here") is None


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("slack/press", b""),
        ("slack/press", b"[1, 2]"),
        ("slack/press", b'{"user": "U01ANA", "channel": "C0", "ts": "1", "action": "x"}'),
        ("slack/press", b'{"user": "U01ANA", "channel": "C01APPROVALS", "ts": "1", "action": "x"}'),
        ("slack/say", b'{"user": "U9", "channel": "C01APPROVALS", "text": "hello"}'),
        ("slack/say", b'{"user": "U01ANA", "channel": "C01APPROVALS", "text": ""}'),
        ("slack/submit", b'{"user": "U01ANA", "view": "V0", "values": {}}'),
        ("slack/close", b'{"user": "U01ANA", "view": "V0"}'),
        ("telegram/press", b'{"user": 4201, "chat": 1, "message": 1, "label": "Approve"}'),
        ("telegram/press", b'{"user": 4201, "chat": -1004200000001, "message": 1, "label": "Sell"}'),
        ("telegram/say", b'{"user": 1, "chat": -1004200000001, "text": "hello"}'),
        ("telegram/say", b'{"user": 4201, "chat": -1004200000001, "text": "\xff"}'),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_sentence(demo: Demo, what: str, body: bytes) -> None:
    async with httpx.AsyncClient(base_url=demo.base, trust_env=False) as http:
        answer = await http.post(f"/demo/{what}", content=body)
        assert 400 <= answer.status_code < 500
        assert answer.json()["detail"]
