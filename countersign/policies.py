"""`[groups.NAME]` and `[policies.NAME]`: what they say, checked against each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from core.counting import can_be_met
from core.errors import SettingsError
from core.model import (
    Assurance,
    Escalation,
    OnExpiry,
    Party,
    PersonId,
    Policy,
    Quorum,
    ReasonRule,
    WorkingHours,
)
from countersign.sections import (
    Duration,
    Line,
    PlacesSection,
    RecipientsSection,
    Section,
    SlackList,
    TelegramChat,
    Truth,
    Whole,
    Zone,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError  # only groups with hours need it

    if len(value.split()) != FIELDS:
        raise ValueError("must be five cron fields such as '* 9-16 * * mon-fri'")
    try:
        next(CronSim(value, datetime(2026, 1, 1)), None)  # noqa: DTZ001  # any time will do
    except CronSimError as error:
        raise ValueError(f"must be five cron fields such as '* 9-16 * * mon-fri' ({error})") from None
    return value


FIELDS = 5
"""A sixth would be seconds, which working hours are not counted in."""
DEEPEST = 50
"""Groups in groups in groups."""
QUICK_REASONS = 20
"""More than these no chat shows: Telegram's buttons tell 26 apart, and nobody reads so many."""
MOST_APPROVALS = 100


def _approvals(value: object) -> object:
    """Said here, for a number and a table alike: pydantic would name its own types."""
    for name, number in value.items() if isinstance(value, dict) else [("", value)]:
        if type(number) is not int or not 1 <= number <= MOST_APPROVALS:
            of = f" for {name!r}" if name else ", or one for each group"
            raise ValueError(f"must be a whole number from 1 to {MOST_APPROVALS}{of}")
    return value


