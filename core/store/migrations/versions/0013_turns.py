"""In a place, posts that still ask somebody go before those of reviews that are over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("gives_way", sa.BigInteger, nullable=False, server_default="0"))
    op.drop_index("ix_delivery_posts", "delivery")
    due = sa.text("due_at IS NOT NULL AND message IS NULL")
    op.create_index(
        "ix_delivery_posts",
        "delivery",
        ["channel", "address", sa.column("due_at") + sa.column("gives_way"), "event_seq", "due_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
