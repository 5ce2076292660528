"""What a model endpoint answers."""

from __future__ import annotations

import json
from typing import Any

from tests.core.processing import says


def at_once(text: str | None, finish: str | None = "stop", **more: Any) -> Any:
    """An answer that is not streamed."""
    message = {"role": "assistant", "content": text, **more}
    return says(json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}))
