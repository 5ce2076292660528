"""`countersign doctor`: one line for each thing looked at, and how to mend what is not well."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.checkup import slack_findings, telegram_findings
from bot.findings import Finding
from bot.tokens import Chat, malformed
from core.errors import CountersignError, SettingsError, StoreUnavailable
from core.listing import listed
from core.store import fitness
from core.store.database import database
from core.store.schema import HEAD, check_shared, revision
from core.store.sqlite import SQLite
from core.store.unfinished import source_of_copy
from countersign.alike import SECTIONS, either, grouped, living, part
from countersign.configuration import DEFAULT_FILE, configuration
from countersign.flows import loaded
from countersign.listening import port_finding
from countersign.membership import asked, asker
from countersign.reach import places, within_reach
from countersign.reloading import LONGEST_ID
from countersign.settings import environment, settings, unknown_names
from countersign.sources import Kind
from countersign.terminal import literal
from web.hooks.addresses import CallbackGuard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Iterator, Sequence

    from core.model import PersonId, Replica
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings
    from countersign.sources import Source

WHERE = "see COUNTERSIGN_DATABASE_URL"
NAMED = 10
"""Names in one line."""
OURS = ("bot", "core", "web", "countersign")


def run_doctor(*, as_json: bool) -> int:
    """1 where anything is not well."""
    return asyncio.run(_report(as_json=as_json))


async def _report(*, as_json: bool) -> int:
    is_well = True
    async for finding in findings():
        is_well = is_well and finding.is_well
        click.echo(json.dumps(asdict(finding)) if as_json else line(finding))
    return 0 if is_well else 1


def line(finding: Finding) -> str:
    """For people: a word they can search for, what was seen, and what to do."""
    if finding.is_warning:
        return f"warn  {finding.check}: {finding.text} - {finding.mend}"
    if finding.is_well:
        return f"ok    {finding.check}: {finding.text}"
    return f"FAIL  {finding.check}: {finding.text} - {finding.mend}"


async def findings() -> AsyncIterator[Finding]:
    """Everything, in the order in which it has to be right."""
    yield _packages()
    try:
        found = settings()
    except CountersignError as error:
        yield Finding(check="settings", is_well=False, text=str(error), mend="see .env.example")
        return
    async for finding in _settings(found):
        yield finding
    stored, target, lacks = _database(found.core.database_url.get_secret_value())
    yield stored
    try:
        configured = configuration(found.core.config, environment())
    except CountersignError as error:
        yield Finding(
            check="configuration", is_well=False, text=str(error), mend="see countersign.example.toml"
        )
        return
    is_open = found.web.auth == "open"
    yield _configuration(configured, is_open=is_open)
    for finding in _own_tasks(configured, is_open=is_open):
        yield finding
    if stored.is_well and target is not None:
        for finding in _replicas(target, found, configured, lacks):
            yield finding
    for finding in _flows(configured, found):
        yield finding
    wrong = {chat for chat, _ in malformed(found.bot)}
    async for finding in _chats(found, configured, wrong):
        yield finding
    for finding in await _groups(found, configured, wrong):
        yield finding


def _packages() -> Finding:
    """Our top-level names are short; another distribution may have brought the same."""
    owners = packages_distributions()
    others = {
        f"{name} ({owner})" for name in OURS for owner in owners.get(name, []) if owner != "countersign"
    }
    return Finding(
        check="packages",
        is_well=not others,
        text=f"also installed by others: {', '.join(sorted(others))}" if others else "no collisions",
        mend="install countersign in a virtual environment of its own",
    )


async def _settings(found: Settings) -> AsyncIterator[Finding]:
    yield _callbacks(found) or Finding(
        check="settings", is_well=True, text=f"it would serve at {found.web.base_url}"
    )
    for name in unknown_names():
        yield Finding(check=name, is_well=False, text="is not a setting", mend="compare it with .env.example")
    for name in found.bot.foreign_urls:
        yield Finding(check=name, is_well=True, text="is not the platform's own address")
    for _, finding in malformed(found.bot):
        yield finding
    if (listens := await port_finding(found.web)) is not None:
        yield listens


def _callbacks(found: Settings) -> Finding | None:
    """What is wrong with the addresses that callbacks may reach, which `serve` alone makes something of."""
    try:
        CallbackGuard(found.web.webhook_allow)
    except CountersignError as error:
        return Finding(check="settings", is_well=False, text=str(error), mend="see .env.example")
    return None


def _database(url: str) -> tuple[Finding, Database | None, Finding | None]:
    """With it, where the URL names one, and what a PostgreSQL server cannot do that newer ones can."""
    try:
        target = database(url, "countersign doctor")
    except CountersignError as error:
        return Finding(check="database", is_well=False, text=str(error), mend=WHERE), None, None
    try:
        lacks = None if isinstance(target, SQLite) else fitness.examined(target)
    except CountersignError as error:
        return _unfit_database(error), target, None
    return _state(target), target, None if lacks is None else _lacking(lacks)


def _state(target: Database) -> Finding:
    try:
        at = revision(target)
        source = source_of_copy(target) if at == HEAD else None
    except CountersignError as error:
        return _unfit_database(error)
    is_file = isinstance(target, SQLite)
    if at is None and is_file:
        return Finding(check="database", is_well=True, text="none yet; serve will make it")
    if source is not None:
        return Finding(
            check="database",
            is_well=False,
            text=f"an unfinished copy of {source}",
            mend="finish it with countersign copy",
        )
    if at is not None and not is_file:
        return _shared_database(target, at)
    stands = "has no tables of Countersign's yet" if at is None else f"at revision {at}"
    is_newer = at is not None and at > HEAD
    return Finding(
        check="database",
        is_well=at == HEAD,
        text=stands + ("" if at == HEAD else f", this release needs revision {HEAD}"),
        mend="install the newer release" if is_newer else "run: countersign migrate",
    )


def _shared_database(target: Database, at: str) -> Finding:
    """Which may be a newer release's, or have other tables than ours that are not."""
    try:
        newer = check_shared(target)
    except CountersignError as error:
        return _unfit_database(error)
    text = f"at revision {at}" + (", of a newer release, beside which this one works" if newer else "")
    return Finding(check="database", is_well=True, text=text)


