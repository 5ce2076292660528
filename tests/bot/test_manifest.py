"""The manifest that people paste asks for what we use, and for nothing else."""

from __future__ import annotations

import re

from bot.checkup import NEEDED_SCOPES, WANTED_SCOPES
from bot.slack.listener import CHANNEL_EVENTS, USERGROUP_EVENTS
from bot.slack.payloads import COMMAND
from tests.bot.manifest import EVENTS, SCOPES, TEXT

LOOKUPS = {"channels:read", "groups:read", "usergroups:read"}
"""What `doctor` looks channels up with, and what user groups need where they are used."""


def test_it_asks_for_every_scope_that_is_used_and_no_other() -> None:
    assert {*NEEDED_SCOPES, *WANTED_SCOPES, *LOOKUPS} == SCOPES


def test_it_subscribes_to_every_event_that_is_heard_and_no_other() -> None:
    assert {"app_mention", "app_home_opened", *USERGROUP_EVENTS, *CHANNEL_EVENTS} == EVENTS


def test_it_has_the_command_the_home_and_interactivity() -> None:
    assert f"command: {COMMAND}\n" in TEXT
    for line in ("home_tab_enabled: true", "messages_tab_enabled: true", "should_escape: true"):
        assert line in TEXT
    assert re.search(r"interactivity:\n\s+is_enabled: true", TEXT)
    assert "socket_mode_enabled: true" in TEXT
