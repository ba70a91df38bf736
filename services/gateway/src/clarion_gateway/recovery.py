"""What a broker lost: everything unfinished is published again."""

from __future__ import annotations

from clarion.brokers.base import Broker
from clarion.notification import Lane
from clarion.store.base import Store

PAGE = 500


async def republish(store: Store, broker: Broker) -> int:
    """Publish what the store says a broker should hold; return how many.

    A message that the broker has after all is a duplicate, which the claim absorbs. A notification
    whose attempt was cut off waits for the end of its lease, as after any crash. Raises
    `BrokerUnavailable` and `StoreUnavailable`; to start again does no harm.
    """
    published, after = 0, ""
    while page := await store.unfinished(after, PAGE):
        for notification in page:
            lane = Lane(notification.channel, notification.priority)
            await broker.publish(lane, notification.to_bytes(), {})
        published += len(page)
        after = page[-1].notification_id
    return published
