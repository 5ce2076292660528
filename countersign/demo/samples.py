"""Four sample tasks: one approved, one in its second attempt, one that waits for two groups, one that waits.

People decide by pressing in the simulated chats, so that everything goes the real way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.model import PersonId, Submission

if TYPE_CHECKING:
    from bot.simulator.slack import Message, SlackSimulator, View
    from core.service import Service
    from countersign.demo.chats import SimulatedChats

REFUND = """\
Refund EUR 240.00 to Mira Holm for order 1042.

The parcel arrived damaged; photos are in the ticket. \
The amount is above the limit of EUR 100 up to which refunds go out by themselves."""

ANNOUNCEMENT = """\
Post to the status page: “Search was slow for some customers between 09:10 and 09:40. It is fast again.”"""
REASON = "Say that no data was lost; people will ask."

NOTICE = """\
Publish the new privacy notice on 1 December.

Customers in the EU are told by e-mail; the old notice stays readable under “Earlier versions”."""

DEPLOYMENT = """\
Deploy payments 4.12.0 to production.

• 14 commits, all checks passed
• adds the column refunds.reason (migration takes about 20 s)
• roll back with: deploy payments 4.11.3"""

BEN, ANA = "U02BEN", "U01ANA"

SECONDS = 30
"""How long a card or a dialog may take on a slow machine."""


async def submit_samples(service: Service, chats: SimulatedChats) -> None:
    """Returns when every card stands in Slack; raises `TimeoutError` or `NotOffered` where one does not."""
    slack = chats.slack
    await _submit(service, "support", "Refund for order 1042", REFUND)
    await slack.press(await _card(slack, "Refund for order 1042"), "Approve", user=BEN)
    await _submit(service, "press", "Status page: search was slow", ANNOUNCEMENT)
    await _reject(slack, await _card(slack, "Status page: search was slow"))
    await _card(slack, "Status page: search was slow", attempt=2)
    await _submit(service, "press", "New privacy notice", NOTICE, policy="both")
    await slack.press(await _card(slack, "New privacy notice"), "Approve", user=ANA)
    await _submit(service, "pipeline", "Deploy payments 4.12.0", DEPLOYMENT)
    await _card(slack, "Deploy payments 4.12.0")


async def _submit(
    service: Service, submitter: str, title: str, text: str, *, policy: str | None = None
) -> None:
    await service.submit(Submission(input=text, submitter=PersonId(submitter), title=title, policy=policy))


async def _reject(slack: SlackSimulator, card: Message) -> None:
    await slack.press(card, "Reject", user=ANA)
    await slack.until(lambda: slack.open_views(ANA), within=SECONDS)
    view: View = slack.open_views(ANA)[-1]
    await slack.submit(view, {"Reason": REASON}, user=ANA)


async def _card(slack: SlackSimulator, title: str, *, attempt: int = 1) -> Message:
    """The open card of this attempt, once it stands in the channel."""

    def found() -> list[Message]:
        return [
            message
            for channel in slack.snapshot()["channels"]
            for message in slack.messages(channel["id"])
            if title in message.text and f"attempt {attempt} " in message.text and message.labels
        ]

    await slack.until(found, within=SECONDS)
    return found()[-1]
