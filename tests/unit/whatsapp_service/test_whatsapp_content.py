"""What the parts of a template become as a WhatsApp message."""

from __future__ import annotations

import json

import pytest

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Channel, Notification
from clarion_whatsapp.content import Content, Form, WhatsAppMessage, compose

SID = "HX0123456789abcdef0123456789abcdef"
CONTENT = json.dumps({"content_sid": SID, "content_variables": {"1": "Ada"}})


def notification(recipient: str = "+14155550123") -> Notification:
    return Notification(
        notification_id="notif_1",
        message_id="m1",
        target_user_id="u1",
        channel=Channel.WHATSAPP,
        template_id="welcome",
        recipient=recipient,
        payload={},
    )


def test_both_parts_are_kept_until_one_is_chosen() -> None:
    message = compose(notification(), {"text": "Hello", "content.json": CONTENT})

    assert message == WhatsAppMessage("+14155550123", "Hello", Content(SID, {"1": "Ada"}))
    assert message.choose(Form.TEXT) == "Hello"
    assert message.choose(Form.CONTENT) == Content(SID, {"1": "Ada"})


@pytest.mark.parametrize("prefer", list(Form))
def test_the_only_form_goes_whatever_is_preferred(prefer: Form) -> None:
    assert compose(notification(), {"text": "Hello"}).choose(prefer) == "Hello"
    assert isinstance(compose(notification(), {"content.json": CONTENT}).choose(prefer), Content)


@pytest.mark.parametrize("text", ["", " \n", "x" * 1601, "\ud800"])
def test_a_text_beyond_the_limits_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        compose(notification(), {"text": text}).choose(Form.TEXT)


def test_a_text_of_the_whole_length_goes() -> None:
    assert compose(notification(), {"text": "x" * 1600}).choose(Form.TEXT) == "x" * 1600


def test_a_part_that_is_not_chosen_may_be_beyond_the_limits() -> None:
    message = compose(notification(), {"text": "x" * 1601, "content.json": CONTENT})

    assert message.choose(Form.CONTENT) == Content(SID, {"1": "Ada"})


@pytest.mark.parametrize(
    "variables",
    [{"1": ""}, {"1": "  "}, {"1": "x" * 1025}, {str(n): "x" for n in range(101)}],
    ids=["empty", "blank", "long", "many"],
)
def test_variables_beyond_the_limits_are_refused(variables: dict[str, str]) -> None:
    part = json.dumps({"content_sid": SID, "content_variables": variables})

    with pytest.raises(BadMessage):
        compose(notification(), {"content.json": part}).choose(Form.CONTENT)


@pytest.mark.parametrize(
    "part",
    ["", "[]", "{}", "null", '{"content_sid": "HX1"}', '{"content_sid": 7}', "[" * 100_000]
    + [json.dumps({"content_sid": SID, "content_variables": wrong}) for wrong in (7, "x", [1])],
)
def test_content_of_another_shape_is_refused(part: str) -> None:
    with pytest.raises(BadMessage):
        compose(notification(), {"content.json": part})


def test_a_message_without_a_part_is_refused() -> None:
    with pytest.raises(BadMessage):
        compose(notification(), {})


@pytest.mark.parametrize("recipient", ["", "14155550123", "+0123456789", "+1415555\n0123", "+1"])
def test_a_recipient_that_is_no_e164_number_is_refused(recipient: str) -> None:
    with pytest.raises(BadRecipient):
        compose(notification(recipient), {"text": "Hello"})
