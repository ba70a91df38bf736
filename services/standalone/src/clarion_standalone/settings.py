"""What standalone is told by its environment, and what its parts are told by it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from clarion.settings import CommonSettings, load
from clarion_email.settings import EmailSettings
from clarion_push.settings import PushSettings
from clarion_whatsapp.settings import WhatsAppSettings


class StandaloneSettings(CommonSettings):
    """Two ports and a folder: the broker is memory, the database a file, the provider a sandbox."""

    port: int = Field(3001, ge=0, le=65535)
    sandbox_port: int = Field(8025, ge=0, le=65535)
    data_dir: Path = Path(".data")
    api_keys: SecretStr = SecretStr("")
    auth: Literal["keys", "off"] = "keys"
    callbacks: SecretStr = SecretStr("")

    @property
    def database_file(self) -> Path:
        """Where the notifications are kept, across restarts."""
        return self.data_dir.absolute() / "clarion.db"

    @property
    def store_url(self) -> str:
        """The same as an address."""
        return f"sqlite:///{quote(str(self.database_file))}"

    def email(self, sandbox: str, gateway: str, secret: str) -> EmailSettings:
        """Return the email worker's settings; whatever `.env` holds, it sends to the sandbox."""
        return load(
            EmailSettings,
            environment="development",
            templates_dir=self.templates_dir,
            sendgrid_api_key=SecretStr("SG.sandbox"),
            sendgrid_base_url=sandbox,
            public_url=gateway,
            unsubscribe_secret=SecretStr(secret),
        )

    def whatsapp(self, sandbox: str, gateway: str, secret: str) -> WhatsAppSettings:
        """Return the WhatsApp worker's settings; the sandbox signs receipts with the secret."""
        return load(
            WhatsAppSettings,
            environment="development",
            templates_dir=self.templates_dir,
            twilio_base_url=sandbox,
            twilio_account_sid="AC" + "0" * 32,
            twilio_auth_token=SecretStr(secret),
            public_url=gateway,
        )

    def push(self, sandbox: str) -> PushSettings:
        """Return the push worker's settings."""
        return load(
            PushSettings,
            environment="development",
            templates_dir=self.templates_dir,
            fcm_project_id="clarion-sandbox",
            fcm_service_account_file=f"{sandbox}/service-account.json",
            fcm_base_url=sandbox,
        )
