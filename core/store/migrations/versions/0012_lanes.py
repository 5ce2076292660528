"""The oldest change and the oldest post of a place are found without reading all that is due there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KINDS = {"changes": "message IS NOT NULL", "posts": "message IS NULL"}


def upgrade() -> None:
    for name, kind in KINDS.items():
        due = sa.text(f"due_at IS NOT NULL AND {kind}")
        op.create_index(
            f"ix_delivery_{name}",
            "delivery",
            ["channel", "address", "due_at", "event_seq"],
            sqlite_where=due,
            postgresql_where=due,
        )
