"""Who is looking at a review, and who is reminded of it later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review", sa.Column("claims", sa.Text(), nullable=True))
    op.add_column("review", sa.Column("snoozes", sa.Text(), nullable=True))
