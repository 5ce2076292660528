"""Whether this process traces: the extra `otel`, told where to by the standard OTEL_* variables.

Without them nothing of it is imported, and every part is the plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.flow import FlowRunner
from core.imports import extra
from core.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from core.ports import Channel
    from countersign.traced import Tracing

WHERE = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
"""One of these asks for traces."""
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """As OpenTelemetry's own configuration has it."""
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    is_none = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return any(environ.get(name, "").strip() for name in WHERE) and not is_off and not is_none


def tracing(environ: Mapping[str, str]) -> tuple[Tracing | None, str]:
    """Tracing, where it is asked for; or why there is none all the same, which stops no start: these
    variables are often set for a whole machine."""
    if not is_asked_for(environ):
        return None, ""
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in {"", "otlp"}:
        return None, "OTEL_TRACES_EXPORTER: otlp is supported, or none."
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol.strip().lower() != "http/protobuf":
        return None, "OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf is supported."
    try:
        from countersign.traced import exported
    except ImportError:
        return None, f"OTEL_* is set, which needs {extra('otel')}."
    return exported(), ""


class Untraced:
    """Every part as it is."""

    service = Service
    runner = FlowRunner
    carried = dict

    def channel(self, channel: Channel) -> Channel:
        return channel

    async def stop(self, within: timedelta) -> None:
        """Nothing is under way."""
