"""Status events that are POSTed to the applications that want it so."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from clarion.store.clock import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "callbacks",
        sa.Column("notification_id", key, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("producer", key, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("first_at", Instant),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("dead_at", Instant),
    )
    undone, dead = sa.text("dead_at IS NULL"), sa.text("dead_at IS NOT NULL")
    op.create_index(
        "callbacks_due",
        "callbacks",
        ["producer", "due_at"],
        postgresql_where=undone,
        sqlite_where=undone,
    )
    op.create_index(
        "callbacks_dead",
        "callbacks",
        ["producer", "notification_id", "sequence"],
        postgresql_where=dead,
        sqlite_where=dead,
    )


def downgrade() -> None:
    op.drop_table("callbacks")
