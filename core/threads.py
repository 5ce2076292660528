"""Calls that block, off the event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


async def in_thread(call: Callable[[], Any]) -> Any:
    """What a blocking `call` returns, run in a daemon thread of its own, in a copy of the caller's context.

    A pool would wait at exit for calls that never return, and a few of those would fill it for everybody.
    """
    loop = asyncio.get_running_loop()
    context = copy_context()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result = context.run(call)
        except StopIteration as stop:
            # A future refuses StopIteration, which would end the coroutine that awaits it.
            error = RuntimeError(f"the function raised StopIteration({stop})")
        except Exception as raised:  # noqa: BLE001 - handed to whoever waits
            error = raised
        except BaseException as raised:  # noqa: BLE001 - sys.exit() in a function must not end the service
            error = RuntimeError(f"the function raised {type(raised).__name__}({raised})")
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="node", daemon=True).start()
    return await answer
