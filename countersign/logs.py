"""Logs: facts with ids; lines for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp.http import HttpProcessingError

from core.defects import defect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, Processor

log = structlog.get_logger()

NOISY = ("httpx", "httpcore", "slack_bolt", "slack_sdk", "telegram", "aiohttp", "asyncio", "alembic")
"""Libraries whose INFO lines hold addresses with tokens in them, or whole bodies."""

_FACTS: dict[str, str] = {}


def always(**facts: str) -> None:
    """Every line from now on has these, such as a replica's name.

    A context variable would not do: much is logged by tasks that were begun where none reaches.
    """
    _FACTS.update(facts)


def _with_facts(_logger: object, _method: str, event: EventDict) -> EventDict:
    for name, fact in _FACTS.items():
        event.setdefault(name, fact)
    return event


def _without_message(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Of an error that somebody logs whole, a library most likely, the class and the places."""
    told = event.pop("exc_info", None)
    error = told[1] if isinstance(told, tuple) else sys.exception() if told is True else told
    if isinstance(error, BaseException):
        event.update(defect(error))
    return event


def not_handled(_loop: object, context: Mapping[str, Any]) -> None:
    """In place of asyncio's own words, which quote the error's message and the arguments of a call."""
    error = context.get("exception")
    facts = {"reason": context["message"]} if error is None else defect(error)
    log.error("not_handled", **facts)


class _Unreadable(logging.Filter):
    """Tells of what is no HTTP as a fact: whoever scans addresses sends it, and nobody has to get up.

    aiohttp logs it at level error, as it does a fault of ours; so also a body that is not encoded as its
    headers say, once more after that was refused.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        from aiohttp.web import RequestPayloadError  # who serves has it; commands need none

        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | RequestPayloadError):
            return True
        log.info("request_unreadable", error=type(error).__name__)
        return False


_UNREADABLE = _Unreadable()
"""One alone: a logger that has it does not take it again."""


def configure(named: Processor | None = None) -> None:
    """Log to standard error: standard output belongs to what commands print.

    `named` adds to each line what it belongs to, such as a trace.
    """
    on_terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_facts,
        *([] if named is None else [named]),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        _without_message,
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aiohttp.server").addFilter(_UNREADABLE)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
