"""Policies with stages, deadlines and delegates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("policy", sa.String(), nullable=True))
    op.add_column("review", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("review", sa.Column("escalated", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("decision", sa.Column("stage", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("decision", sa.Column("person", sa.String(), nullable=True))
    op.add_column("decision", sa.Column("person_name", sa.Text(), nullable=True))
    op.create_table(
        "timer",
        sa.Column("review_id", sa.String(32), sa.ForeignKey("review.id"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_timer_due_at", "timer", ["due_at"])
    op.create_table(
        "delegation",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("delegate", sa.String(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_delegation_delegate", "delegation", ["delegate"])
    op.create_index("ix_delegation_person", "delegation", ["person"])
