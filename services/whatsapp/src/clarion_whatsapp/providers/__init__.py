"""The providers of WhatsApp; each is one module."""

from __future__ import annotations

from clarion.provider import HttpTransport, Provider
from clarion.store.base import Store
from clarion_whatsapp.content import WhatsAppMessage
from clarion_whatsapp.providers.twilio import Twilio
from clarion_whatsapp.settings import WhatsAppSettings
from clarion_whatsapp.window import window_of


def open_provider(
    settings: WhatsAppSettings, transport: HttpTransport, store: Store
) -> Provider[WhatsAppMessage]:
    """Return the provider that the settings name."""
    return Twilio(
        transport,
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        sender=settings.twilio_whatsapp_from,
        messaging_service_sid=settings.twilio_messaging_service_sid,
        prefer=settings.preferred_form,
        public_url=settings.public_url,
        window=window_of(store) if settings.enforces_window else None,
        base_url=settings.twilio_base_url,
    )
