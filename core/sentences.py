"""What went wrong in somebody else's code, as a sentence."""

from __future__ import annotations

from core.errors import FlowError
from core.stepping import TookTooLong

LONGEST = 2_000


def of_node(path: str, error: Exception) -> str:
    """Text that every database takes."""
    if isinstance(error, (FlowError, TookTooLong)):
        sentence = str(error)
    else:
        sentence = f"Node {path!r} failed: {of_error(error)}"
    return sentence[:LONGEST].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def of_error(error: Exception) -> str:
    """Its class and what it says."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of somebody else's may not even be able to say so
        text = "(it cannot say why)"
    return f"{type(error).__name__}: {text}"
