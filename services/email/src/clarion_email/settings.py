"""What the email worker is told by its environment."""

from __future__ import annotations

from typing import Self

from email_validator import EmailNotValidError, validate_email
from pydantic import Field, SecretStr, field_validator, model_validator

from clarion.errors import SettingsError
from clarion.settings import WorkerSettings

SANDBOX_KEY = SecretStr("SG.sandbox")


class EmailSettings(WorkerSettings):
    """The sender and the provider of emails."""

    email_from: str = Field(
        "notifications@clarion.test",
        description="verified with the provider; no default in production",
    )
    email_from_name: str = Field("Clarion", max_length=200)
    email_reply_to: str | None = Field(None, description="where `payload.reply_to` is not given")
    sendgrid_api_key: SecretStr = SANDBOX_KEY
    sendgrid_base_url: str = Field(
        "https://api.sendgrid.com",
        pattern=r"^https?://[^\s/]+",
        description="the EU region is https://api.eu.sendgrid.com",
    )

    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        description="where readers reach the gateway: the links to unsubscribe lead there",
    )
    unsubscribe_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="what those links are signed with, here and there",
    )

    @field_validator("email_from", "email_reply_to")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            validate_email(value, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            raise ValueError(f"not an email address: {error}") from error
        return value

    @field_validator("email_from_name")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("contains a line break or another control character")
        return value

    @field_validator("sendgrid_api_key")
    @classmethod
    def _is_header_value(cls, value: SecretStr) -> SecretStr:
        # a key file often ends with a line break, which no header may hold
        key = value.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("contains characters that no API key has")
        return SecretStr(key)

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.environment == "production":
            for name in ("sendgrid_api_key", "email_from"):
                if name not in self.model_fields_set:
                    raise SettingsError(f"{name.upper()}: missing; production needs it")
        if not self.model_fields_set & {"sendgrid_api_key", "sendgrid_base_url"}:
            if self.sandbox_url:
                self.sendgrid_base_url = self.sandbox_url
                return self
            raise SettingsError(
                "SENDGRID_API_KEY: missing; set it, or point SENDGRID_BASE_URL at the sandbox"
                " (http://localhost:8025)"
            )
        return self
