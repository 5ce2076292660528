"""Which message shows what: for whoever replies to a card in a chat."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    shown = sa.text("message IS NOT NULL")
    op.create_index(
        "ix_delivery_message", "delivery", ["message"], sqlite_where=shown, postgresql_where=shown
    )
