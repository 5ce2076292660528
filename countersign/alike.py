"""Whether all replicas on one database are configured alike: each stores a mark, which gives nothing away."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from importlib.metadata import version
from os import getpid
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from core.listing import listed
from core.store import credentials, replicas
from core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from dataclasses import Field

    from pydantic import SecretStr

    from core.model import Replica, Status, TaskId
    from core.store.database import Database
    from core.store.sql import SqlStore
    from countersign.configuration import Configuration
    from countersign.settings import Settings

log = structlog.get_logger()

K = TypeVar("K", bound=str)
T = TypeVar("T")

NAMES: Mapping[str, Sequence[str]] = {
    "people": ("[people]", "[admins]"),
    "policies": ("[policies]", "[groups]", "[recipients]"),
    "flows": ("[flows]", "COUNTERSIGN_MODEL_URL", "COUNTERSIGN_MODEL", "COUNTERSIGN_MODEL_API_KEY"),
    "hooks": ("[hooks]", "the variable of a secret_env in [hooks]"),
    "slack": (
        "SLACK_BOT_TOKEN",
        "SLACK_SIGNING_SECRET",
        "SLACK_APP_TOKEN",
        "COUNTERSIGN_SLACK_API_URL",
    ),
    "telegram": (
        "TELEGRAM_BOT_TOKEN",
        "COUNTERSIGN_TELEGRAM_WEBHOOK_SECRET",
        "COUNTERSIGN_TELEGRAM_API_URL",
        "COUNTERSIGN_TELEGRAM_FILE_URL",
    ),
    "callbacks": ("COUNTERSIGN_WEBHOOK_SECRET", "COUNTERSIGN_WEBHOOK_ALLOW"),
    "web": ("COUNTERSIGN_PUBLIC_URL (host and port, where it is empty)", "COUNTERSIGN_AUTH"),
}
"""What people look for in settings and in countersign.toml, by section."""
SECTIONS = tuple(NAMES)
READ_ANEW = frozenset({"people", "policies"})
"""At a SIGHUP; the others at the next start."""
DIGITS = 8
"""Hexadecimal, of each section: enough to tell a difference, and too few to find secrets out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """This replica among those that live."""

    differ: bool
    """Whether any of them judges by other policies, or takes others for members of groups from outside."""
    is_first: bool
    """Whether what one of them is to do for all is this one's to do: its id is the lowest."""


class Alike:
    """This replica beside the others, for `/readyz` and the log."""

    def __init__(
        self,
        store: SqlStore,
        settings: Settings,
        key: bytes,
        configured: Configuration,
        known_as: str | None = None,
    ) -> None:
        """`key` is the database's, the same for all; `configured` is what the file says, without who comes
        from outside."""
        self._name = known_as or name()
        self._store = store
        self._settings = settings
        self._key = key
        self._started = configured
        self._mark = mark(settings, configured, key)
        self._judges_by = judges_by(configured)
        self._release = version("countersign")
        store.describe(name=self._name, release=self._release, configuration=self._mark)

    async def changed(self, configured: Configuration) -> None:
        """The file was read anew; flows and hooks are what they were, until the next start."""
        in_force = replace(configured, flows=self._started.flows, hooks=self._started.hooks)
        self._mark = mark(self._settings, in_force, self._key)
        self._judges_by = judges_by(configured)
        await self._store.reconfigure(self._mark)
        await self.look()

    async def beside(self) -> Beside:
        """How those judge what is open that live beside this one."""
        others = await self._store.others()
        return Beside(
            differ=any(
                not self._judges_by.isdisjoint(differences(self._mark, other.configuration))
                for other in others
            ),
            is_first=all(self._store.replica < other.id for other in others),
        )

    async def look(self) -> None:
        """Say in the log who is configured otherwise."""
        for other in await self._store.others():
            if differing := differences(self._mark, other.configuration):
                settings = [setting for section in differing for setting in NAMES[section]]
                log.warning("replica_configured_otherwise", other=other.name, settings=settings)

    async def leave(self, task: TaskId) -> bool:
        """Leave a task to the others where one of them has another release, or other flows."""
        others = await self._store.others()
        if all(
            other.release == self._release and "flows" not in differences(self._mark, other.configuration)
            for other in others
        ):
            return False
        await self._store.leave(task)
        return True

    async def check(self) -> None:
        await self._store.check()

    async def counts(self) -> Mapping[Status, int]:
        return await self._store.counts()

    async def warnings(self, *, named: bool) -> Sequence[str]:
        """One for each section in which others differ; by number unless they may be `named`."""
        others = await self._store.others()
        found = []
        for section in SECTIONS:
            there = [
                other.name for other in others if section in differences(self._mark, other.configuration)
            ]
            if there:
                here = f"here ({self._name})" if named else "here"
                where = listed(there) if named else f"{len(there)} of {len(others)} other replicas"
                found.append(f"Set otherwise on {where} than {here}: {either(section)}. {mend(section)}")
        return found


