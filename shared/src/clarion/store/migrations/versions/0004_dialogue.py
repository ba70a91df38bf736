"""Who wrote to us, and which messages a provider is asked about."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from clarion.store.clock import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "inbound",
        sa.Column("key", key, primary_key=True),
        sa.Column("channel", key, nullable=False),
        sa.Column("address", key, nullable=False),
        sa.Column("at", Instant, nullable=False),
    )
    op.create_index("inbound_address", "inbound", ["address", "channel", "at"])
    op.create_index("inbound_at", "inbound", ["at"])
    op.create_table(
        "inquiries",
        sa.Column("notification_id", key, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("provider_message_id", sa.Text, nullable=False),
        sa.Column("next_at", Instant),
    )
    silent = sa.text("status = 'sent' AND channel = 'whatsapp'")
    op.create_index(
        "notifications_silent",
        "notifications",
        ["updated_at"],
        postgresql_where=silent,
        sqlite_where=silent,
    )


def downgrade() -> None:
    op.drop_index("notifications_silent", "notifications")
    op.drop_table("inquiries")
    op.drop_table("inbound")
