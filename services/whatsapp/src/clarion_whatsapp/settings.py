"""What the WhatsApp worker is told by its environment."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from clarion.errors import SettingsError
from clarion.settings import WorkerSettings
from clarion_whatsapp.content import Form

SANDBOX_ACCOUNT = "AC" + "0" * 32
SANDBOX_TOKEN = SecretStr("sandbox")


class WhatsAppSettings(WorkerSettings):
    """The sender and the provider of WhatsApp messages."""

    twilio_account_sid: str = Field(SANDBOX_ACCOUNT, pattern=r"^AC[0-9a-fA-F]{32}$")
    twilio_auth_token: SecretStr = SANDBOX_TOKEN
    twilio_whatsapp_from: str = Field(
        "whatsapp:+14155238886",
        pattern=r"^whatsapp:\+[1-9][0-9]{6,14}$",
        description="the sender's number; with or without `whatsapp:`",
    )
    twilio_messaging_service_sid: str | None = Field(
        None, pattern=r"^MG[0-9a-fA-F]{32}$", description="chooses the sender instead of the number"
    )
    twilio_base_url: str = Field("https://api.twilio.com", pattern=r"^https?://[^\s/]+")
    sandbox_secret: SecretStr | None = Field(
        None, min_length=16, description="the token where the sandbox is the provider"
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        description="where Twilio reaches the gateway with what became of a message; it refuses"
        " localhost (error 21609), the sandbox does not",
    )
    whatsapp_prefer: Form | None = Field(
        None,
        description="what goes where a template has both: `content` (the approved template, which"
        " WhatsApp demands outside of 24 hours after the user's last message) or `text`;"
        " by default content in production, else text",
    )

    whatsapp_window: Literal["enforce", "off"] | None = Field(
        None,
        description="`enforce`: free text goes only within 24 hours after the person's last message"
        " that came to /webhooks/twilio/inbound; `off`: Twilio decides; by default enforce in"
        " production",
    )
    reconcile_after_seconds: float = Field(
        3600.0,
        ge=0,
        description="how long after a message was sent Twilio is asked about it, where no callback"
        " came; 0: never",
    )

    @field_validator("twilio_whatsapp_from", mode="before")
    @classmethod
    def _has_prefix(cls, value: object) -> object:
        return f"whatsapp:{value}" if isinstance(value, str) and value[:1] == "+" else value

    @field_validator("twilio_auth_token")
    @classmethod
    def _is_one_word(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value().strip()
        if not (token.isascii() and token.isprintable()):
            raise ValueError("contains characters that no token has")
        return SecretStr(token)

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        given = self.model_fields_set
        if self.environment == "production":
            for name in ("twilio_account_sid", "twilio_auth_token"):
                if name not in given:
                    raise SettingsError(f"{name.upper()}: missing; production needs it")
            if not given & {"twilio_whatsapp_from", "twilio_messaging_service_sid"}:
                raise SettingsError("TWILIO_WHATSAPP_FROM: missing; production needs it")
        credentials = {"twilio_account_sid", "twilio_auth_token"}
        if self.sandbox_url and not given & (credentials | {"twilio_base_url"}):
            self.twilio_base_url = self.sandbox_url
            self.twilio_auth_token = self.sandbox_secret or self.twilio_auth_token
            return self
        if "twilio_base_url" not in given:
            for name in ("twilio_account_sid", "twilio_auth_token"):
                if name not in given:
                    raise SettingsError(
                        f"{name.upper()}: missing; set it, or point TWILIO_BASE_URL at the sandbox"
                        " (http://localhost:8025)"
                    )
        return self

    @property
    def enforces_window(self) -> bool:
        """Whether free text needs a message of the person's in the last 24 hours."""
        if self.whatsapp_window is not None:
            return self.whatsapp_window == "enforce"
        return self.environment == "production"

    @property
    def preferred_form(self) -> Form:
        """The form that goes where a template has both."""
        if self.whatsapp_prefer is not None:
            return self.whatsapp_prefer
        return Form.CONTENT if self.environment == "production" else Form.TEXT
