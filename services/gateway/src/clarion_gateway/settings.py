"""The gateway's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from clarion.notification import Channel
from clarion.settings import CommonSettings, RetentionSettings
from clarion_gateway.providers.sandbox import public_key


class GatewaySettings(CommonSettings, RetentionSettings):
    """What the gateway needs beyond the common settings."""

    port: int = Field(3001, ge=0, le=65535)
    api_keys: SecretStr = Field(
        SecretStr(""),
        description="`name:sha256[:scope+scope]` of each API key, with commas or spaces between",
    )
    auth: Literal["keys", "off"] = Field(
        "keys", description="`off` lets it start on a network without any key"
    )
    rate_limit: float = Field(
        0.0,
        ge=0,
        description="events a second that one key may send to this process; 0: any number",
    )
    rate_burst: float = Field(
        0.0, ge=0, description="events that a key may send at once; 0: two seconds' worth"
    )
    access_log: Literal["on", "off"] = Field(
        "on", description="`off` logs only the requests that failed here"
    )
    status_events: Literal["on", "off"] = Field(
        "on", description="`off` publishes no changes of status to notifications.events"
    )
    callbacks: SecretStr = Field(
        SecretStr(""),
        description="`name url secret [secret ...]` of each application that is called with its "
        "status events, with semicolons or line breaks between",
    )
    sendgrid_webhook_public_key: str | None = Field(
        None, description="the verification key of SendGrid's Signed Event Webhook"
    )
    twilio_auth_token: SecretStr | None = Field(
        None, description="what Twilio signs its callbacks with"
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        description="where providers and readers reach this gateway; Twilio signs it",
    )
    unsubscribe_secret: SecretStr | None = Field(
        None, min_length=16, description="what the links to unsubscribe are signed with"
    )
    sandbox_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="in development, what the sandbox signs its receipts with, in place of both",
    )
    backlog_rate: float = Field(
        2000.0,
        gt=0,
        description="notifications a second that this process publishes of a backlog",
    )
    workers: str = Field(
        "email=http://email:3002,whatsapp=http://whatsapp:3002,push=http://push:3002",
        description="where each channel's workers answer /health; every address of a name is asked",
    )

    @field_validator("workers")
    @classmethod
    def _known_workers(cls, value: str) -> str:
        _parse_workers(value)
        return value

    @property
    def sendgrid_key(self) -> str | None:
        """The key that SendGrid's events are checked with; None refuses them all."""
        if self.sendgrid_webhook_public_key or self.stand_in is None:
            return self.sendgrid_webhook_public_key
        return public_key(self.stand_in)

    @property
    def twilio_token(self) -> str | None:
        """The token that Twilio's callbacks are checked with; None refuses them all."""
        token = self.twilio_auth_token
        return self.stand_in if token is None else token.get_secret_value().strip()

    @property
    def stand_in(self) -> str | None:
        """The sandbox's secret; None in production, where no sandbox is believed."""
        if self.sandbox_secret is None or self.environment == "production":
            return None
        return self.sandbox_secret.get_secret_value().strip()

    @property
    def burst(self) -> float:
        """How many events a key may send at once."""
        return self.rate_burst or 2 * self.rate_limit

    def worker_urls(self) -> dict[Channel, str]:
        """Return where each channel's workers answer."""
        return _parse_workers(self.workers)


def _parse_workers(text: str) -> dict[Channel, str]:
    urls: dict[Channel, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, _, url = entry.partition("=")
        if name not in set(Channel) or not url.startswith(("http://", "https://")):
            # not repeated: it may hold a password by mistake
            raise ValueError(f"entry {number} is not channel=http://host:port")
        urls[Channel(name)] = url
    return urls
