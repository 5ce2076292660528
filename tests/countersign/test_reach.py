"""countersign/reach.py: no card waits for ever for a chat that is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.settings import BotSettings
from core.settings import CoreSettings
from countersign.configuration import configuration
from countersign.reach import places, reachable
from countersign.settings import Settings
from web.settings import WebSettings

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
[recipients]
slack = ["C01GEN"]
telegram = [-1001]
fallback = { slack = ["C02OPS"], telegram = [-1002] }
[people.ana]
name = "Ana"
[policies.default]
reviewers = ["ana"]
escalation = { after = "1h", recipients = { slack = ["C03LATE"], telegram = [-1003] } }
"""


def test_of_a_chat_that_is_off_no_place_is_left_and_the_log_says_so(tmp_path: Path) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(TEXT)
    settings = Settings(
        core=CoreSettings(),
        bot=BotSettings(telegram_bot_token=SecretStr("42:token")),
        web=WebSettings(),
    )
    with capture_logs() as logs:
        found = reachable(configuration(file, {}), settings).policies["default"]
    assert [place.address for place in places(found)] == ["-1001", "-1002", "-1003"]
    assert [(line["event"], line["policy"], line["channel"]) for line in logs] == [
        ("recipients_of_a_chat_that_is_off", "default", "slack")
    ]
