"""`countersign policy check`: what a configuration file would have made of the reviews on record."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import click

from core import amendments, counting
from core import policy as rules
from core.errors import CountersignError, Unavailable
from core.model import LOCAL, OnExpiry, Outcome
from core.store import reviews
from core.store.database import database
from core.store.schema import HEAD, revision
from core.store.transaction import Transaction
from countersign.configuration import configuration
from countersign.membership import asked, asker
from countersign.reloading import flows_changed
from countersign.settings import environment, settings
from countersign.terminal import literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from core.model import Decision, Policy, ReviewRequest
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings

PAGE = 500
COUNTED = frozenset({Outcome.APPROVED, Outcome.REJECTED})
"""Outcomes that people's decisions led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A review that would have gone another way."""

    task_id: str
    attempt: int
    policy: str
    was: Outcome
    would_be: Outcome
    why: str

    def line(self) -> str:
        return (
            f"{self.task_id} attempt {self.attempt}, policy {self.policy}: was {self.was}, "
            f"would be {self.would_be}. {self.why}".rstrip()
        )


def run_policy_check(path: Path | None, *, as_json: bool) -> int:
    """0 where no review would have gone another way, else 1; raises `SettingsError` for a wrong file, and
    `Unavailable` where it is not known who is in a group."""
    found = settings()
    in_force = partial(configuration, found.core.config, environment())
    configured = in_force() if path is None else configuration(path, environment(), setting="FILE")
    running = None if path is None else in_force()
    policies = _with_outside(configured, found)
    target = database(found.core.database_url.get_secret_value(), "countersign policy check")
    looked_at, differences = 0, 0
    for review in recorded(target):
        looked_at += 1
        difference = rehearsed(review, policies)
        if difference is not None:
            differences += 1
            click.echo(literal(json.dumps(_row(difference)) if as_json else difference.line()))
    if not as_json:
        count = len(configured.policies)
        click.echo(
            f"{count} {'policy is' if count == 1 else 'policies are'} right; of {looked_at} decided reviews "
            f"{differences} would have gone another way."
        )
        for sentence in _besides(configured, running):
            click.echo(literal(sentence))
    return 1 if differences else 0


def _besides(configured: Configuration, running: Configuration | None) -> Iterator[str]:
    """What SIGHUP does not put in force, and whom nobody could ask."""
    for policy in configured.policies_of_nobody:
        flows = " and ".join(configured.flows_under(policy))
        yield f"Nobody may decide under {policy}, which the flow {flows} asks for or offers."
    changed = [] if running is None else flows_changed(running, configured)
    gone = [
        policy
        for name in changed
        if running is not None and name in running.flows
        for policy in (running.flows[name].policy, *running.flows[name].policies)
        if policy not in configured.policies
    ]
    if gone:
        yield (
            f"SIGHUP would refuse this file, as flows that run ask for policies that it has no more: "
            f"{', '.join(dict.fromkeys(gone))}. Start anew with it, or keep them until then."
        )
    if changed:
        yield f"Flows that changed wait for the next start: {', '.join(changed)}."
    elif running is None:
        yield "SIGHUP puts people, groups and policies in force; flows wait for the next start."


def _with_outside(configured: Configuration, found: Settings) -> Mapping[str, Policy]:
    """The policies with who is in groups from outside now; how many these are is told on standard error."""
    if not configured.outside:
        return configured.policies
    answers, troubles = asyncio.run(asked(configured.outside, asker(found.bot)))
    for group, trouble in troubles.items():
        raise Unavailable(f"groups.{group}: its members are not known: {trouble}")
    members = {}
    for group, source in configured.outside.items():
        people, strangers = source.meant(answers[group], configured.directory, configured.people)
        members[group] = people
        others = f", and {len(strangers)} others" if strangers else ""
        click.echo(f"group {group}: {len(people)} of [people]{others}", err=True)
    return {name: amendments.admitted(policy, members) for name, policy in configured.policies.items()}


def _row(difference: Difference) -> dict[str, str | int]:
    return {name: getattr(difference, name) for name in Difference.__slots__}


def recorded(target: Database) -> Iterator[ReviewRequest]:
    """Every review that people decided, oldest first; none of a database of another release."""
    if revision(target) != HEAD:
        return
    connection = target.connect(read_only=True)
    try:
        tx = Transaction(connection.cursor(), target.dialect)
        after: tuple[int, str] | None = None
        while True:
            page, after = reviews.closed_page(tx, after=after, limit=PAGE)
            yield from (review for review in page if review.outcome in COUNTED)
            if after is None:
                return
    finally:
        connection.close()


def rehearsed(review: ReviewRequest, policies: Mapping[str, Policy]) -> Difference | None:
    """The decisions once more, in their order, under the policy that has the name of theirs."""
    policy = policies.get(review.policy.name)
    if policy is None:
        return _difference(review, Outcome.OPEN, "The file has no policy of this name.")
    under = amendments.escalated(policy) if review.is_escalated else policy
    stands = replace(
        review, policy=under, outcome=Outcome.OPEN, closed_at=None, superseded_by=None, decisions=()
    )
    outcome, why = Outcome.OPEN, ""
    for decision in review.decisions:
        again, refusal = _again(stands, decision, policies)
        if again is None:
            why = why or f"{decision.reviewer_name}'s decision would be refused: {refusal}"
            continue
        stands = again
        outcome = counting.outcome(under, stands.decisions)
        if outcome is not Outcome.OPEN:
            break
    if outcome is Outcome.OPEN and under.deadline is not None and review.is_by_the_clock:
        is_approved = under.on_expiry is OnExpiry.APPROVE
        outcome = Outcome.APPROVED if is_approved else Outcome.EXPIRED
        why = f"It was decided by its deadline, where the policy says {under.on_expiry}."
    elif outcome is Outcome.OPEN and not why:
        missing = [f"{lacks} of {quorum.name}" for quorum, lacks in counting.shortfall_now(stands) if lacks]
        why = f"It would wait for {' and '.join(missing)}."
    return None if outcome is review.outcome else _difference(review, outcome, why)


def _again(
    stands: ReviewRequest, decision: Decision, policies: Mapping[str, Policy]
) -> tuple[ReviewRequest | None, str]:
    """With one more of the decisions, or why that would be refused."""
    try:
        rules.check_may_decide(stands, decision.reviewer, policies, (decision.seat,))
        rules.check_answer(stands, decision)
    except CountersignError as error:
        return None, str(error)
    if decision.reviewer == LOCAL:
        return replace(stands, decisions=(*stands.decisions, decision)), ""
    made = replace(decision, stage=counting.stage_now(stands.policy, stands.decisions) or 0)
    return replace(stands, decisions=(*stands.decisions, made)), ""


def _difference(review: ReviewRequest, would_be: Outcome, why: str) -> Difference:
    return Difference(
        task_id=review.task.id,
        attempt=review.attempt,
        policy=review.policy.name,
        was=review.outcome,
        would_be=would_be,
        why=why,
    )
