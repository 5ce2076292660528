"""Who runs a task, which replicas there are, what only one of them does, what else is installed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("holder", sa.String(32)))
    op.create_table(
        "replica",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("worker", sa.BigInteger()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("configuration", sa.String(64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "installed",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
