"""Points, branches and forks of flows; edits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("point", sa.String(16), nullable=False, server_default="run"))
    op.add_column("task", sa.Column("ended_at", sa.BigInteger(), nullable=True))
    op.add_column("task", sa.Column("parent_id", sa.String(32), nullable=True))
    op.add_column("task", sa.Column("parent_checkpoint", sa.Integer(), nullable=True))
    op.create_index(
        "ix_task_forks",
        "task",
        ["parent_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.add_column("checkpoint", sa.Column("following", sa.String(), nullable=True))
    op.add_column("checkpoint", sa.Column("point", sa.String(16), nullable=False, server_default="run"))
    op.add_column("checkpoint", sa.Column("frames", sa.Text(), nullable=True))
    op.add_column("checkpoint", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("checkpoint", sa.Column("parent", sa.Integer(), nullable=True))
    op.add_column("checkpoint", sa.Column("schema", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("checkpoint", sa.Column("superseded_by", sa.Integer(), nullable=True))
    op.add_column("review", sa.Column("point", sa.String(16), nullable=False, server_default="review"))
    op.add_column("review", sa.Column("checkpoint", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("review", sa.Column("undone", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("decision", sa.Column("content", sa.Text(), nullable=True))
    # Tasks that waited, or had an outcome to apply, when this release came.
    op.execute(
        "UPDATE task SET point = 'review' WHERE node IS NOT NULL AND begun = 0 AND tries = 0"
        " AND status IN ('waiting_for_review', 'running')"
    )
    op.execute("UPDATE task SET ended_at = updated_at WHERE status IN ('completed', 'failed', 'cancelled')")
    # A review was opened right before the checkpoint that its own node left, if it has been applied.
    op.execute(
        "UPDATE review SET checkpoint = coalesce("
        "(SELECT min(number) - 1 FROM checkpoint WHERE checkpoint.task_id = review.task_id"
        " AND checkpoint.node = review.node AND checkpoint.attempt = review.attempt),"
        "(SELECT max(number) FROM checkpoint WHERE checkpoint.task_id = review.task_id), 0)"
    )
    # A checkpoint of the release before says where it leads by the one after it.
    op.execute(
        "UPDATE checkpoint SET following = coalesce("
        "(SELECT later.node FROM checkpoint AS later WHERE later.task_id = checkpoint.task_id"
        " AND later.number = checkpoint.number + 1),"
        "(SELECT task.node FROM task WHERE task.id = checkpoint.task_id))"
    )
