"""Notifications, attempts and events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

from clarion.store.clock import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    _notifications()
    _indexes()
    op.create_table(
        "attempts",
        sa.Column("notification_id", key, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("finished_at", Instant, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("provider_message_id", sa.Text),
        sa.Column("provider_code", sa.Text),
        sa.Column("provider_text", sa.Text),
        sa.Column("duration_ms", sa.Double),
        sa.Column("retry_in", sa.Double),
        sa.Column("worker", sa.Text),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True),
        sa.Column("notification_id", key, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("events_notification", "events", ["notification_id"])


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("attempts")
    op.drop_table("notifications")


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", key, primary_key=True),
        sa.Column("producer", key, nullable=False),
        sa.Column("message_id", key, nullable=False),
        sa.Column("ordinal", sa.SmallInteger, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("channel", key, nullable=False),
        sa.Column("priority", key, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("template_id", key, nullable=False),
        sa.Column("locale", sa.Text),
        sa.Column("target_user_id", key, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("claimed_at", Instant),
        sa.Column("lease_until", Instant),
        sa.Column("previous", key),
        sa.Column("previous_worker", sa.Text),
        sa.Column("previous_claimed_at", Instant),
        sa.Column("provider", sa.Text),
        sa.Column("provider_message_id", sa.Text),
        sa.Column("provider_code", sa.Text),
        sa.Column("provider_text", sa.Text),
        sa.Column("publish_at", Instant, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("queued_at", Instant),
        sa.Column("updated_at", Instant, nullable=False),
    )


def _indexes() -> None:
    table = "notifications"
    op.create_index(
        "notifications_message", table, ["message_id", "producer", "ordinal"], unique=True
    )
    op.create_index("notifications_producer", table, ["producer", "id"])
    op.create_index("notifications_user", table, ["target_user_id", "id"])
    op.create_index("notifications_template", table, ["template_id", "id"])
    op.create_index("notifications_lane", table, ["status", "channel", "priority", "id"])
    accepted, queued = sa.text("status = 'accepted'"), sa.text("status = 'queued'")
    op.create_index(
        "notifications_unpublished",
        table,
        ["publish_at", "id"],
        postgresql_where=accepted,
        sqlite_where=accepted,
    )
    op.create_index(
        "notifications_queued",
        table,
        ["channel", "priority", "queued_at"],
        postgresql_where=queued,
        sqlite_where=queued,
    )
