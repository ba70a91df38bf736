"""The tables: what is notified, every finished attempt, what neither of those tells, what providers
tell later, the addresses that are not written to, who wrote to us, what providers are asked, and
what applications are still to be told.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import ColumnElement

from clarion.notification import Channel, OnDoubt, Status
from clarion.store.clock import Instant

metadata = MetaData()

Key = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that is compared byte by byte: ids sort in the order of their creation in any locale."""


def constant(value: Status | Channel) -> ColumnElement[str]:
    """Return the value as a literal: a partial index serves no query that binds it."""
    return literal_column(f"'{value.value}'", Text())


notifications = Table(
    "notifications",
    metadata,
    Column("id", Key, primary_key=True),
    Column("producer", Key, nullable=False),
    Column("message_id", Key, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("channel", Key, nullable=False),
    Column("priority", Key, nullable=False),
    Column("status", Key, nullable=False),
    Column("reason", Text),
    Column("template_id", Key, nullable=False),
    Column("locale", Text),
    Column("target_user_id", Key, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("worker", Text),
    Column("claimed_at", Instant),
    Column("lease_until", Instant),
    # what the last claim or give-up found, since no UPDATE of PostgreSQL before 18 can return it
    Column("previous", Key),
    Column("previous_worker", Text),
    Column("previous_claimed_at", Instant),
    Column("provider", Text),
    Column("provider_message_id", Text),
    Column("provider_code", Text),
    Column("provider_text", Text),
    Column("publish_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("queued_at", Instant),
    Column("updated_at", Instant, nullable=False),
    Column("send_at", Instant),
    Column("expires_at", Instant),
    Column("on_doubt", Key, nullable=False, server_default=OnDoubt.RESEND.value),
    Column("replay_no", Integer, nullable=False, server_default="0"),
    # since when people must see to it; null again once it is replayed or discarded
    Column("dead_at", Instant),
    # the moment told by the receipt that decided the status; null where none did
    Column("receipt_at", Instant),
    # how many of its changes of status were told; null where nobody wants to hear of any
    Column("sequence", Integer),
)


def guarded_status() -> ColumnElement[str]:
    """Return the status of a row that is found by its id: the column, as no index has it.

    While the planner believes that little waits, it would find the rows of a batch by their status,
    and so read the whole backlog for each batch.
    """
    return notifications.c.status + literal_column("''")


# An update of `status` writes an entry into every index but the partial ones that it leaves, so
# each index below is paid about four times per notification. Why each is worth it:
_n = notifications.c
Index(
    # the idempotency key; message_id first, so that one index also finds it for any producer
    "notifications_message",
    _n.message_id,
    _n.producer,
    _n.ordinal,
    unique=True,
)
# every listing on behalf of an application is narrowed to its producer, and a new one has few rows
# among everybody's millions; likewise a user and a template
Index("notifications_producer", _n.producer, _n.id)
Index("notifications_user", _n.target_user_id, _n.id)
Index("notifications_template", _n.template_id, _n.id)
# status, channel and priority in any combination: few values each, so a listing probes those that
# it leaves open (see listing.py) and three indexes become one
Index("notifications_lane", _n.status, _n.channel, _n.priority, _n.id)
# these hold only what waits, or what people must see to: small however many are finished
_SCHEDULED = _n.status == constant(Status.SCHEDULED)
_ACCEPTED = _n.status == constant(Status.ACCEPTED)
_QUEUED = _n.status == constant(Status.QUEUED)
Index(
    "notifications_scheduled",
    _n.publish_at,
    _n.id,
    postgresql_where=_SCHEDULED,
    sqlite_where=_SCHEDULED,
)
Index(
    "notifications_due",
    _n.priority,
    _n.publish_at,
    _n.id,
    postgresql_where=_ACCEPTED,
    sqlite_where=_ACCEPTED,
)
Index(
    "notifications_queued",
    _n.channel,
    _n.priority,
    _n.queued_at,
    postgresql_where=_QUEUED,
    sqlite_where=_QUEUED,
)

Index(
    "notifications_dead",
    _n.id,
    postgresql_where=_n.dead_at.is_not(None),
    sqlite_where=_n.dead_at.is_not(None),
)
# what a provider may be asked about: only WhatsApp's has an answer
_ASKABLE = and_(_n.status == constant(Status.SENT), _n.channel == constant(Channel.WHATSAPP))
Index(
    "notifications_silent",
    _n.updated_at,
    postgresql_where=_ASKABLE,
    sqlite_where=_ASKABLE,
)

# No foreign keys: rows are written with their notification in one transaction, and a check per
# attempt would lock the notification's row a second time.
attempts = Table(
    "attempts",
    metadata,
    Column("notification_id", Key, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("status", Key, nullable=False),
    Column("reason", Text),
    Column("provider", Text),
    Column("provider_message_id", Text),
    Column("provider_code", Text),
    Column("provider_text", Text),
    Column("duration_ms", Double),
    Column("retry_in", Double),
    Column("worker", Text),
)

events = Table(
    "events",
    metadata,
    # SQLite counts up only what it calls INTEGER
    Column("id", BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True),
    Column("notification_id", Key, nullable=False),
    Column("at", Instant, nullable=False),
    Column("status", Key, nullable=False),
    Column("detail", JSON, nullable=False),
)
Index("events_notification", events.c.notification_id)

receipts = Table(
    "receipts",
    metadata,
    # the provider's own id of what it told: the same again is refused here
    Column("key", Key, primary_key=True),
    Column("notification_id", Key, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("fact", Key, nullable=False),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("provider_message_id", Text),
    Column("reason", Text),
    Column("code", Text),
    Column("text", Text),
)
Index("receipts_notification", receipts.c.notification_id)

suppressions = Table(
    "suppressions",
    metadata,
    # every claim probes this key
    Column("channel", Key, primary_key=True),
    Column("address", Key, primary_key=True),
    Column("kind", Key, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

inbound = Table(
    "inbound",
    metadata,
    # the provider's own id of the message: the same again is refused here
    Column("key", Key, primary_key=True),
    Column("channel", Key, nullable=False),
    Column("address", Key, nullable=False),
    Column("at", Instant, nullable=False),
)
Index("inbound_address", inbound.c.address, inbound.c.channel, inbound.c.at)
Index("inbound_at", inbound.c.at)

inquiries = Table(
    "inquiries",
    metadata,
    Column("notification_id", Key, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    # null: never again
    Column("next_at", Instant),
)

# Written by a trigger (0005_status_events), read and emptied by the relay. No index but the key: it
# is empty while the relay keeps up.
status_events = Table(
    "status_events",
    metadata,
    Column("id", BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True),
    Column("notification_id", Key, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("status", Key, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text),
    Column("provider", Text),
    Column("provider_code", Text),
    Column("provider_text", Text),
    # set where a queue that an application bound had no room
    Column("not_before", Instant),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("notification_id", Key, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("producer", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    # the next call; while one is under way, when it is taken for lost
    Column("due_at", Instant, nullable=False),
    Column("first_at", Instant),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    # given up; until somebody replays it
    Column("dead_at", Instant),
)
_UNDONE, _DEAD = callbacks.c.dead_at.is_(None), callbacks.c.dead_at.is_not(None)
Index(
    "callbacks_due",
    callbacks.c.producer,
    callbacks.c.due_at,
    postgresql_where=_UNDONE,
    sqlite_where=_UNDONE,
)
Index(
    "callbacks_dead",
    callbacks.c.producer,
    callbacks.c.notification_id,
    callbacks.c.sequence,
    postgresql_where=_DEAD,
    sqlite_where=_DEAD,
)
