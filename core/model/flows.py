"""What the configuration says of flows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSettings:
    """One `[flows.NAME]`: which graph it is, how its nodes are run, how often an attempt may be made."""

    name: str
    graph: str | None = None
    """`module:function` that returns a PocketFlow graph; None is the shipped flow of this kind."""
    shipped: str = "draft"
    is_named: bool = False
    """Whether the configuration file has it; those that ship are there all the same."""
    processor: str | None = None
    prompt: str | None = None
    """What the model is told first: a text, or `@file` beside the configuration file."""
    policy: str = "default"
    policies: tuple[str, ...] = ()
    """Those that submitters may choose instead."""
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    """Nodes, as paths, at which reviewers are asked before they run, or after."""
    strict_actions: bool = False
    """Whether an action that leads nowhere fails the task."""
    timeout: timedelta
    retries: int
    """How often a failed process step is repeated before the task fails; 0 is never."""
    backoff: timedelta
    """The wait before the first retry; it doubles with each, up to `backoff_limit`."""
    backoff_limit: timedelta
    max_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """An OpenAI-compatible chat endpoint."""

    url: str
    """Its base, as OpenAI clients take it: `https://…/v1`."""
    model: str
    api_key: str | None = field(default=None, repr=False)
