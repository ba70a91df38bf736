"""The providers of email; each is one module."""

from __future__ import annotations

from clarion.provider import HttpTransport, Provider
from clarion.store.base import Store
from clarion.unsubscribe import UnsubscribeLinks
from clarion_email.content import EmailMessage
from clarion_email.providers.sendgrid import SendGrid
from clarion_email.settings import EmailSettings


def open_provider(
    settings: EmailSettings, transport: HttpTransport, _store: Store
) -> Provider[EmailMessage]:
    """Return the provider that the settings name."""
    return SendGrid(
        transport,
        settings.sendgrid_api_key.get_secret_value(),
        sender=settings.email_from,
        sender_name=settings.email_from_name,
        reply_to=settings.email_reply_to,
        base_url=settings.sendgrid_base_url,
        links=_links(settings),
    )


def _links(settings: EmailSettings) -> UnsubscribeLinks | None:
    if settings.public_url is None or settings.unsubscribe_secret is None:
        return None
    secret = settings.unsubscribe_secret.get_secret_value().strip()
    return UnsubscribeLinks(secret, settings.public_url)
