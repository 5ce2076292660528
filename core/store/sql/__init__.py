"""The Store: every unit of work by name, run by one writer lane and one reader lane.

`SqlStore` is imported from here; where its parts stand is for readers:
    store.py lanes.py               the whole; the two lanes that all parts run on
    tasks.py work.py                tasks as they are handed in and followed; what runners take up
    replicas.py                     this process among several on one database
    reviews.py questions.py         decisions, looking, snoozing; what submitters are asked
    delegations.py reconsidering.py who decides for whom; open reviews once who may decide has changed
    timers.py checkpoints.py        what falls due; what a task is resumed from
    deliveries.py chats.py          what is to be shown where; what chat platforms sent
    credentials.py                  tokens, and the keys kept for us
"""

from __future__ import annotations

from core.store.sql.store import SqlStore

__all__ = ["SqlStore"]
