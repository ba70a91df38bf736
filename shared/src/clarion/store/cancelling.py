"""Calling a notification off before it is sent."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from clarion.notification import Status, sources
from clarion.store.clock import clock
from clarion.store.schema import events, notifications

_n = notifications.c


async def cancel(connection: AsyncConnection, notification_id: str, by: str) -> bool:
    """Return whether it was called off; its message then finds it finished."""
    statement = (
        update(notifications)
        .values(status=Status.CANCELLED, lease_until=None, updated_at=clock())
        .where(_n.id == notification_id, _n.status.in_(sources(Status.CANCELLED)))
        .returning(_n.updated_at)
    )
    at = (await connection.execute(statement)).scalar_one_or_none()
    if at is None:
        return False
    event = {
        "notification_id": notification_id,
        "at": at,
        "status": Status.CANCELLED,
        "detail": {"by": by},
    }
    await connection.execute(events.insert(), [event])
    return True
