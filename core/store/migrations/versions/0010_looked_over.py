"""Under which policies what is open was last looked over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "looked_over",
        sa.Column("policy", sa.String(), primary_key=True),
        sa.Column("hash", sa.String(12), nullable=False),
        sqlite_with_rowid=False,
    )
