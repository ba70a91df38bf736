"""How a message ends, and ending it: once, last, and only here."""

from __future__ import annotations

from dataclasses import dataclass

from loguru import logger

from clarion.brokers.base import Delivery
from clarion.errors import BrokerUnavailable


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a message ends: acknowledged, or first put off by `delay`, or parked for `reason`."""

    delay: float | None = None
    reason: str | None = None
    detail: str = ""


ACK = Settlement()


async def settle(delivery: Delivery, settlement: Settlement) -> None:
    """Return once the message is settled, or has to come again because the broker is away."""
    try:
        if settlement.reason is not None:
            await delivery.dead_letter(settlement.reason, settlement.detail)
        elif settlement.delay is not None:
            await delivery.retry(settlement.delay)
        else:
            await delivery.ack()
    except BrokerUnavailable as error:
        # it comes again by itself, and its row says how far it got
        logger.bind(error=str(error)).warning("a message was not settled")
