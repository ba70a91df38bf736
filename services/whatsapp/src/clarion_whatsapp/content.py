"""From a notification and its rendered parts to a WhatsApp message."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Notification

MAX_TEXT = 1600
MAX_VARIABLES = 100
MAX_VARIABLE = 1024

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CONTENT_SID = re.compile(r"HX[0-9a-fA-F]{32}")


class Form(StrEnum):
    """The two forms of a WhatsApp message."""

    TEXT = "text"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Content:
    """A template that WhatsApp has approved, by its Twilio ContentSid, and its variables."""

    sid: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WhatsAppMessage:
    """One message to one number (E.164), as free text, as approved content, or to be chosen."""

    to: str
    text: str | None
    content: Content | None
    expires_at: datetime | None = None

    def choose(self, preferred: Form) -> str | Content:
        """Return the form to send: the preferred one, or the only one.

        Raises `BadMessage` when that form is beyond Twilio's limits.
        """
        if self.content is not None and (preferred is Form.CONTENT or self.text is None):
            _check_content(self.content)
            return self.content
        return _checked_text(self.text or "")


def compose(notification: Notification, parts: Mapping[str, str]) -> WhatsAppMessage:
    """Return the message that the parts `text` and `content.json` make.

    Raises `BadRecipient` and `BadMessage` for what no provider would take.
    """
    if not _E164.fullmatch(notification.recipient):
        raise BadRecipient("not an E.164 number such as +14155550123", code="recipient")
    content = parts.get("content.json")
    message = WhatsAppMessage(
        to=notification.recipient,
        text=parts.get("text"),
        content=None if content is None else _content(content),
        expires_at=notification.expires_at,
    )
    if message.text is None and message.content is None:
        raise BadMessage("the message has neither text nor content", code="empty")
    return message


def _content(part: str) -> Content:
    try:
        given = json.loads(part)
        sid, variables = given["content_sid"], given.get("content_variables", {})
        if not isinstance(sid, str) or not _CONTENT_SID.fullmatch(sid):
            raise BadMessage("content_sid is not HX and 32 hexadecimal digits", code="content_sid")
        return Content(sid, {str(name): str(value) for name, value in variables.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadMessage(
            'content.json is not {"content_sid": "HX...", "content_variables": {...}}',
            code="content",
        ) from error


def _checked_text(text: str) -> str:
    if not text.strip():
        raise BadMessage("the message is empty", code="empty")
    if len(text) > MAX_TEXT:
        raise BadMessage(f"the text has {len(text)} characters of {MAX_TEXT}", code="text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadMessage("the text has half a surrogate pair in it", code="text") from error
    return text


def _check_content(content: Content) -> None:
    """Refuse now what Twilio refuses only after it has answered 201: 63013 and 63021."""
    if len(content.variables) > MAX_VARIABLES:
        raise BadMessage(f"more than {MAX_VARIABLES} content variables", code="content_variables")
    for name, value in content.variables.items():
        if not value.strip():
            raise BadMessage(f"content variable {name} is empty", code="content_variables")
        if len(value) > MAX_VARIABLE:
            raise BadMessage(
                f"content variable {name} has more than {MAX_VARIABLE} characters",
                code="content_variables",
            )