def _claim(value: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= value <= timedelta(days=1):
        raise ValueError("must be from 1m to 1d")
    return value


Approvals = Annotated[int | dict[str, int], BeforeValidator(_approvals)]
ClaimTime = Annotated[Duration, AfterValidator(_claim)]


class GroupSection(Section):
    """`[groups.NAME]`: people, groups, at most one list that somebody else keeps; when they are at work."""

    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    slack: SlackList | None = None
    telegram: TelegramChat | None = None
    url: str | None = None
    token_env: str | None = None
    refresh: Duration | None = None
    stale_after: Duration | None = None
    hours: Annotated[str, AfterValidator(_cron)] | None = None
    zone: Zone = "UTC"
    holidays: tuple[date, ...] = ()


class StageSection(Section):
    """One of a policy's stages."""

    reviewers: tuple[str, ...]
    approvals: Approvals = 1


class EscalationSection(Section):
    """Who is asked besides, once a review has waited so long."""

    after: Duration | None = None
    reviewers: tuple[str, ...] = ()
    recipients: PlacesSection = PlacesSection()


class PolicySection(Section):
    """`[policies.NAME]`."""

    reviewers: tuple[str, ...] = ()
    approvals: Approvals = 1
    stages: tuple[StageSection, ...] = ()
    rejections: Annotated[Whole, Field(ge=1, le=100)] = 1
    self_review: Truth | None = None
    distinct_from: tuple[Party, ...] | None = None
    reason: ReasonRule = ReasonRule.NEVER
    quick_reasons: tuple[Line, ...] = ()
    assurance: Assurance = Assurance.CHAT
    destructive: Truth = False
    deadline: Duration | None = None
    reminders: tuple[Duration, ...] = ()
    escalation: EscalationSection | None = None
    on_expiry: OnExpiry = OnExpiry.REJECT
    carry_decisions: Truth = False
    removed: Literal["keep", "drop"] = "keep"
    claim: ClaimTime = timedelta(minutes=15)
    recipients: RecipientsSection | None = None


@dataclass(slots=True)
class Groups:
    """`[groups]` over `[people]`; every name is checked when it is asked for."""

    sections: Mapping[str, GroupSection]
    people: Collection[str]
    outside: Collection[str] = ()
    """Groups whose members somebody else keeps."""
    _known: dict[str, tuple[PersonId, ...]] = field(default_factory=dict)
    _depth: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raises `SettingsError` for a name that is two things, that is nothing, and for a cycle."""
        for name in self.sections:
            if name in self.people:
                raise SettingsError(f"groups.{name}: there is a person of this name, too.")
            self.members(name, f"groups.{name}")

    def expanded(self, names: Iterable[str], key: str) -> tuple[PersonId, ...]:
        """The people of these people and groups, each once, in order."""
        found: dict[PersonId, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.members(name, key)))
        return tuple(found)

    def members(self, name: str, key: str, around: tuple[str, ...] = ()) -> tuple[PersonId, ...]:
        if name in self.people:
            return (PersonId(name),)
        if name in around:
            raise SettingsError(f"{key}: the groups {' > '.join((*around, name))} contain each other.")
        if name not in self.sections:
            raise SettingsError(f"{key}: {name!r} is neither in [people] nor in [groups].")
        if len(around) > DEEPEST:
            raise SettingsError(f"{key}: more than {DEEPEST} groups are in each other.")
        if name not in self._known:
            self._known[name] = self._read(name, around)
        return self._known[name]

    def _read(self, name: str, around: tuple[str, ...]) -> tuple[PersonId, ...]:
        section = self.sections[name]
        found: dict[PersonId, None] = {}
        depth = 1
        for person in section.people:
            if person not in self.people:
                raise SettingsError(f"groups.{name}.people: {person!r} is not in [people].")
            found[PersonId(person)] = None
        for group in section.groups:
            if group not in self.sections:
                raise SettingsError(f"groups.{name}.groups: {group!r} is not in [groups].")
            found.update(dict.fromkeys(self.members(group, f"groups.{name}.groups", (*around, name))))
            depth = max(depth, 1 + self._depth.get(group, 0))
        self._depth[name] = depth
        if depth > DEEPEST:
            raise SettingsError(f"groups.{name}.groups: more than {DEEPEST} groups are in each other.")
        return tuple(found)

    def fed(self, names: Iterable[str]) -> tuple[str, ...]:
        """The groups from outside that are among these groups, or in them; their names were checked."""
        found: dict[str, None] = {}
        asked = list(names)[::-1]
        seen = set(asked)
        while asked:
            name = asked.pop()
            if name in self.outside:
                found[name] = None
            inner = self.sections[name].groups if name in self.sections else ()
            asked += [group for group in reversed(inner) if group not in seen]
            seen.update(inner)
        return tuple(found)

    def hours(self, names: Iterable[str]) -> tuple[WorkingHours, ...]:
        """Of those that say theirs; people without a group have none."""
        sections = (self.sections[name] for name in dict.fromkeys(names) if name in self.sections)
        return tuple(
            WorkingHours(cron=section.hours, zone=section.zone, holidays=section.holidays)
            for section in sections
            if section.hours is not None
        )


def policy_of(name: str, section: PolicySection, groups: Groups, everywhere: RecipientsSection) -> Policy:
    """Without those who come from outside. Raises `SettingsError` for people nobody knows and for what can
    never be met."""
    key = f"policies.{name}"
    if section.stages and (section.reviewers or section.approvals != 1):
        raise SettingsError(f"{key}.stages: each stage names its own `reviewers` and `approvals`.")
    stages = _stages(section, groups, key)
    quorums = [quorum for stage in stages for quorum in stage]
    names = [who for stage in (section.stages or (section,)) for who in stage.reviewers]
    places = everywhere if section.recipients is None else section.recipients
    fallback = everywhere.fallback if places.fallback is None else places.fallback
    policy = Policy(
        name=name,
        reviewers=tuple(dict.fromkeys(person for quorum in quorums for person in quorum.people)),
        approvals=sum(quorum.approvals for quorum in quorums),
        stages=stages if len(quorums) > 1 else (),
        rejections=section.rejections,
        distinct_from=_distinct_from(section, key),
        reason=section.reason,
        quick_reasons=section.quick_reasons,
        assurance=section.assurance,
        destructive=section.destructive,
        deadline=section.deadline,
        reminders=tuple(sorted(set(section.reminders))),
        escalation=_escalation(section, groups, key),
        on_expiry=section.on_expiry,
        hours=groups.hours(names),
        carries=section.carry_decisions,
        keeps_removed=section.removed == "keep",
        claim=section.claim,
        recipients=places.recipients(),
        fallback=fallback.recipients() if fallback is not None else (),
        outside=groups.fed(names),
    )
    _check_quorums(section, stages, policy, key)
    _check(policy, key)
    return policy


def _stages(section: PolicySection, groups: Groups, key: str) -> tuple[tuple[Quorum, ...], ...]:
    if not section.stages:
        return (_stage(section.reviewers, section.approvals, groups, key),)
    return tuple(
        _stage(stage.reviewers, stage.approvals, groups, f"{key}.stages[{number}]")
        for number, stage in enumerate(section.stages, 1)
    )


def _stage(
    reviewers: tuple[str, ...], approvals: int | dict[str, int], groups: Groups, key: str
) -> tuple[Quorum, ...]:
    everybody = groups.expanded(reviewers, f"{key}.reviewers")
    if isinstance(approvals, int):
        name = " or ".join(reviewers) if len(reviewers) in {1, 2} else "reviewers"
        return (Quorum(name=name, people=everybody, approvals=approvals, outside=groups.fed(reviewers)),)
    if not approvals:
        raise SettingsError(f"{key}.approvals: says of no group how many of it have to approve.")
    for name in approvals:
        if name not in reviewers:
            raise SettingsError(f"{key}.approvals.{name}: {name!r} is not among the `reviewers`.")
    for name in reviewers:
        if name not in approvals:
            raise SettingsError(f"{key}.approvals: does not say how many of {name!r} have to approve.")
    return tuple(
        Quorum(
            name=name,
            people=groups.members(name, f"{key}.reviewers"),
            approvals=number,
            outside=groups.fed([name]),
        )
        for name, number in approvals.items()
    )


def _distinct_from(section: PolicySection, key: str) -> tuple[Party, ...]:
    if section.distinct_from is None:
        return () if section.self_review else (Party.SUBMITTER,)
    if section.self_review is not None:
        raise SettingsError(f"{key}.distinct_from: says what `self_review` says, too; leave that out.")
    return tuple(dict.fromkeys(section.distinct_from))


def _escalation(section: PolicySection, groups: Groups, key: str) -> Escalation | None:
    if section.escalation is None:
        if section.on_expiry is OnExpiry.ESCALATE:
            raise SettingsError(f"{key}.on_expiry: there is no `escalation` to go to.")
        return None
    wider = section.escalation
    if wider.after is None and section.on_expiry is not OnExpiry.ESCALATE:
        raise SettingsError(f"{key}.escalation.after: is needed, unless `on_expiry` escalates.")
    if not wider.reviewers and not wider.recipients.recipients():
        raise SettingsError(f"{key}.escalation: names neither `reviewers` nor `recipients`.")
    return Escalation(
        after=wider.after,
        people=groups.expanded(wider.reviewers, f"{key}.escalation.reviewers"),
        recipients=wider.recipients.recipients(),
        outside=groups.fed(wider.reviewers),
    )


def _check(policy: Policy, key: str) -> None:
    """What would never happen."""
    if policy.reviewers and not policy.outside and policy.rejections > len(policy.reviewers):
        raise SettingsError(
            f"{key}.rejections: {policy.rejections} can never be met by {len(policy.reviewers)} reviewers."
        )
    if len(policy.quick_reasons) > QUICK_REASONS:
        raise SettingsError(
            f"{key}.quick_reasons: {len(policy.quick_reasons)} are more than a chat shows, which is "
            f"{QUICK_REASONS}."
        )
    for wait, name in _waits(policy):
        if policy.deadline is not None and wait >= policy.deadline:
            raise SettingsError(f"{key}.{name}: has to come before the deadline.")
    if policy.deadline is None and policy.on_expiry is not OnExpiry.REJECT:
        raise SettingsError(f"{key}.on_expiry: there is no `deadline`.")


def _check_quorums(
    section: PolicySection, stages: tuple[tuple[Quorum, ...], ...], policy: Policy, key: str
) -> None:
    """What could never be met; where nobody at all may decide, that is what it says.

    How many come from outside is known only later; a review that too few may decide says so then.
    """
    if not policy.reviewers and not policy.outside:
        return
    for number, stage in enumerate(stages, 1):
        at = f"{key}.stages[{number}]" if section.stages else key
        by_name = isinstance((section.stages[number - 1] if section.stages else section).approvals, dict)
        for quorum in stage:
            if not quorum.outside and len(quorum.people) < quorum.approvals:
                raise SettingsError(_never(quorum, at, by_name=by_name))
        _check_different(stage, at, "approvals")
    _check_different(tuple(quorum for stage in stages for quorum in stage), key, "stages")


def _never(quorum: Quorum, at: str, *, by_name: bool) -> str:
    """Of one quorum that has too few people."""
    count = len(quorum.people)
    if by_name:
        return (
            f"{at}.approvals.{quorum.name}: {quorum.approvals} can never be met: "
            f"{quorum.name!r} is {_people(count)}."
        )
    if not count:
        return f"{at}.reviewers: names nobody, so this stage can never be met."
    reviewers = f"{count} {'reviewer' if count == 1 else 'reviewers'}"
    return f"{at}.approvals: {quorum.approvals} can never be met by {reviewers}; each counts once."


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"


def _check_different(quorums: tuple[Quorum, ...], at: str, what: str) -> None:
    """Each has enough people; together they may need somebody twice."""
    known = tuple(quorum for quorum in quorums if not quorum.outside)
    people = tuple(dict.fromkeys(person for quorum in known for person in quorum.people))
    if known and not can_be_met(Policy(name="", reviewers=people, stages=(known,)), (), people):
        asked = " and ".join(f"{quorum.approvals} of {quorum.name}" for quorum in known)
        raise SettingsError(
            f"{at}.{what}: {asked} can never be met by {_people(len(people))}; each counts once."
        )


def _waits(policy: Policy) -> list[tuple[timedelta, str]]:
    waits = [(wait, "reminders") for wait in policy.reminders]
    if policy.escalation is not None and policy.escalation.after is not None:
        waits.append((policy.escalation.after, "escalation.after"))
    return waits
