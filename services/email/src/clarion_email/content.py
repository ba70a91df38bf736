"""From a notification and its rendered parts to an email."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Notification

# the gateway has checked the address (`clarion.event`); this is what may not reach a header
_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f<>,;]+@[^@\s\x00-\x1f\x7f<>,;]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f]")  # a tab may be


@dataclass(frozen=True, slots=True)
class EmailMessage:
    """One email to one recipient, with a text part, an HTML part or both.

    An email knows no deadline: once it was handed over, `expires_at` is not the provider's to keep.
    `categories` are what the provider groups its statistics by: no more than 10, no personal data.
    """

    to: str
    subject: str
    text: str | None
    html: str | None
    reply_to: str | None
    categories: tuple[str, ...]


def compose(notification: Notification, parts: Mapping[str, str]) -> EmailMessage:
    """Return the email that the parts `subject`, `text` and `html` make.

    Raises `BadRecipient` and `BadMessage` for what no provider would take.
    """
    if not _ADDRESS.fullmatch(notification.recipient):
        raise BadRecipient("not an email address", code="recipient")
    text, html = parts.get("text", ""), parts.get("html", "")
    if not text.strip() and not html.strip():
        raise BadMessage("the email has neither text nor HTML in it", code="empty")
    return EmailMessage(
        to=notification.recipient,
        subject=_subject(parts.get("subject", "")),
        text=text if text.strip() else None,
        html=html if html.strip() else None,
        reply_to=_reply_to(notification.payload.get("reply_to")),
        categories=(notification.template_id, f"priority-{notification.priority}"),
    )


def _subject(subject: str) -> str:
    # what follows a line break is another header; the dot is so that one at the end counts too
    if len(f"{subject}.".splitlines()) > 1 or not subject.strip():
        raise BadMessage("the subject is empty or has a line break in it", code="subject")
    if _CONTROL.search(subject):
        raise BadMessage("the subject has a control character in it", code="subject")
    return subject


def _reply_to(value: object) -> str | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise EmailNotValidError("expected text")
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise BadMessage(f"payload.reply_to: {error}", code="reply_to") from error
    return value