def _unfit_database(error: CountersignError) -> Finding:
    """What is wrong and what helps, where its sentence has both."""
    match error:
        case SettingsError(what=what, mend=str(mend)):
            return Finding(check="database", is_well=False, text=what, mend=mend)
        case StoreUnavailable():
            return Finding(check="database", is_well=False, text=error.in_full, mend=WHERE)
    return Finding(check="database", is_well=False, text=str(error), mend=WHERE)


def _lacking(text: str) -> Finding:
    mend = f"PostgreSQL {fitness.ENDS_TRANSACTIONS} and later end such a transaction by themselves"
    return Finding(check="postgresql", is_well=True, is_warning=True, text=text, mend=mend)


def _replicas(
    target: Database, found: Settings, configured: Configuration, lacks: Finding | None
) -> Iterator[Finding]:
    """Those that live on a PostgreSQL database; what they do not agree on, and what is otherwise here. Before
    them what their server `lacks`."""
    if isinstance(target, SQLite):
        return
    if lacks is not None:
        yield lacks
    replicas, mine = living(target, found, within_reach(configured, found))
    for replica in replicas:
        yield Finding(check="replica", is_well=True, text=f"{replica.name} ({replica.release}) lives")
    otherwise = []
    for section in SECTIONS:
        alike = sorted(grouped(replicas, section).items(), key=lambda item: -len(item[1]))
        if len(alike) > 1:
            sides = "; ".join(listed(names) for _, names in alike)
            yield Finding(
                check="replicas",
                is_well=False,
                text=f"do not agree on {either(section)}: {sides}",
                mend="give all the same settings and countersign.toml; SIGHUP has one read people and "
                "policies anew, a restart everything",
            )
        elif alike and mine is not None and part(mine, section) != alike[0][0]:
            otherwise.append(either(section))
    if otherwise:
        yield _apart(replicas, otherwise, (configured.path or DEFAULT_FILE).absolute())


def _apart(replicas: Sequence[Replica], otherwise: Sequence[str], file: Path) -> Finding:
    """The replicas agree with each other, so most likely it is this command that lacks their settings."""
    names = listed([replica.name for replica in replicas])
    return Finding(
        check="this command",
        is_well=False,
        text=f"its environment, {Path.cwd() / '.env'} and {file} are not what {names} "
        f"{'runs' if len(replicas) == 1 else 'agree'} on: {'; '.join(otherwise)}",
        mend="run it with the environment and in the folder of the service (docs/operations.md); "
        "where these are the new settings, restart the service",
    )


def _flows(configured: Configuration, found: Settings) -> Iterator[Finding]:
    """Each that cannot be loaded; what their modules print must not stand among the findings."""
    for name in configured.flows:
        try:
            with redirect_stdout(sys.stderr):
                loaded(name, configured, found.core.model_endpoint)
        except CountersignError as error:
            mend = "see docs/flows.md; `countersign flow NAME` tries one"
            yield Finding(check="flow", is_well=False, text=str(error), mend=mend)


