"""What the three stand-ins have in common: the steps from a call's bytes to its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clarion_sandbox.answer import Answer

MAX_BODY_BYTES = 30 * 1024 * 1024  # SendGrid's limit for one message, the largest of the three


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a call is for, and which attempt of which notification it says to be."""

    to: str
    notification_id: str | None
    attempt: int | None


@dataclass(frozen=True, slots=True)
class VendorRequest:
    """One call as it came in; `document` is its body, read by the vendor."""

    path_params: Mapping[str, str]
    headers: Mapping[str, str]
    document: Any


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the message: what it answers, and what each recipient gets to see."""

    answer: Answer
    provider_message_id: str
    messages: list[tuple[Recipient, dict[str, Any]]]


class Unreadable(Exception):
    """Raised when a body is not in the vendor's format at all; carries the answer to it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"unreadable body, answered {answer.status}")
        self.answer = answer


class Vendor(Protocol):
    """One vendor's send endpoint, without faults, counting and storage."""

    name: str
    channel: str

    def read(self, body: bytes) -> Any:
        """Return the request document. Raises `Unreadable`."""
        ...

    def recipients(self, document: Any) -> list[Recipient]:
        """Return whom the call is for, as far as a possibly wrong document tells."""
        ...

    def unauthorised(self, request: VendorRequest) -> Answer | None:
        """Return the refusal of credentials that the vendor would not take."""
        ...

    def refusal(self, request: VendorRequest) -> Answer | None:
        """Return the answer to a request that breaks one of the vendor's own rules."""
        ...

    def broken_contract(self, violations: list[str]) -> Answer:
        """Return the answer to a request that breaks the published contract."""
        ...

    def accept(self, request: VendorRequest) -> Accepted:
        """Return what becomes of a request that nothing speaks against."""
        ...

    def error(self, status: int) -> Answer:
        """Return the vendor's own words for a status; 400 is about the recipient."""
        ...


def attempt_of(value: object) -> int | None:
    """Return the attempt number that a call carries, if it is one."""
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def text_or_none(value: object) -> str | None:
    """Return a non-empty text, or None."""
    return value if isinstance(value, str) and value else None
