"""`countersign.toml`: people, recipients, policies, flows and hooks, checked as a whole.

pydantic knows the shapes; what refers to something else is checked after. Every refusal is one sentence
that names the file and the key.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from bot.people import Directory
from core.amendments import escalated
from core.counting import is_hopeless
from core.errors import SettingsError
from core.model import LOCAL, FlowSettings, Person, PersonId, Policy
from countersign.lines import line_of
from countersign.policies import Groups, GroupSection, PolicySection, policy_of
from countersign.sections import (
    Duration,
    Language,
    Line,
    Name,
    RecipientsSection,
    Section,
    SlackPerson,
    Truth,
    Whole,
    Zone,
)
from countersign.sources import Source, sources
from web.hooks.inbound import Hook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEFAULT_FILE = Path("countersign.toml")
FIRST_STEP = "copy countersign.example.toml to countersign.toml and name people in it"
DEFAULT = "default"
APPROVAL = "approval"
SHIPPED = ("draft", APPROVAL)
"""Flows that are there without being named."""


class PersonSection(Section):
    """`[people.NAME]`: immutable platform ids, never names."""

    name: Line
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    zone: Zone = "UTC"
    language: Language | None = None
    slack: SlackPerson | None = None
    telegram: Annotated[Whole, Field(gt=0)] | None = None


class FlowSection(Section):
    """`[flows.NAME]`: which graph it is, and how its nodes run."""

    graph: str | None = None
    processor: str | None = None
    prompt: str | None = None
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    strict_actions: Truth = False
    policy: str = DEFAULT
    policies: tuple[str, ...] = ()
    timeout: Duration = timedelta(seconds=60)
    retries: Annotated[Whole, Field(ge=0, le=100)] = 2
    backoff: Duration = timedelta(seconds=1)
    backoff_limit: Duration = timedelta(minutes=5)
    max_attempts: Annotated[Whole, Field(ge=1, le=1000)] = 5


class AdminsSection(Section):
    """`[admins]`: who may resume tasks from their checkpoints, past reviews too, and take backups."""

    people: tuple[str, ...] = ()


class HookSection(Section):
    """`[hooks.NAME]`: `POST /hooks/NAME` makes a task."""

    scheme: Literal["standard", "github", "bearer"]
    secret_env: str
    input: str | None = None
    flow: str | None = None


class ConfigurationFile(Section):
    """The whole file."""

    people: dict[Name, PersonSection] = Field(default_factory=dict)
    recipients: RecipientsSection = RecipientsSection()
    admins: AdminsSection = AdminsSection()
    groups: dict[Name, GroupSection] = Field(default_factory=dict)
    policies: dict[Name, PolicySection] = Field(default_factory=dict)
    flows: dict[Name, FlowSection] = Field(default_factory=dict)
    hooks: dict[Name, HookSection] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the file says, in the words of core, bot and web."""

    path: Path | None
    people: Mapping[PersonId, Person] = field(default_factory=dict)
    admins: frozenset[PersonId] = frozenset()
    directory: Directory = field(default_factory=Directory)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    flows: Mapping[str, FlowSettings] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    """The flows that the file names; the others are there all the same."""
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    outside: Mapping[str, Source] = field(default_factory=dict)
    """By group: who is asked for its members, who are not in `policies` until they are known."""

    @property
    def folder(self) -> Path | None:
        """Where modules named in the file are looked up first."""
        return None if self.path is None else self.path.resolve().parent

    @property
    def policies_of_nobody(self) -> list[str]:
        """Policies that a flow in use asks for, or offers, and nobody may decide under."""
        policies = [self.policies[name] for name in sorted(self._asked_for)]
        return [policy.name for policy in policies if not policy.reviewers and not policy.outside]

    @property
    def how_to_name_reviewers(self) -> str:
        """What mends `policies_of_nobody`."""
        if self.path is None:
            return FIRST_STEP
        mend = "name reviewers in the policy; empty means nobody"
        is_draft = any("draft" in self.flows_under(name) for name in self.policies_of_nobody)
        if is_draft and "draft" not in self.named:
            mend += ". Tasks that name no flow take draft: [flows.draft] says under which policy"
        return mend

    @property
    def stuck_submitters(self) -> dict[str, list[PersonId]]:
        """By such a policy: whose tasks it leaves to too few, as nobody decides on their own.

        How many come from outside is known only later.
        """
        wider = {name: escalated(self.policies[name]) for name in sorted(self._asked_for)}
        stuck = {
            name: [person for person in self.policies[name].reviewers if is_hopeless(policy, person)]
            for name, policy in wider.items()
            if not policy.outside
        }
        return {name: people for name, people in stuck.items() if people}

    def flows_under(self, policy: str) -> list[str]:
        """Flows in use that ask for it, or offer it."""
        return self._asked_for.get(policy, [])

    @property
    def _asked_for(self) -> dict[str, list[str]]:
        """In use are flows that the file names, and `draft`, which tasks take that name none."""
        found: dict[str, list[str]] = {}
        for name, flow in self.flows.items():
            if name in self.named or name == "draft":
                for policy in dict.fromkeys((flow.policy, *flow.policies)):
                    found.setdefault(policy, []).append(name)
        return found


