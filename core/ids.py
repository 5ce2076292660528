"""Ids of tasks, reviews and deliveries."""

from __future__ import annotations

import os
from collections import deque
from time import time_ns

RANDOM = 10
"""Bytes of an id that nobody guesses."""
AT_A_TIME = 256
"""Ids for which the system is asked at once. While it answers, another thread takes the interpreter's lock;
asked for each id, it was a third of all that the threads waited for each other in a round trip."""

_drawn: deque[str] = deque()
if hasattr(os, "register_at_fork"):  # a child would give the same ones as its parent
    os.register_at_fork(after_in_child=_drawn.clear)


def new_id() -> str:
    """32 hexadecimal digits: 12 of milliseconds since 1970 UTC, then 80 random bits that nobody guesses.

    As in a UUID of version 7 (RFC 9562), so that what is made together lies together in the database's
    trees: a commit then changes a few of their pages instead of one for each row. In any thread.
    """
    return f"{time_ns() // 1_000_000:012x}{_random()}"


def _random() -> str:
    try:
        return _drawn.popleft()
    except IndexError:
        fresh = os.urandom(RANDOM * AT_A_TIME)
        # all but the first, which no other thread can take meanwhile
        _drawn.extend(fresh[at : at + RANDOM].hex() for at in range(RANDOM, len(fresh), RANDOM))
        return fresh[:RANDOM].hex()
