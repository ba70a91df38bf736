"""The magic addresses: recipients that always fail in their own way, for anyone to try.

The phone numbers lie in the range +1 500 555 00xx that Twilio keeps for its own magic numbers.
Its +15005550001 (not a valid number) and +15005550004 (blocked) mean here what they mean there
(www.twilio.com/docs/iam/test-credentials).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clarion_sandbox.faults import (
    AcceptThenDropAction,
    Action,
    DelayAction,
    DropAction,
    HangAction,
    Rule,
    StatusAction,
)
from clarion_sandbox.vendors.twilio import CLOSED_WINDOW, refused

DOMAIN = "sandbox.test"


@dataclass(frozen=True, slots=True)
class MagicAddress:
    """One way to fail, and the recipient on each channel that fails so; None: no such twin.

    `times` counts for each notification; None means always.
    """

    email: str | None
    whatsapp: str | None
    push: str | None
    does: str
    action: Action
    times: int | None = None

    def twins(self) -> dict[str, str]:
        """Return the recipient for each channel that has one."""
        twins = {"email": self.email, "whatsapp": self.whatsapp, "push": self.push}
        return {channel: to for channel, to in twins.items() if to is not None}

    def as_json(self) -> dict[str, Any]:
        """Return the row as the page shows it."""
        return {**self.twins(), "does": self.does}


ADDRESSES = (
    MagicAddress(
        f"fail@{DOMAIN}",
        "+15005550010",
        "sandbox-fail",
        "503 every time",
        StatusAction(code=503),
    ),
    MagicAddress(
        f"flaky@{DOMAIN}",
        "+15005550011",
        "sandbox-flaky",
        "503 twice for each notification, then accepted",
        StatusAction(code=503),
        times=2,
    ),
    MagicAddress(
        f"throttle@{DOMAIN}",
        "+15005550012",
        "sandbox-throttle",
        "429 with Retry-After: 2 once for each notification, then accepted",
        StatusAction(code=429, headers={"Retry-After": "2"}),
        times=1,
    ),
    MagicAddress(
        f"slow@{DOMAIN}",
        "+15005550013",
        "sandbox-slow",
        "accepted, and answered 3 seconds late",
        DelayAction(seconds=3),
    ),
    MagicAddress(
        f"hang@{DOMAIN}",
        "+15005550014",
        "sandbox-hang",
        "never answered, not accepted",
        HangAction(),
    ),
    MagicAddress(
        f"drop@{DOMAIN}",
        "+15005550015",
        "sandbox-drop",
        "connection closed without an answer, not accepted",
        DropAction(),
    ),
    MagicAddress(
        f"doubt@{DOMAIN}",
        "+15005550016",
        "sandbox-doubt",
        "accepted, then closed without an answer, once for each notification",
        AcceptThenDropAction(),
        times=1,
    ),
    MagicAddress(
        f"bad@{DOMAIN}",
        "+15005550001",
        "sandbox-bad",
        "400: the recipient is not valid",
        StatusAction(code=400),
    ),
    MagicAddress(
        None,
        "+15005550004",
        None,
        "400, code 21610: the recipient has blocked the sender",
        StatusAction(code=400, body=refused(21610)),
    ),
    MagicAddress(
        None,
        None,
        "sandbox-unregistered",
        "404 UNREGISTERED: the app is gone from the device",
        StatusAction(code=404),
    ),
)


@dataclass(frozen=True, slots=True)
class TellingAddress:
    """An address that accepts, and of which other receipts come than `deliver`."""

    email: str | None
    whatsapp: str | None
    does: str
    tells: tuple[str, ...]

    def twins(self) -> dict[str, str]:
        """Return the recipient for each channel that has one."""
        twins = {"email": self.email, "whatsapp": self.whatsapp}
        return {channel: to for channel, to in twins.items() if to is not None}

    def as_json(self) -> dict[str, Any]:
        """Return the row as the page shows it."""
        return {**self.twins(), "does": self.does}


TELLING = (
    TellingAddress(
        f"bounce@{DOMAIN}",
        "+15005550017",
        "accepted, then a receipt: no such address",
        ("process", "bounce"),
    ),
    TellingAddress(
        f"late-bounce@{DOMAIN}",
        None,
        "accepted, delivered, and then returned",
        ("process", "deliver", "bounce"),
    ),
    TellingAddress(
        f"spam@{DOMAIN}",
        "+15005550018",
        "accepted and delivered; then its reader reports spam, or blocks the sender",
        ("process", "deliver", "report_spam"),
    ),
    TellingAddress(
        f"silent@{DOMAIN}",
        "+15005550019",
        "accepted, and no receipt ever comes; Twilio, when asked, says that it was delivered",
        (),
    ),
    TellingAddress(
        None,
        CLOSED_WINDOW,
        "never wrote: 400, code 63016 for free text; a template goes",
        ("process", "deliver"),
    ),
    TellingAddress(
        None,
        "+15005550021",
        "never wrote: free text is accepted, then a receipt with code 63016; a template goes",
        ("process", "close_window"),
    ),
)

_DELIVERED = ("process", "deliver")
_TELLS = {to: one.tells for one in TELLING for to in one.twins().values()}


def tells(to: str, *, approved: bool = False) -> tuple[str, ...]:
    """Return what is told by itself of a message to this recipient.

    `approved` says that it is a template that WhatsApp takes at any time.
    """
    acts = _TELLS.get(to, _DELIVERED)
    return _DELIVERED if approved and "close_window" in acts else acts


def magic_rules() -> dict[tuple[str, str], Rule]:
    """Return the rule of each magic address, by channel and recipient."""
    return {
        (channel, to): Rule.model_validate(
            {
                "channel": channel,
                "times": magic.times,
                "per": "notification",
                "action": magic.action,
            }
        )
        for magic in ADDRESSES
        for channel, to in magic.twins().items()
    }
