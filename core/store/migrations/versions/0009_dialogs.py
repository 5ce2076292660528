"""What a dialog in a chat asks for, and an edit that waits for its confirmation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dialog", sa.Column("asks", sa.String(16), nullable=False, server_default="reason"))
    op.add_column("dialog", sa.Column("content", sa.Text))
