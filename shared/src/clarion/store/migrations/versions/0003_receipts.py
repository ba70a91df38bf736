"""What providers tell later, and the addresses that are not written to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from clarion.store.clock import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("notifications", sa.Column("receipt_at", Instant))
    op.create_table(
        "receipts",
        sa.Column("key", key, primary_key=True),
        sa.Column("notification_id", key, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("fact", key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("provider_message_id", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("text", sa.Text),
    )
    op.create_index("receipts_notification", "receipts", ["notification_id"])
    op.create_table(
        "suppressions",
        sa.Column("channel", key, primary_key=True),
        sa.Column("address", key, primary_key=True),
        sa.Column("kind", key, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("suppressions")
    op.drop_table("receipts")
    op.drop_column("notifications", "receipt_at")
