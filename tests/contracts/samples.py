"""A value for each column."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.events import AttemptStarted, ProgressReported
from core.model import (
    Asks,
    ChannelName,
    ChatUpdate,
    Credential,
    Delegation,
    Dialog,
    MessageRef,
    NewQuestion,
    QuestionId,
    TaskId,
    Verdict,
)
from core.store.recovery import POISON
from core.store.rows import micros
from tests.contracts.steps import ANYONE, decide, parked, step, submitted, waiting
from tests.world import ANA, BEN, DESK, HALL, PAPER, SAM

if TYPE_CHECKING:
    from core.store.sql import SqlStore
    from tests.world import StoppedClock


async def sampled(store: SqlStore, clock: StoppedClock) -> dict[str, Any]:
    """Something of everything that is stored; the ids and numbers that `READS` name."""
    policy = replace(ANYONE, recipients=(DESK,))
    await store.secret("a")
    await store.looked_over({policy.name: policy}, ())
    at = clock.now()
    await store.add_credential(Credential(id="c" * 32, person=ANA.id, token_hash="a" * 64, created_at=at))
    await submitted(store, key="once")
    stuck = await submitted(store)
    await step(store, stuck.id, AttemptStarted(attempt=1), begun=True, starts=POISON)
    progress = ProgressReported(node="process", fraction=0.5, text=None)
    await step(store, stuck.id, progress, begun=True, starts=POISON)
    approved = await waiting(store, policy)
    await decide(store, approved)
    of = (await store.review(approved)).task.id
    await store.fork(of, number=1, edits={}, node="process", by=ANA, child=TaskId("f" * 32))
    rejected = await waiting(store, policy)
    await decide(store, rejected, verdict=Verdict.REJECT, copy=(DESK, MessageRef("a copy")))
    task = (await store.review(rejected)).task.id
    second = await parked(store, task, policy, attempt=2)
    called_off = (await store.review(await waiting(store, policy))).task.id
    await store.cancel(called_off, SAM.id)
    await store.keep_update(ChatUpdate(channel=ChannelName("telegram"), id="1", body=b"{}"))
    await store.delegate(
        Delegation(
            id="d" * 32,
            person=ANA.id,
            delegate=BEN.id,
            until=at + timedelta(days=1),
            made_by=ANA.id,
            made_at=at,
        )
    )
    await store.heard(PAPER, kept=timedelta(days=1))
    await store.place_moved(HALL, "attic")
    (card,) = await store.deliveries((await store.review(await waiting(store, policy))).task.id)
    await store.delivery_shown(card, MessageRef("desk/9"))
    known_card = card.id
    await decide(store, await waiting(store, replace(ANYONE, approvals=2)), BEN)
    open_review = await store.review(
        await waiting(store, replace(policy, deadline=timedelta(hours=1), outside=("legal",)))
    )
    await store.claim(open_review.id, ANA, via="web")
    await store.snooze(open_review.id, ANA, at + timedelta(minutes=5), via="web")
    asked = await store.ask(
        open_review.id,
        NewQuestion(id=QuestionId("e" * 32), person=ANA, text="Why?", via="web"),
        policies={},
    )
    notice = (await store.deliveries(open_review.task.id))[-1]
    await store.delivery_shown(notice, MessageRef("a notice"))
    asking = Dialog(
        message=MessageRef("a question"),
        channel=PAPER,
        review=open_review.id,
        person=ANA.id,
        verdict=Verdict.REJECT,
        expires_at=at + timedelta(minutes=10),
    )
    await store.open_dialog(asking)
    consent = replace(asking, message=MessageRef("a difference"), asks=Asks.CONSENT, verdict=Verdict.EDIT)
    await store.open_dialog(replace(consent, content="a new text"))
    return {
        "TASK": task,
        "STUCK": stuck.id,
        "WAITING": open_review.task.id,
        "REVIEW": rejected,
        "SECOND": second,
        "OPEN": open_review.id,
        "QUESTION": asked.id,
        "ASKED_AT": notice.event_seq,
        "APPROVED": of,
        "CARD": known_card,
        "CALLED_OFF": called_off,
        "NOW": micros(at),
    }
