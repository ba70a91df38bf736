"""Settings from the environment, `.env` and a secrets folder, read once at the entry point."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import unquote

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from clarion.amqp_url import node_urls
from clarion.circuit import CircuitPolicy
from clarion.errors import SettingsError
from clarion.notification import OnDoubt
from clarion.retry import RetryPolicy

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

CONFIG = SettingsConfigDict(
    env_file=".env", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
)
"""Of every settings class, each of its bases included: the last base's would win."""


class CommonSettings(BaseSettings):
    """What every service needs."""

    model_config = CONFIG

    environment: Literal["development", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    host: str = "127.0.0.1"
    broker_url: SecretStr = Field(
        SecretStr("amqp://guest:guest@localhost:5672/"),
        description="`amqp://user:password@host:5672/vhost`, with the nodes of a cluster separated "
        "by commas (`host1:5672,host2:5672`), or `memory://` within one process",
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://clarion:clarion@localhost:5432/clarion"),
        description="`postgresql://user:password@host/name` or `sqlite:///path`",
    )
    templates_dir: Path = Path("shared/templates")
    on_doubt: OnDoubt = Field(
        OnDoubt.RESEND,
        description="what follows a call without an answer where neither event nor template says",
    )

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition("://")[0]
        if scheme not in {"amqp", "amqps", "memory"}:
            raise ValueError("must start with amqp://, amqps:// or memory://")
        if scheme != "memory":
            node_urls(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition("://")[0]
        if scheme not in {"postgresql", "sqlite"}:
            raise ValueError("must start with postgresql:// or sqlite:///")
        return value


class RetentionSettings(BaseSettings):
    """How long notifications are kept once they are finished."""

    model_config = CONFIG

    retention_days: float = Field(
        90.0, ge=0, description="days that a finished notification is kept; 0: for ever"
    )
    dead_retention_days: float = Field(
        365.0, ge=0, description="the same for a dead letter that nobody replayed or discarded"
    )


class WorkerSettings(CommonSettings):
    """What a channel's worker needs beyond its provider's credentials."""

    port: int = Field(3002, ge=0, le=65535)
    retry_attempts: int = Field(3, ge=0, le=100, description="retries after the first attempt")
    retry_delay_ms: int = Field(2000, ge=1, description="wait before the first retry")
    retry_backoff: Literal["exponential", "linear"] = "exponential"
    retry_cap_ms: int = Field(3_600_000, ge=1, description="the longest wait of the policy")
    lease_seconds: float = Field(
        60.0, gt=0, description="how long a claim holds; longer than a provider call may take"
    )
    doubt_grace_seconds: float = Field(
        60.0, ge=0, description="how long a receipt may settle a doubt before it is sent again"
    )
    provider_timeout_seconds: float = Field(15.0, gt=0)
    provider_rate: float | None = Field(
        None, gt=0, description="calls a second to the provider, at most, of this process"
    )
    circuit_faults: int = Field(
        10, ge=1, description="faults in a row after which the provider is left alone"
    )
    circuit_seconds: float = Field(
        30.0, gt=0, description="for how long; doubles up to 5 minutes while probes fail"
    )
    prefetch_high: int = Field(200, ge=1, le=1000)
    prefetch_normal: int = Field(400, ge=1, le=1000)
    prefetch_low: int = Field(64, ge=1, le=1000)
    drain_seconds: float = Field(20.0, ge=0, description="how long a stop waits for what is sent")
    sandbox_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+$",
        description="in development, the provider where no credentials and no base URL are set",
    )

    @model_validator(mode="after")
    def _lease_outlasts_the_call(self) -> Self:
        if self.lease_seconds <= self.provider_timeout_seconds:
            raise SettingsError(
                f"LEASE_SECONDS: {self.lease_seconds:g} is not longer than"
                f" PROVIDER_TIMEOUT_SECONDS ({self.provider_timeout_seconds:g}): another worker"
                " would take a call under way for lost and make it again; raise the one or lower"
                " the other"
            )
        return self

    def circuit_policy(self) -> CircuitPolicy:
        """Return when the circuit opens, as these settings describe it."""
        return CircuitPolicy(faults=self.circuit_faults, seconds=self.circuit_seconds)

    def retry_policy(self) -> RetryPolicy:
        """Return the policy that these settings describe."""
        return RetryPolicy(
            attempts=self.retry_attempts,
            delay=self.retry_delay_ms / 1000,
            backoff=self.retry_backoff,
            cap=self.retry_cap_ms / 1000,
        )


def load(settings_class: type[SettingsT], **given: Any) -> SettingsT:
    """Return the settings of this process; those in `given` are not asked of its environment.

    `SECRETS_DIR` (default `/run/secrets`, if there) may hold one file per setting. Raises
    `SettingsError` with one line that names each wrong variable and how to mend it.
    """
    secrets = secrets_folder()
    try:
        # the model's own defaults fill what the environment leaves out
        return settings_class(_secrets_dir=secrets if secrets.is_dir() else None, **given)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_say, error.errors()))) from error


def secrets_of(settings: BaseSettings) -> set[str]:
    """Return what no log line may hold: every secret setting, and the passwords in its URLs."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            secret = value.get_secret_value()
            password = secret.rpartition("@")[0].rpartition("/")[2].partition(":")[2]
            found |= {secret, password, unquote(password)} - {""}
    return found


def secrets_folder() -> Path:
    """Return where one file per setting may lie."""
    return Path(os.environ.get("SECRETS_DIR", "/run/secrets"))


def _say(problem: ErrorDetails) -> str:
    variable = "_".join(str(part) for part in problem["loc"]).upper() or "settings"
    return f"{variable}: {problem['msg']}"