def configuration(
    path: Path | None, environment: Mapping[str, str] = os.environ, *, setting: str = "COUNTERSIGN_CONFIG"
) -> Configuration:
    """Read the file; None is `countersign.toml` where there is one, and otherwise an empty one.

    Raises `SettingsError`; where the file cannot be read, that begins with `setting`. `environment` holds the
    secrets of hooks and of groups' sources.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return translated(ConfigurationFile(), None, environment)
        path = DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows begin a file with a mark
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{setting}: {path.name} cannot be read: {_shown(error)}.") from error
    except ValueError:
        reason = "a number in it has thousands of digits"
        raise SettingsError(f"{setting}: {path.name} cannot be read: {reason}.") from None
    except RecursionError:
        reason = "a list or table in it is in hundreds of others"
        raise SettingsError(f"{setting}: {path.name} cannot be read: {reason}.") from None
    try:
        return parsed(data, path, environment)
    except SettingsError as error:
        raise SettingsError(_with_line(str(error), path, text)) from None


def _shown(sentence: object) -> str:
    """On one line, whatever the file has in a key."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(sentence))


def _with_line(sentence: str, path: Path, text: str) -> str:
    """`countersign.toml: policies.x.approvals: …` says on which line that stands, where it does."""
    name, _, rest = sentence.partition(": ")
    line = line_of(text, rest.partition(":")[0])
    return sentence if line is None or name != path.name else f"{name}, line {line}: {rest}"


