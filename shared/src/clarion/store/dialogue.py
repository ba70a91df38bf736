"""The store's verbs for what comes back beside receipts: what persons write to us, and what
providers must be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

from clarion.inbound import Inbound
from clarion.notification import Channel


@dataclass(frozen=True, slots=True)
class Silent:
    """An attempt that a provider took and told no more of."""

    notification_id: str
    attempt: int
    provider_message_id: str


class InboundStore(ABC):
    """Remembers who wrote to us."""

    @abstractmethod
    async def note_inbound(self, inbound: Inbound) -> bool:
        """Note that a person wrote now, by the store's clock; False when that was told before.

        STOP suppresses the address as a wish; START ends such a wish, not what an operator said.
        """

    @abstractmethod
    async def wrote_within(self, channel: Channel, address: str, seconds: float) -> bool:
        """Return whether the person wrote less than so many seconds ago."""


class InquiryStore(ABC):
    """Knows which messages a provider is to be asked about."""

    @abstractmethod
    async def take_silent(
        self, channel: Channel, provider: str, *, after: float, until: float, limit: int
    ) -> list[Silent]:
        """Return messages that have been `sent` for more than `after` and less than `until` seconds
        and whose next inquiry is due, the oldest first, each to one caller alone.

        The next inquiry of each is due when it is twice as old.
        """

    @abstractmethod
    async def ask_again(self, ids: Collection[str], seconds: float | None) -> None:
        """Let the next inquiry about these be due in so many seconds; None: never."""
