"""The sandbox's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

INBOX_LIMIT = 10_000
INBOX_LIMIT_BYTES = 64 * 1024 * 1024
CALLS_LIMIT = 1_000_000


class SandboxSettings(BaseSettings):
    """Where the sandbox listens, and how much it remembers."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,
        populate_by_name=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(8025, ge=0, le=65535, validation_alias=AliasChoices("SANDBOX_PORT", "PORT"))
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    sandbox_secret: SecretStr | None = Field(
        None, min_length=16, description="what it signs as SendGrid with; the gateway has it too"
    )
    sandbox_events_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        description="where SendGrid's events go: the gateway's /webhooks/sendgrid",
    )
    contracts_dir: Path | None = Field(
        None, description="folder of the vendors' contracts; without it, built-in checks only"
    )
    sandbox_inbox_limit: int = Field(INBOX_LIMIT, ge=1, description="messages kept in the inbox")
    sandbox_inbox_limit_bytes: int = Field(
        INBOX_LIMIT_BYTES, ge=1, description="bytes of request bodies kept in the inbox"
    )
    sandbox_calls_limit: int = Field(
        CALLS_LIMIT, ge=1, description="notification ids kept in the call log"
    )
