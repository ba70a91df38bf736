"""What the push worker is told by its environment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from clarion.errors import SettingsError
from clarion.settings import WorkerSettings

SANDBOX_KEY_URL = "http://localhost:8025/service-account.json"


class PushSettings(WorkerSettings):
    """The Firebase project that pushes are sent through."""

    # FCM sends no receipts to wait for, and a push that comes twice replaces itself by its tag
    doubt_grace_seconds: float = Field(0.0, ge=0)
    fcm_project_id: str = Field("clarion-sandbox", pattern=r"^[a-z0-9][a-z0-9.:-]{1,99}$")
    fcm_service_account_file: str = Field(
        "",
        description="the project's key: a JSON file or, in development, the sandbox's URL for one",
    )
    fcm_base_url: str = Field("https://fcm.googleapis.com", pattern=r"^https?://[^\s/]+")

    @property
    def key_is_remote(self) -> bool:
        """Whether the key is fetched from the sandbox, which makes one at its start."""
        return self.fcm_service_account_file.startswith(("http://", "https://"))

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        given = self.model_fields_set
        if self.environment == "production":
            for name in ("fcm_project_id", "fcm_service_account_file"):
                if name not in given:
                    raise SettingsError(f"{name.upper()}: missing; production needs it")
            if self.key_is_remote:
                raise SettingsError("FCM_SERVICE_ACCOUNT_FILE: production needs a file, not a URL")
        if self.sandbox_url and not given & {"fcm_service_account_file", "fcm_base_url"}:
            self.fcm_service_account_file = f"{self.sandbox_url}/service-account.json"
            self.fcm_base_url = self.sandbox_url
            return self
        if not self.fcm_service_account_file:
            raise SettingsError(
                "FCM_SERVICE_ACCOUNT_FILE: missing; set it to the project's key file, or for the"
                f" sandbox to {SANDBOX_KEY_URL} and FCM_BASE_URL to the sandbox"
            )
        if self.key_is_remote and "fcm_base_url" not in given:
            raise SettingsError("FCM_BASE_URL: missing; point it at the sandbox that made the key")
        if not self.key_is_remote and "fcm_project_id" not in given:
            raise SettingsError("FCM_PROJECT_ID: missing; set it to the project of the key file")
        return self
