"""What somebody may ask for in a chat besides what a card offers: their queue, who they are, handing in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bot.cards import Theirs, clock_time, url_of
from bot.linking import card_link
from bot.menu import LISTED, MOST, Answer, Entry, inbox_link
from core.errors import Invalid
from core.model import Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cards import Line
    from bot.linking import Link
    from core.model import ChannelName, Delegation, PersonId, Recipient, ReviewRequest
    from core.service import Service


class Asked(StrEnum):
    """What somebody types."""

    PENDING = "pending"
    SUBMIT = "submit"
    WHOAMI = "whoami"


NOTHING = "Nothing waits for you."
HOW = (
    "Say what to do after it: “{0}submit Refund EUR 40 to Mira Holm”. “{0}submit flow:NAME …” hands it to a "
    "flow that is not the usual one."
)
"""`{0}` is what commands begin with on the platform."""
UNKNOWN = (
    "countersign.toml lists nobody under your id, so that you can neither decide nor hand in tasks here. "
    "Whoever keeps that file adds these lines, with a key and a name of your own; or, where it has you "
    "already, the last of them:"
)

QUESTIONS = frozenset({Asked.PENDING, Asked.WHOAMI, "help", ""})
"""Words that change nothing, whoever says them."""
HELP = """\
“{0}pending” lists what waits for you.
“{0}submit TEXT” hands in a task.
“{0}submit flow:NAME TEXT” hands it to a flow that is not the usual one.
“{0}whoami” says who you are here.
“{0}looking” says that you look at the one review that waits for you.
“{0}later 2h” reminds you of it then, and not before.
“{0}looking off” and “{0}later off” take that back.
“{0}withdraw” takes back what you decided while others are still to decide.
“{0}away Ben Okafor until 2026-11-30” says who decides for you meanwhile.
“{0}back” says that you do again."""
WORDS_DECIDE_NOTHING = "Words never decide: a decision takes the buttons on the card, or its page."

_CONSENT = re.compile(
    r"approved?|accept(?:ed)?|agreed?|confirm(?:ed)?|done|fine|good|go|lgtm|ok(?:ay)?|ship(?:it)?"
    r"|sure|yes|yep|yeah|y|reject(?:ed)?|declined?|deny|denied|refused?|veto|nope|no|n"
    r"|[+-]1|thumbs(?:up|down)|white_check_mark|x|👍|👎|✅|❌"
)
"""Words and signs that somebody may take for a decision."""
_FLOW = re.compile(r"flow:[ \t]*(\S+)(?:\s+|$)")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """Raises what `Service` raises, and `Invalid` for wrong words.

    `link` leads to a message of ours in the channel.
    """

    service: Service
    public_url: str
    channel: ChannelName
    link: Link

    @property
    def inbox(self) -> tuple[str, str]:
        return inbox_link(self.public_url)

    async def pending(self, person: PersonId) -> Answer:
        """What waits for this person, the oldest first; at most `LISTED` of it, each with its links."""
        found = await self.service.waiting_for(person, limit=MOST)
        if not found:
            return Answer(line=(NOTHING,), links=(self.inbox,))
        away = await self.service.delegations.standing()
        return Answer(
            line=(_how_many(len(found)),),
            entries=tuple([await self._entry(review, person, away) for review in found[:LISTED]]),
            links=(self.inbox,),
            more=max(0, len(found) - LISTED),
        )

    async def _entry(self, review: ReviewRequest, person: PersonId, away: Sequence[Delegation]) -> Entry:
        card = await self._card(review)
        page = ("The task's page", url_of(review.task.id, self.public_url))
        return Entry(
            title=review.task.title or "(untitled)",
            facts=self._facts(review, person, away),
            links=(("The card", card), page) if card else (page,),
        )

    async def _card(self, review: ReviewRequest) -> str | None:
        deliveries = await self.service.deliveries(review.task.id)
        return card_link(review.id, deliveries, self.channel, self.link)

    def _facts(self, review: ReviewRequest, person: PersonId, away: Sequence[Delegation]) -> Line:
        facts: Line = (f"attempt {review.attempt} · submitted by ", Theirs(text=review.task.submitter_name))
        for name in self._instead_of(review, person, away):
            facts += (" · you decide for ", Theirs(text=name))
        if review.expires_at is not None:
            facts += (f" · until {clock_time(review.expires_at)}",)
        return facts

    def _instead_of(self, review: ReviewRequest, person: PersonId, away: Sequence[Delegation]) -> list[str]:
        """In whose place somebody who is no reviewer would decide."""
        known = review.policy.reviewers
        if person in known:
            return []
        absent = [one.person for one in away if one.delegate == person and one.person in known]
        return [self.service.somebody(who).name for who in absent]

    def whoami(self, person: PersonId | None, user: str | int) -> Answer:
        """The id as `countersign.toml` wants it, and whom it has under it; answers whoever asks."""
        known = None if person is None else self.service.person(person)
        identity = f"{self.channel} = {json.dumps(user)}"
        if known is None:
            return Answer(line=(UNKNOWN,), code=f'[people.your-key]\nname = "Your Name"\n{identity}')
        key = known.id if _BARE.fullmatch(known.id) else json.dumps(known.id)
        return Answer(
            line=(
                "You are ",
                Theirs(text=known.name),
                f": countersign.toml knows this id of yours. Days and times count as in {known.zone}.",
            ),
            code=f"[people.{key}]\n{identity}",
        )

    async def submit(
        self, person: PersonId, words: str, *, key: str | None, tell: Recipient, where: str, prefix: str
    ) -> Answer:
        """Hand in `words`; again with the same `key` it finds what was handed in before.

        `tell` hears how it ends, which `where` says in words.
        """
        found = _FLOW.match(words.lstrip())
        text = words.lstrip()[found.end() :] if found else words.strip()
        if not text.strip():
            raise Invalid(HOW.format(prefix))
        task, _ = await self.service.submit(
            Submission(
                input=text,
                submitter=person,
                flow=found[1] if found else None,
                idempotency_key=key,
                tell=tell,
            )
        )
        page = url_of(task.id, self.public_url)
        return Answer(
            line=("Handed in: ", Theirs(text=task.title or "(untitled)"), f". How it ends you hear {where}."),
            page="your task",
            links=(("The task's page", page),),
        )


def is_consent(word: str) -> bool:
    """Whether somebody may take it for a decision; a word alone, whatever stands around it."""
    return _CONSENT.fullmatch(word.lower().strip(".,!:*_~` \n")) is not None


def _how_many(number: int) -> str:
    if number == 1:
        return "One review waits for you:"
    many = f"{number} reviews" if number < MOST else f"{MOST} reviews or more"
    return f"{many} wait for you, the oldest first:"
