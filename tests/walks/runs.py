"""What long runs share: a seed that can be given again, and figures that `make soak` collects."""

from __future__ import annotations

import asyncio
import os
import time
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def seeded() -> tuple[int, Random]:
    """The seed of `COUNTERSIGN_SOAK_SEED`, printed, and chance from it."""
    seed = int(os.environ.get("COUNTERSIGN_SOAK_SEED", "1"))
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    return seed, Random(seed)  # noqa: S311 - to be repeatable


def figures(**found: object) -> None:
    """One line for docs/evidence.md."""
    print("figures: " + " ".join(f"{name}={value}" for name, value in found.items()))  # noqa: T201 - read by who runs it


async def eventually(look: Callable[[], Awaitable[T]], *, within: float = 20.0) -> T:
    """What `look` finds once that is true: for what no stream and no simulator tells of."""
    end = time.monotonic() + within
    while not (found := await look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not seen within {within} s")
        await asyncio.sleep(0.02)
    return found
