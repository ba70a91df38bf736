"""What the parts of a template become as an email."""

from __future__ import annotations

import pytest

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Channel, Notification, Priority
from clarion_email.content import compose

PARTS = {"subject": "Welcome", "text": "Hello", "html": "<p>Hello</p>"}


def notification(recipient: str = "ada@example.com", **payload: object) -> Notification:
    return Notification(
        notification_id="notif_1",
        message_id="m1",
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient=recipient,
        payload=payload,
        priority=Priority.HIGH,
    )


def test_the_parts_become_an_email() -> None:
    message = compose(notification(reply_to="help@example.com"), PARTS)

    assert (message.to, message.subject) == ("ada@example.com", "Welcome")
    assert (message.text, message.html) == ("Hello", "<p>Hello</p>")
    assert message.reply_to == "help@example.com"
    assert message.categories == ("welcome", "priority-high")


@pytest.mark.parametrize(
    ("parts", "text", "html"),
    [
        ({"subject": "S", "text": "T"}, "T", None),
        ({"subject": "S", "html": "H"}, None, "H"),
        ({"subject": "S", "text": " \n", "html": "H"}, None, "H"),
    ],
)
def test_a_part_may_be_missing(parts: dict[str, str], text: str | None, html: str | None) -> None:
    message = compose(notification(), parts)

    assert (message.text, message.html) == (text, html)


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": "S"},
        {"subject": "S", "text": "", "html": " "},
        {"text": "T"},
        {"subject": " ", "text": "T"},
    ],
)
def test_an_empty_email_is_refused(parts: dict[str, str]) -> None:
    with pytest.raises(BadMessage):
        compose(notification(), parts)


@pytest.mark.parametrize("char", ["\r", "\n", "\r\n", "\x00", "\v", "\x85", "\u2028"])
def test_no_header_can_be_put_in(char: str) -> None:
    injected = f"x{char}Bcc: eve@example.com"

    with pytest.raises(BadMessage):
        compose(notification(), PARTS | {"subject": injected})
    with pytest.raises(BadMessage):
        compose(notification(), PARTS | {"subject": f"Welcome{char}"})
    with pytest.raises(BadMessage):
        compose(notification(reply_to=f"a@example.com{char}Bcc: eve@example.com"), PARTS)
    with pytest.raises(BadRecipient):
        compose(notification(f"a@example.com{char}Bcc: eve@example.com"), PARTS)


@pytest.mark.parametrize("reply_to", ["no address", "", 7, ["a@example.com"], {}])
def test_a_reply_to_that_is_no_address_is_refused(reply_to: object) -> None:
    with pytest.raises(BadMessage, match=r"payload\.reply_to"):
        compose(notification(reply_to=reply_to), PARTS)


@pytest.mark.parametrize("recipient", ["", "ada", "a@b, c@d", "Ada <ada@example.com>"])
def test_a_recipient_that_is_no_address_is_refused(recipient: str) -> None:
    with pytest.raises(BadRecipient):
        compose(notification(recipient), PARTS)
