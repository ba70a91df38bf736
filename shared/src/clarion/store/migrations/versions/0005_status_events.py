"""Every change of a status is written down, by the database itself, to be told to applications."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

from clarion.store.clock import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

# A trigger, as no code that changes a status can forget it, in the transaction of the change. A row
# without a sequence costs the test of its condition. It is `queued` and `sending` that nobody is
# told: steps inside the system.

# before the update: the row's own new version then carries the number, and is not written twice
_POSTGRESQL = (
    """
    CREATE FUNCTION notifications_tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.sequence := OLD.sequence + 1;
        INSERT INTO status_events (
            notification_id, sequence, at, status, attempt, reason,
            provider, provider_code, provider_text
        ) VALUES (
            NEW.id, NEW.sequence, clock_timestamp(), NEW.status, NEW.attempt, NEW.reason,
            NEW.provider, NEW.provider_code, NEW.provider_text
        );
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER notifications_tell BEFORE UPDATE OF status ON notifications
    FOR EACH ROW WHEN (
        NEW.sequence IS NOT NULL AND OLD.status <> NEW.status
        AND NEW.status NOT IN ('queued', 'sending')
    ) EXECUTE FUNCTION notifications_tell()
    """,
)
# SQLite's triggers cannot change the row that is being written
_SQLITE = (
    """
    CREATE TRIGGER notifications_tell AFTER UPDATE OF status ON notifications
    WHEN NEW.sequence IS NOT NULL AND OLD.status <> NEW.status
        AND NEW.status NOT IN ('queued', 'sending')
    BEGIN
        INSERT INTO status_events (
            notification_id, sequence, at, status, attempt, reason,
            provider, provider_code, provider_text
        ) VALUES (
            NEW.id, NEW.sequence + 1, strftime('%Y-%m-%d %H:%M:%f', 'now'), NEW.status,
            NEW.attempt, NEW.reason, NEW.provider, NEW.provider_code, NEW.provider_text
        );
        UPDATE notifications SET sequence = sequence + 1 WHERE id = NEW.id;
    END
    """,
)


def upgrade() -> None:
    op.add_column("notifications", sa.Column("sequence", sa.Integer))
    op.create_table(
        "status_events",
        sa.Column("id", sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True),
        sa.Column("notification_id", key, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("status", key, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("provider_code", sa.Text),
        sa.Column("provider_text", sa.Text),
        sa.Column("not_before", Instant),
    )
    for statement in _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER notifications_tell ON notifications")
        op.execute("DROP FUNCTION notifications_tell()")
    else:
        op.execute("DROP TRIGGER notifications_tell")
    op.drop_table("status_events")
    op.drop_column("notifications", "sequence")
