"""What both simulated platforms keep of each call, and the faults they produce on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an API method as it arrived, and what was answered (status 0: the line was cut)."""

    method: str
    params: Mapping[str, Any]
    status: int
    answer: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What shall go wrong with the next `times` calls that match; None is every one until removed.

    `delay` is in seconds. With `after_acting` the platform does what was asked and the answer is lost to
    the fault. With `cut` the connection is closed without an answer.
    """

    method: str | None = None
    contains: str | None = None
    """Only calls in whose parameters this text occurs."""
    status: int | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    after_acting: bool = False
    times: int | None = 1

    def matches(self, method: str, params: Mapping[str, Any]) -> bool:
        return (self.method is None or self.method.lower() == method.lower()) and (
            self.contains is None or self.contains in repr(params)
        )


@dataclass(slots=True)
class Faults:
    """The faults in waiting, oldest first."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self.waiting.append(fault)

    def clear(self) -> None:
        self.waiting.clear()

    def take(self, method: str, params: Mapping[str, Any]) -> Fault | None:
        """The first fault that matches this call, counted down."""
        for fault in self.waiting:
            if fault.matches(method, params):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.waiting.remove(fault)
                return fault
        return None
