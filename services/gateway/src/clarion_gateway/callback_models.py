"""The bodies and queries of /v1/callbacks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clarion.store.callbacks import Callback
from clarion.store.outbox import EVENT_ID
from clarion_gateway.auth import NAME
from clarion_gateway.models import Limit

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
EventId = Annotated[str, Field(pattern=f"^{EVENT_ID}$")]
MOST_REPLAYED = 1000


class CallbackView(BaseModel):
    """A status event that an application has not taken yet."""

    event_id: str
    notification_id: str
    sequence: int
    key: str = Field(description="The name of the API key whose application is called.")
    state: Literal["waiting", "dead"]
    attempts: int = Field(description="Calls so far, since it was last replayed.")
    last_error: str | None
    created_at: datetime
    due_at: datetime | None = Field(description="When it is called next, at the earliest.")
    dead_at: datetime | None = Field(description="When it was given up.")

    @classmethod
    def of(cls, callback: Callback) -> CallbackView:
        """Return the view of a callback."""
        dead = callback.dead_at is not None
        return cls(
            event_id=callback.event_id,
            notification_id=callback.notification_id,
            sequence=callback.sequence,
            key=callback.producer,
            state="dead" if dead else "waiting",
            attempts=callback.attempts,
            last_error=callback.last_error,
            created_at=callback.created_at,
            due_at=None if dead else callback.due_at,
            dead_at=callback.dead_at,
        )


class CallbackPage(BaseModel):
    """One page of callbacks, in the order of their notifications."""

    callbacks: list[CallbackView]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page.")


class CallbackQuery(BaseModel):
    """Which callbacks to list."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: Name | None = Field(None, description="Of this API key's application alone.")
    state: Literal["waiting", "dead"] | None = None
    limit: Limit = 100
    cursor: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="`next_cursor` of the page before."
    )


class CallbackReplay(BaseModel):
    """Which callbacks that were given up are made again."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"example": {"key": "shop"}}
    )

    ids: Annotated[list[EventId], Field(min_length=1, max_length=MOST_REPLAYED)] | None = Field(
        None, description="Either these, or all of a `key`."
    )
    key: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.key is None):
            raise ValueError("give either ids, or the key whose callbacks are meant")
        return self


class CallbacksReplayed(BaseModel):
    """How many callbacks are due again."""

    replayed: int
    more: bool = Field(description="Whether there may be more of them: ask once more.")
