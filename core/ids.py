"""Ids of tasks, reviews and deliveries."""

from __future__ import annotations

import secrets
from time import time_ns


def new_id() -> str:
    """32 hexadecimal digits: 12 of milliseconds since 1970 UTC, then 80 random bits that nobody guesses.

    As in a UUID of version 7 (RFC 9562), so that what is made together lies together in the database's
    trees: a commit then changes a few of their pages instead of one for each row.
    """
    return f"{time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
