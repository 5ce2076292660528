"""The tables, as SQLAlchemy Core. Times are microseconds UTC; JSON is text.

Both databases read the same definitions. `sqlite_with_rowid=False` is for tables of short rows whose key
has two columns: it keeps a task's rows beside one another, in one tree instead of two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from core.model import Status

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

task = Table(
    "task",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("flow", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("outcome", String(16)),
    Column("attempt", Integer, nullable=False),
    Column("review_id", String(32)),
    Column("input", Text, nullable=False),
    Column("draft", Text),
    Column("final_result", Text),
    Column("error", Text),
    Column("submitter", String, nullable=False),
    Column("submitter_name", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("callback_url", Text),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # The number of the newest event, and of the newest change of any kind (the compare-and-set).
    Column("seq", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # Where the flow stands: the node to go on with (NULL: its start), whether that node was begun, how many
    # starts of the service in a row found it begun, how many tries of it failed, and when it may run.
    Column("node", String),
    Column("begun", Integer, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", BigInteger),
    # What it does or waits for at that node.
    Column("point", String(16), nullable=False, server_default="run"),
    Column("ended_at", BigInteger),
    Column("parent_id", String(32)),
    Column("parent_checkpoint", Integer),
    Column("policy", String),
    # Where in a chat its submitter hears how it ended: CHANNEL/ADDRESS.
    Column("tell", Text),
    # The replica that runs it, while it has stored work; NULL: none does (and always so on SQLite).
    Column("holder", String(32)),
    Index("ix_task_created_at_id", "created_at", "id"),
    Index("ix_task_submitter_created_at_id", "submitter", "created_at", "id"),
)
# Only tasks with stored work are in this index, so that 100,000 waiting ones cost a restart nothing.
Index(
    "ix_task_runnable",
    task.c.created_at,
    task.c.id,
    sqlite_where=text("status IN ('pending', 'running')"),
    postgresql_where=text("status IN ('pending', 'running')"),
)
# Of a task named by its id. For the condition of the index above PostgreSQL takes that while few tasks have
# work, and reads in it all that have ended since the last VACUUM.
HAS_WORK = task.c.status.not_in(
    [literal_column(f"'{one}'") for one in Status if one not in {Status.PENDING, Status.RUNNING}]
)
# Few tasks are forks; a page asks for those of one task.
Index(
    "ix_task_forks",
    task.c.parent_id,
    task.c.created_at,
    task.c.id,
    sqlite_where=text("parent_id IS NOT NULL"),
    postgresql_where=text("parent_id IS NOT NULL"),
)

event = Table(
    "event",
    metadata,
    Column("task_id", String(32), ForeignKey("task.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("task_id", String(32), ForeignKey("task.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("node", String, nullable=False),
    Column("action", String),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    # Where the flow goes on (NULL: it ends), and with what; what the flows around that node prepared.
    Column("following", String),
    Column("point", String(16), nullable=False, server_default="run"),
    Column("frames", Text),
    Column("cause", Text),
    # The checkpoint that it came after; NULL is the one numbered before.
    Column("parent", Integer),
    # Of how states are stored; one of a later release is not run.
    Column("schema", Integer, nullable=False, server_default="1"),
    # The number of the checkpoint that somebody resumed from, leaving this one behind.
    Column("superseded_by", Integer),
    sqlite_with_rowid=False,
)

review = Table(
    "review",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_id", String(32), ForeignKey("task.id"), nullable=False),
    # The seq of its ReviewRequested event: reviews of one task in their order.
    Column("event_seq", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("node", String, nullable=False),
    Column("policy", Text, nullable=False),
    Column("draft", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("superseded_by", Integer),
    Column("point", String(16), nullable=False, server_default="review"),
    # The task's last checkpoint before it.
    Column("checkpoint", Integer, nullable=False, server_default="0"),
    # 1 once somebody resumed the task from before it: its decisions count for nothing any more.
    Column("undone", Integer, nullable=False, server_default="0"),
    Column("expires_at", BigInteger),
    Column("escalated", Integer, nullable=False, server_default="0"),
    # JSON: who is looking, the first one first; who is reminded later than everybody. NULL: nobody; closed.
    Column("claims", Text),
    Column("snoozes", Text),
    # How many questions were asked about it.
    Column("questions", Integer, nullable=False, server_default="0"),
    UniqueConstraint("task_id", "event_seq"),
)
Index(
    "ix_review_open",
    review.c.opened_at,
    review.c.id,
    sqlite_where=text("closed_at IS NULL"),
    postgresql_where=text("closed_at IS NULL"),
)
# Of a review named by its id. For `closed_at IS NULL` PostgreSQL takes the index above while few are open,
# and reads in it all that were closed since the last VACUUM.
STANDS_OPEN = review.c.outcome == literal_column("'open'")

decision = Table(
    "decision",
    metadata,
    Column("review_id", String(32), ForeignKey("review.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("reviewer", String, nullable=False),
    Column("reviewer_name", Text, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("comment", Text),
    Column("content", Text),
    Column("via", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("stage", Integer, nullable=False, server_default="0"),
    # For whom the reviewer decided as a delegate; NULL is for themselves.
    Column("person", String),
    Column("person_name", Text),
    UniqueConstraint("review_id", "reviewer"),
    sqlite_with_rowid=False,
)

# What a reviewer asks the submitter; `reply` and its columns are NULL until there is an answer.
question = Table(
    "question",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_id", String(32), ForeignKey("task.id"), nullable=False),
    Column("review_id", String(32), ForeignKey("review.id"), nullable=False),
    # The seq of its QuestionAsked event: questions of one task in their order.
    Column("event_seq", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("person", String, nullable=False),
    Column("person_name", Text, nullable=False),
    Column("via", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reply", Text),
    Column("reply_person", String),
    Column("reply_person_name", Text),
    Column("reply_via", String(16)),
    Column("reply_at", BigInteger),
    UniqueConstraint("task_id", "event_seq"),
)
Index(
    "ix_question_unanswered",
    question.c.task_id,
    sqlite_where=text("reply IS NULL"),
    postgresql_where=text("reply IS NULL"),
)

# What is to happen to an open review, and when; gone once it happened, or the review is closed.
timer = Table(
    "timer",
    metadata,
    Column("review_id", String(32), ForeignKey("review.id"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Index("ix_timer_due_at", "due_at"),
    sqlite_with_rowid=False,
)

delegation = Table(
    "delegation",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String, nullable=False),
    # NULL: the person is only absent.
    Column("delegate", String),
    Column("until", BigInteger, nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index("ix_delegation_delegate", "delegate"),
    Index("ix_delegation_person", "person"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_id", String(32), ForeignKey("task.id"), nullable=False),
    Column("event_seq", Integer, nullable=False),
    Column("review_id", String(32), ForeignKey("review.id")),
    Column("channel", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("message", Text),
    Column("version", Integer, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", BigInteger),
    Column("failing_since", BigInteger),
    Column("error", Text),
    # 1 once another card of the same review was posted in its stead: it has no buttons any more.
    Column("retired", Integer, nullable=False, server_default="0"),
    # Its post stands behind those of its place that fall due within so many microseconds after it.
    Column("gives_way", BigInteger, nullable=False, server_default="0"),
    Index("ix_delivery_task_id", "task_id"),
)
Index(
    "ix_delivery_due",
    delivery.c.channel,
    delivery.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)
_turn = delivery.c.due_at + delivery.c.gives_way
for _name, _kind, _order in (
    ("changes", "message IS NOT NULL", (delivery.c.due_at, delivery.c.event_seq)),
    # The last, to see there what is not due yet.
    ("posts", "message IS NULL", (_turn, delivery.c.event_seq, delivery.c.due_at)),
):
    _due = text(f"due_at IS NOT NULL AND {_kind}")
    Index(
        f"ix_delivery_{_name}",
        delivery.c.channel,
        delivery.c.address,
        *_order,
        sqlite_where=_due,
        postgresql_where=_due,
    )
Index(
    "ix_delivery_message",
    delivery.c.message,
    sqlite_where=text("message IS NOT NULL"),
    postgresql_where=text("message IS NOT NULL"),
)

# Places that a platform gave another address, such as a Telegram group that became a supergroup.
moved_place = Table(
    "moved_place",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("address", String, primary_key=True),
    Column("moved_to", Text, nullable=False),
    sqlite_with_rowid=False,
)

# When a platform's presses last reached us for certain.
heard = Table(
    "heard",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Under which policies what is open was last looked over for reviews that too few may decide.
looked_over = Table(
    "looked_over",
    metadata,
    Column("policy", String, primary_key=True),
    Column("hash", String(12), nullable=False),
    sqlite_with_rowid=False,
)

dialog = Table(
    "dialog",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("message", Text, primary_key=True),
    Column("review_id", String(32), ForeignKey("review.id"), nullable=False),
    Column("person", String, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("asks", String(16), nullable=False, server_default="reason"),
    # The edit that waits for its confirmation, or for the reason that is asked for with it.
    Column("content", Text),
    # When its prompt was last changed: from then on that offers no answer.
    Column("ended_at", BigInteger),
)
# Those that nobody could take away pile up, and every two seconds it is looked which may go.
Index("ix_dialog_expires_at", dialog.c.channel, dialog.c.expires_at, dialog.c.message)

chat_update = Table(
    "chat_update",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("id", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
    Column("handled_at", BigInteger),
)
Index(
    "ix_chat_update_unhandled",
    chat_update.c.channel,
    chat_update.c.kept_at,
    sqlite_where=text("handled_at IS NULL"),
    postgresql_where=text("handled_at IS NULL"),
)

credential = Table(
    "credential",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String, nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    UniqueConstraint("token_hash"),
)

secret = Table(
    "secret",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("submitter", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("task_id", String(32), ForeignKey("task.id"), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The services on one PostgreSQL database. Whether one lives, the heartbeat of its Procrastinate worker says.
replica = Table(
    "replica",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("worker", BigInteger),
    Column("name", Text, nullable=False),
    Column("release", String, nullable=False),
    # Hash of what all replicas are to be configured alike.
    Column("configuration", String(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),
)

# What exactly one replica does at a time. `expires_at` is by the database's clock; `token` rises with each
# holder, so that what an earlier one still writes can be told and refused.
lease = Table(
    "lease",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What else than our own tables `migrate` brought to which version.
installed = Table(
    "installed",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", String, nullable=False),
    sqlite_with_rowid=False,
)
