"""The providers of push; each is one module."""

from __future__ import annotations

from clarion.provider import HttpTransport, Provider
from clarion.store.base import Store
from clarion_push.content import PushMessage
from clarion_push.providers.fcm import Fcm
from clarion_push.providers.fcm_token import AccessToken, key_from_file, key_from_url
from clarion_push.settings import PushSettings


def open_provider(
    settings: PushSettings, transport: HttpTransport, _store: Store
) -> Provider[PushMessage]:
    """Return the provider that the settings name.

    Raises `SettingsError` when the key's file is not one.
    """
    load_key = (key_from_url if settings.key_is_remote else key_from_file)(
        settings.fcm_service_account_file
    )
    return Fcm(
        transport, AccessToken(load_key), settings.fcm_project_id, base_url=settings.fcm_base_url
    )
