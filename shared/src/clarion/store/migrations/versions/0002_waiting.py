"""Scheduled sending, deadlines, what follows doubt, and dead letters that can be replayed.

The columns are new and optional, so that a service of the release before goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

from clarion.store.clock import Instant
from clarion.store.schema import Key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = "notifications"


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("send_at", Instant))
    op.add_column(_TABLE, sa.Column("expires_at", Instant))
    op.add_column(_TABLE, sa.Column("on_doubt", Key, nullable=False, server_default="resend"))
    op.add_column(_TABLE, sa.Column("replay_no", sa.Integer, nullable=False, server_default="0"))
    op.add_column(_TABLE, sa.Column("dead_at", Instant))
    # what failed before was given up, and nobody could look at it here yet
    op.execute("UPDATE notifications SET dead_at = updated_at WHERE status = 'failed'")
    op.drop_index("notifications_unpublished", _TABLE)
    scheduled, accepted = sa.text("status = 'scheduled'"), sa.text("status = 'accepted'")
    op.create_index(
        "notifications_scheduled",
        _TABLE,
        ["publish_at", "id"],
        postgresql_where=scheduled,
        sqlite_where=scheduled,
    )
    op.create_index(
        "notifications_due",
        _TABLE,
        ["priority", "publish_at", "id"],
        postgresql_where=accepted,
        sqlite_where=accepted,
    )
    dead = sa.text("dead_at IS NOT NULL")
    op.create_index("notifications_dead", _TABLE, ["id"], postgresql_where=dead, sqlite_where=dead)


def downgrade() -> None:
    op.drop_index("notifications_dead", _TABLE)
    op.drop_index("notifications_due", _TABLE)
    op.drop_index("notifications_scheduled", _TABLE)
    accepted = sa.text("status = 'accepted'")
    op.create_index(
        "notifications_unpublished",
        _TABLE,
        ["publish_at", "id"],
        postgresql_where=accepted,
        sqlite_where=accepted,
    )
    for column in ("dead_at", "replay_no", "on_doubt", "expires_at", "send_at"):
        op.drop_column(_TABLE, column)