def judges_by(configured: Configuration) -> frozenset[str]:
    """The sections that say who decides: a group's source names people by what [people] says of them."""
    return frozenset({"policies", "people"} if configured.outside else {"policies"})


def either(section: str) -> str:
    """The settings of a section, any of which may be the one that differs."""
    return listed(NAMES[section], "or")


def mend(section: str) -> str:
    """What is to be done where it differs."""
    if section in READ_ANEW:
        return "Give all the same countersign.toml; SIGHUP has one read it anew."
    return "Set all alike; one that is restarted reads it anew."


def name() -> str:
    """Of this replica, for people: host and process."""
    return f"{gethostname()}:{getpid()}"


KEY = "alike"
"""The database's secret by which marks are made."""


def living(
    database: Database, settings: Settings, configured: Configuration
) -> tuple[list[Replica], str | None]:
    """The replicas on a PostgreSQL database, and the mark of what is configured here; reads only.

    None where no replica has ever made a mark there.
    """
    connection = database.connect(read_only=True)
    try:
        tx = Transaction(connection.cursor(), database.dialect)
        row = tx.one(credentials.SECRET, name=KEY)
        mine = None if row is None else mark(settings, configured, bytes(row[0]))
        return replicas.others(tx, ""), mine
    finally:
        connection.close()


def mark(settings: Settings, configured: Configuration, key: bytes) -> str:
    """The digits of all sections, one after the other."""
    texts = _texts(settings, configured)
    return "".join(
        hmac.new(key, f"{section}\n{texts[section]}".encode(), hashlib.sha256).hexdigest()[:DIGITS]
        for section in SECTIONS
    )


def differences(mine: str, other: str) -> list[str]:
    """The sections in which two marks differ."""
    return [section for section in SECTIONS if part(mine, section) != part(other, section)]


def part(mark: str, section: str) -> str:
    """The digits of one section."""
    at = SECTIONS.index(section) * DIGITS
    return mark[at : at + DIGITS]


def grouped(them: Sequence[Replica], section: str) -> dict[str, list[str]]:
    """The names of those that are configured alike there, by their digits."""
    found: dict[str, list[str]] = {}
    for one in them:
        found.setdefault(part(one.configuration, section), []).append(one.name)
    return found


def _texts(settings: Settings, configured: Configuration) -> dict[str, str]:
    core, bot, web, directory = settings.core, settings.bot, settings.web, configured.directory
    model = core.model_endpoint
    return {
        "people": repr(
            (
                _said(_sorted(configured.people)),
                sorted(map(repr, directory.slack.items())),
                sorted(directory.telegram.items()),
                sorted(configured.admins),
            )
        ),
        "policies": repr(
            (
                _said(_sorted(configured.policies)),
                [(_said(source), source.token) for _, source in _sorted(configured.outside)],
            )
        ),
        "flows": repr((_said(_sorted(configured.flows)), _said(model), model and model.api_key)),
        "hooks": repr([(_said(hook), hook.secret) for _, hook in _sorted(configured.hooks)]),
        "slack": repr(
            (
                _plain(bot.slack_bot_token),
                _plain(bot.slack_signing_secret),
                _plain(bot.slack_app_token),
                bot.slack_api_url,
            )
        ),
        "telegram": repr(
            (
                _plain(bot.telegram_bot_token),
                _plain(bot.telegram_webhook_secret),
                bot.telegram_api_url,
                bot.telegram_file_url,
            )
        ),
        "callbacks": repr((_plain(web.webhook_secret), sorted(web.webhook_allow))),
        "web": repr((web.base_url, web.auth)),
    }


def _sorted(by_name: Mapping[K, T]) -> list[tuple[K, T]]:
    return sorted(by_name.items(), key=lambda item: item[0])


def _said(value: object) -> object:
    """Without what is as it is where nobody says otherwise: a release that knows a setting more is to make
    the same mark of the same file."""
    if isinstance(value, list | tuple):
        return [_said(one) for one in value]
    if not is_dataclass(value):
        return value
    told = ((field, getattr(value, field.name)) for field in fields(value) if field.repr)
    return [(field.name, _said(found)) for field, found in told if found != _otherwise(field)]


def _otherwise(field: Field[Any]) -> object:
    """Its value where nobody says one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
