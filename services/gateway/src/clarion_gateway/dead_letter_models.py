"""The bodies of requests and answers about dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from clarion.event import Identifier, Moment, TemplateId
from clarion.notification import Channel, Reason, Status
from clarion.store.base import NotificationRecord
from clarion.store.letters import DeadQuery
from clarion_gateway.models import Limit, NotificationView
from clarion_gateway.problems import FieldError

MOST_IDS = 500

NotificationId = Annotated[str, Field(pattern=r"^notif_[0-9A-Za-z_-]{1,64}$")]

_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Narrowing(BaseModel):
    """Which dead letters are meant; each field narrows it."""

    model_config = _STRICT

    producer: Identifier | None = Field(None, description="The name of the key that sent it.")
    channel: Channel | None = None
    status: Literal["failed", "in_doubt"] | None = Field(
        None, description="`in_doubt`: held, since the provider may have accepted it."
    )
    reason: Reason | None = None
    template: TemplateId | None = None
    provider_code: Identifier | None = None
    since: Moment | None = Field(None, description="Given up at this time or later.")
    until: Moment | None = Field(None, description="Given up before this time.")

    def query(self) -> DeadQuery:
        """Return what the store is asked for."""
        fields = {name: getattr(self, name) for name in Narrowing.model_fields}
        return DeadQuery(**fields | {"status": Status(self.status) if self.status else None})


class DeadListing(Narrowing):
    """Which dead letters to list."""

    limit: Limit = 50
    cursor: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="`next_cursor` of the page before."
    )


class DeadGroupView(BaseModel):
    """Dead letters that ended alike; the times are when the first and the last of them did."""

    channel: Channel
    status: Status
    reason: Reason | None
    template_id: str
    provider: str | None
    provider_code: str | None
    count: int
    oldest: datetime
    newest: datetime


class DeadGroupList(BaseModel):
    """The groups, the largest first."""

    groups: list[DeadGroupView]
    complete: bool = Field(
        description="False where only the newest 100,000 letters, or the largest 1,000 groups, "
        "are counted."
    )


class DeadLetterView(NotificationView):
    """A notification that people must see to."""

    dead_at: datetime = Field(description="When it was given up, or held in doubt.")

    @classmethod
    def of_letter(cls, record: NotificationRecord) -> DeadLetterView:
        """Return the view of a dead letter."""
        view = NotificationView.of(record).model_dump()
        return cls(**view, dead_at=record.dead_at or record.updated_at)


class DeadLetterPage(BaseModel):
    """One page of dead letters, newest first."""

    dead_letters: list[DeadLetterView]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page.")


class DeadFilter(Narrowing):
    """Dead letters by what they have in common; every one of them only where `all` says so."""

    all: StrictBool = Field(False, description="Every dead letter; then nothing else narrows it.")


class Order(BaseModel):
    """Which dead letters an order is for: `ids`, or a `filter`."""

    model_config = _STRICT

    ids: Annotated[list[NotificationId], Field(min_length=1, max_length=MOST_IDS)] | None = None
    filter: DeadFilter | None = None
    after: NotificationId | None = Field(
        None, description="Go on with a filter beyond this id: `next` of the answer before."
    )
    limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(
        None, description="Stop after so many are done."
    )
    dry_run: StrictBool = Field(False, description="Change nothing, and tell what would happen.")


class ReplayOrder(Order):
    """Which dead letters to send again, how fast, and what to mend in them first."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={
            "example": {
                "filter": {"channel": "email", "reason": "template_error"},
                "rate": 20,
                "dry_run": True,
            }
        }
    )

    rate: Annotated[float, Field(strict=True, ge=0.01, le=10_000)] | None = Field(
        None, description="How many become due in a second; all at once if left out."
    )
    payload: dict[str, Any] | None = Field(
        None, description="Merged into each letter's payload (RFC 7396): null takes a key out."
    )
    template_id: TemplateId | None = Field(None, description="The template to use instead.")


class DiscardOrder(Order):
    """Which dead letters to take off the list for good."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"example": {"filter": {"reason": "token_unregistered"}, "dry_run": True}}
    )


Obstacle = Literal["unknown", "not_dead", "expired", "invalid", "recipient", "moved_on"]


class Skip(BaseModel):
    """A letter that was left as it is, and why.

    `unknown`: there is none of this id. `not_dead`: it is not a dead letter. `expired`: its
    `expires_at` is past. `invalid`: it would fail again at once, see `errors`. `recipient`: the
    payload would redirect it, which takes its id. `moved_on`: somebody was faster.
    """

    notification_id: str
    obstacle: Obstacle
    detail: str
    errors: list[FieldError] = Field(default_factory=list)


class Report(BaseModel):
    """What an order came to. `matched` and `remaining` are counted up to 100,000."""

    dry_run: bool
    matched: int = Field(description="Dead letters that the order found.")
    skipped: int
    skips: list[Skip] = Field(description=f"The first {MOST_IDS} that were left as they are.")
    remaining: int = Field(description="Matched, and not looked at in this request.")
    next: str | None = Field(description="To go on, send the same order with this as `after`.")
    detail: str = Field(description="The same in words.")


class ReplayReport(Report):
    """What a replay came to."""

    replayed: int
    until: datetime | None = Field(
        description="When the last of them is due by the `rate`; null: at once."
    )


class DiscardReport(Report):
    """What a discard came to."""

    discarded: int
