"""What reviewers ask the submitter, and the answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review", sa.Column("questions", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "question",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("task_id", sa.String(32), nullable=False),
        sa.Column("review_id", sa.String(32), nullable=False),
        sa.Column("event_seq", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("person_name", sa.Text(), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("reply_person", sa.String(), nullable=True),
        sa.Column("reply_person_name", sa.Text(), nullable=True),
        sa.Column("reply_via", sa.String(16), nullable=True),
        sa.Column("reply_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_question_task_id")),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_question_review_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
        sa.UniqueConstraint("task_id", "event_seq", name=op.f("uq_question_task_id_event_seq")),
    )
    op.create_index(
        "ix_question_unanswered",
        "question",
        ["task_id"],
        sqlite_where=sa.text("reply IS NULL"),
        postgresql_where=sa.text("reply IS NULL"),
    )
