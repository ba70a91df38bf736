"""The 24 hours after a person's last message, in which WhatsApp takes free text for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loguru import logger

from clarion.errors import StoreUnavailable
from clarion.notification import Channel
from clarion.store.base import Store

SECONDS = 86_400.0
"""https://www.twilio.com/docs/whatsapp/key-concepts#conversational-messaging-on-whatsapp"""

Window = Callable[[str], Awaitable[bool]]
"""Returns whether free text may go to a number now."""


def window_of(store: Store) -> Window:
    """Return the look-up in the store. Where the store does not answer, Twilio decides."""

    async def is_open(number: str) -> bool:
        try:
            return await store.wrote_within(Channel.WHATSAPP, number, SECONDS)
        except StoreUnavailable as error:
            logger.bind(error=str(error)).warning("whether a window is open could not be read")
            return True

    return is_open
