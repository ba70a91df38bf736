"""The gateway's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from clarion.notification import Channel
from clarion.settings import CommonSettings


class GatewaySettings(CommonSettings):
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
