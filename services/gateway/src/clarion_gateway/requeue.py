"""What a broker lost: everything unfinished is published again, on an operator's word.

A memory broker forgets at every stop; RabbitMQ when it lost its disk.
"""

from __future__ import annotations

from clarion.brokers.base import Broker
from clarion.notification import Lane
from clarion.store.base import Store

PAGE = 500


async def republish(store: Store, broker: Broker) -> int:
    """Publish what the store says a broker should hold; return how many.

    A notification whose attempt was cut off waits for the end of its lease, as after any crash.
    """
    published, after = 0, ""
    while page := await store.unfinished(after, PAGE):
        for notification in page:
            lane = Lane(notification.channel, notification.priority)
            await broker.publish(lane, notification.to_bytes(), {})
        published += len(page)
        after = page[-1].notification_id
    return published
