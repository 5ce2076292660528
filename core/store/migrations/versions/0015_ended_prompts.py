"""Prompts in chat that can be answered no more are found in their order, however many there are."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_dialog_expires_at", "dialog", ["channel", "expires_at", "message"])