def _configuration(configured: Configuration, *, is_open: bool) -> Finding:
    """In open mode whoever sits at the machine reviews, whatever the policies say."""
    lonely = configured.policies_of_nobody
    if is_open or not lonely:
        return Finding(check="configuration", is_well=True, text=f"{len(configured.people)} people")
    under = [f"{name} (flow {' and '.join(configured.flows_under(name))})" for name in lonely]
    text = f"nobody may review under: {', '.join(under)}"
    if configured.path is None:
        text = "no countersign.toml, so nobody may review"
    return Finding(check="configuration", is_well=False, text=text, mend=configured.how_to_name_reviewers)


def _own_tasks(configured: Configuration, *, is_open: bool) -> Iterator[Finding]:
    """Each policy whose reviewers cannot have their own tasks approved."""
    for name, people in configured.stuck_submitters.items():
        if is_open and configured.policies[name].approvals == 1:
            continue  # whoever sits at the machine may
        yield Finding(
            check=f"policy {name}",
            is_well=True,
            is_warning=True,
            text=f"what {_any_of(people)} hands in can never be approved: nobody decides on their own task, "
            "and without them too few are left",
            mend="name one more reviewer, ask for fewer approvals, or let submitters decide on their own "
            "tasks (self_review = true)",
        )


def _any_of(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`, and no more than people read."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} or another of {len(names)}"
    return listed(names, "or")


async def _groups(found: Settings, configured: Configuration, wrong: Container[Chat]) -> list[Finding]:
    """Each whose members somebody else keeps: whether these are told, and who they are to us."""
    outside = configured.outside
    silent = {group: unfit for group, source in outside.items() if (unfit := _unfit(source, wrong))}
    askable = {group: source for group, source in outside.items() if group not in silent}
    members, troubles = await asked(askable, asker(found.bot))
    return [
        _untold(source, silent[group])
        if group in silent
        else _untold(source, str(troubles[group]))
        if group in troubles
        else _told(source, *source.meant(members[group], configured.directory, configured.people))
        for group, source in outside.items()
    ]


def _unfit(source: Source, wrong: Container[Chat]) -> str | None:
    """Why its platform is not asked."""
    if source.kind is Kind.SLACK and Chat.SLACK in wrong:
        return "Slack's settings are not right; see SLACK_BOT_TOKEN"
    if source.kind is Kind.TELEGRAM and Chat.TELEGRAM in wrong:
        return "Telegram's settings are not right; see TELEGRAM_BOT_TOKEN"
    return None


def _untold(source: Source, reason: str) -> Finding:
    return Finding(
        check=f"group {source.group}",
        is_well=False,
        text=f"its members are not known, so nobody is in it: {reason.removesuffix('.')}",
        mend=_way_to_ask(source),
    )


def _way_to_ask(source: Source) -> str:
    """What has to be so that its source answers."""
    if source.kind is Kind.HTTP:
        return "check `url` and `token_env`, and see docs/policies.md"
    if source.kind is Kind.TELEGRAM:
        return "add the bot to the chat, as an administrator, and check the ids of the chat and of [people]"
    if source.is_user_group:
        return (
            "add usergroups:read under OAuth & Permissions, install the app again, and check the group's id"
        )
    return (
        "add channels:read (groups:read for a private channel) under OAuth & Permissions, install the app "
        "again, invite it to the channel, and check the channel's id"
    )


_BY = {
    Kind.SLACK: ", by their Slack ids",
    Kind.TELEGRAM: ", by their Telegram ids, and make the bot an administrator of the chat",
}


def _told(source: Source, people: Sequence[PersonId], strangers: Sequence[str]) -> Finding:
    text = f"{len(people)} of [people]"
    if strangers:
        more = ", …" if len(strangers) > NAMED else ""
        names = ", ".join(literal(" ".join(name[:LONGEST_ID].split())) for name in strangers[:NAMED])
        text += f"; {len(strangers)} others, who may not decide: {names}{more}"
    return Finding(
        check=f"group {source.group}",
        is_well=bool(people),
        text=text,
        mend="name its members in [people]" + _BY.get(source.kind, ""),
    )


async def _chats(
    found: Settings, configured: Configuration, wrong: Container[Chat]
) -> AsyncIterator[Finding]:
    """No token is sent to a platform in whose settings something else stands: it may be another's secret."""
    known = {place for policy in configured.policies.values() for place in places(policy)}
    slack = sorted(place.address for place in known if place.channel == "slack")
    telegram = sorted(place.address for place in known if place.channel == "telegram")
    if Chat.SLACK not in wrong:
        async for finding in slack_findings(found.bot, slack):
            yield finding
    if Chat.TELEGRAM not in wrong:
        async for finding in telegram_findings(found.bot, telegram):
            yield finding
