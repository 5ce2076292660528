"""What everything goes by: ids, places in chat, JSON."""

from __future__ import annotations

from typing import NewType, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

TaskId = NewType("TaskId", str)
"""128 random bits as 32 hexadecimal digits; so are the ids that follow."""
ReviewId = NewType("ReviewId", str)
DeliveryId = NewType("DeliveryId", str)
QuestionId = NewType("QuestionId", str)
PersonId = NewType("PersonId", str)
"""A person's key in the configuration file (`[people.ana]`), or `LOCAL` in open mode."""
ChannelName = NewType("ChannelName", str)
"""`slack`, `telegram` or `webhook`."""
MessageRef = NewType("MessageRef", str)
"""Where a sent message stands, in its channel's own notation; opaque to everybody else."""

TIMERS = ChannelName("timers")
"""Among the channels that a commit made something due for: open reviews have timers that they had not."""
ABSENCES = ChannelName("absences")
"""Likewise: somebody is away, or back, whom a reminder may have been to come to."""
LEASES = ChannelName("leases")
"""Likewise: somebody gave up what only one replica does at a time, and another may begin."""
LOCAL = PersonId("local")
"""The built-in person of `COUNTERSIGN_AUTH=open`."""
LOCAL_NAME = "local (open)"
"""How the record names them."""
TRACEPARENT = "traceparent"
"""The header of W3C Trace Context; and the name in a task's metadata under which its trace goes with it."""