def parsed(data: Mapping[str, Any], path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Raises `SettingsError` with the first thing that is wrong."""
    try:
        file = ConfigurationFile.model_validate(data)
    except ValidationError as error:
        raise SettingsError(f"{_name(path)}: {_shown(_sentence(error))}") from None
    try:
        return translated(file, path, environment)
    except SettingsError as error:
        raise SettingsError(f"{_name(path)}: {_shown(error)}") from None


def _name(path: Path | None) -> str:
    return DEFAULT_FILE.name if path is None else path.name


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(map(str, place))
    if first["type"] == "extra_forbidden":
        return f"{key}: is not a known key; {_instead(place)}."
    plain = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{key}: {_SHAPES.get(first['type'], plain)}."


_SHAPES = {
    "tuple_type": 'must be a list, such as ["…"]',
    "list_type": 'must be a list, such as ["…"]',
    "model_type": "must be a table, such as { … }",
    "model_attributes_type": "must be a table, such as { … }",
    "dict_type": "must be a table, such as { … }",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "missing": "is missing",
    "date_type": "must be a day, such as 2026-12-25",
    "date_parsing": "must be a day, such as 2026-12-25",
    "date_from_datetime_parsing": "must be a day, such as 2026-12-25",
}
"""What pydantic says of these would name its own types."""


def _instead(place: Sequence[int | str]) -> str:
    """What somebody may have meant: the nearest key there, or all that there are."""
    known = _keys_at(place[:-1])
    near = get_close_matches(str(place[-1]), known, n=1)
    return f"perhaps {near[0]!r} is meant" if near else f"known are: {', '.join(known)}"


def _keys_at(place: Sequence[int | str]) -> list[str]:
    """Of the section there; names that people chose, and positions, are passed over."""
    section: type[BaseModel] = ConfigurationFile
    for part in place:
        field = section.model_fields.get(str(part))
        if field is not None:
            section = next(_sections_in(field.annotation), section)
    return list(section.model_fields)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def translated(file: ConfigurationFile, path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Check what refers to something else; raises `SettingsError`."""
    if LOCAL in file.people:
        raise SettingsError("people.local: this name is the built-in person of COUNTERSIGN_AUTH=open.")
    sections = {DEFAULT: PolicySection(), **file.policies}
    directory = _directory(file)
    outside = sources(file.groups, environment, directory)
    groups = Groups(file.groups, file.people, outside)
    groups.check()
    policies = {name: policy_of(name, section, groups, file.recipients) for name, section in sections.items()}
    flows = {**{name: FlowSection() for name in SHIPPED}, **file.flows}
    return Configuration(
        path=path,
        people=_people(file),
        admins=_admins(file),
        directory=directory,
        policies=policies,
        flows={name: _flow(name, section, policies, file) for name, section in flows.items()},
        named=frozenset(file.flows),
        hooks={name: _hook(name, section, flows, environment) for name, section in file.hooks.items()},
        outside=outside,
    )


def _people(file: ConfigurationFile) -> dict[PersonId, Person]:
    subjects: dict[str, str] = {}
    for key, person in file.people.items():
        if person.subject is not None and (first := subjects.setdefault(person.subject, key)) != key:
            raise SettingsError(f"people.{key}.subject: {key} and {first} have the same subject.")
    return {
        PersonId(key): Person(
            id=PersonId(key), name=p.name, subject=p.subject, zone=p.zone, language=p.language
        )
        for key, p in file.people.items()
    }


def _admins(file: ConfigurationFile) -> frozenset[PersonId]:
    for person in file.admins.people:
        if person not in file.people:
            raise SettingsError(f"admins.people: {person!r} is not in [people].")
    return frozenset(PersonId(person) for person in file.admins.people)


def _directory(file: ConfigurationFile) -> Directory:
    return Directory.of(
        slack={PersonId(key): p.slack for key, p in file.people.items() if p.slack is not None},
        telegram={PersonId(key): p.telegram for key, p in file.people.items() if p.telegram is not None},
    )


def _flow(
    name: str, section: FlowSection, policies: Mapping[str, Policy], file: ConfigurationFile
) -> FlowSettings:
    if section.policy not in policies:
        raise SettingsError(f"flows.{name}.policy: there is no policy {section.policy!r}.")
    for policy in section.policies:
        if policy not in policies:
            raise SettingsError(f"flows.{name}.policies: there is no policy {policy!r}.")
    _processor_has_a_node(name, section)
    return FlowSettings(
        name=name,
        graph=section.graph,
        shipped="approval" if name == APPROVAL else "draft",
        is_named=name in file.flows,
        interrupt_before=section.interrupt_before,
        interrupt_after=section.interrupt_after,
        strict_actions=section.strict_actions,
        processor=section.processor,
        prompt=section.prompt,
        policy=section.policy,
        policies=section.policies,
        timeout=section.timeout,
        retries=section.retries,
        backoff=section.backoff,
        backoff_limit=section.backoff_limit,
        max_attempts=section.max_attempts,
    )


def _processor_has_a_node(name: str, section: FlowSection) -> None:
    """A key that nothing would read must not go unnoticed."""
    if section.graph is not None:
        reason = "a `graph` has nodes of its own"
    elif name == APPROVAL:
        reason = "this flow shows what is submitted as it is, and runs no processor"
    else:
        return
    for key in ("processor", "prompt"):
        if getattr(section, key) is not None:
            raise SettingsError(f"flows.{name}.{key}: {reason}.")


def _hook(
    name: str, section: HookSection, flows: Mapping[str, FlowSection], environment: Mapping[str, str]
) -> Hook:
    secret = environment.get(section.secret_env, "")
    if not secret:
        raise SettingsError(f"hooks.{name}.secret_env: {section.secret_env} is not set.")
    if section.flow is not None and section.flow not in flows:
        raise SettingsError(f"hooks.{name}.flow: there is no flow {section.flow!r}.")
    return Hook(name=name, scheme=section.scheme, secret=secret, input=section.input, flow=section.flow)
