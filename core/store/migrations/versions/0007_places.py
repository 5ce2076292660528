"""Places that moved, when a chat was last heard, and cards that another one stands in for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("retired", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "moved_place",
        sa.Column("channel", sa.String(16), primary_key=True),
        sa.Column("address", sa.String(), primary_key=True),
        sa.Column("moved_to", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "heard",
        sa.Column("channel", sa.String(16), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
