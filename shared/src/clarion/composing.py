"""From a notification to its channel's message, before any provider is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from clarion.errors import SendError, TemplateError
from clarion.notification import Notification, Reason
from clarion.templates import TemplateRepository

MessageT = TypeVar("MessageT")

Compose = Callable[[Notification, Mapping[str, str]], MessageT]
"""Makes a channel's message of a notification and its rendered parts; raises `BadMessage` or
`BadRecipient`."""


class Unsendable(Exception):
    """A notification of which no message can be made: give it up for this reason."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        self.text = text


def compose_with(
    templates: TemplateRepository, compose: Compose[MessageT], notification: Notification
) -> MessageT:
    """Return the notification's message. Raises `Unsendable`."""
    try:
        return compose(notification, templates.render(notification))
    except TemplateError as error:
        raise Unsendable(Reason.TEMPLATE_ERROR, str(error)) from error
    except SendError as error:
        raise Unsendable(Reason(error.reason), str(error)) from error
