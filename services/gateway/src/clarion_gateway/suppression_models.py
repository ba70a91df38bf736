"""The bodies and queries of /v1/suppressions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from clarion.errors import InvalidEvent
from clarion.event import recipient_of
from clarion.notification import Channel, Reason
from clarion.suppression import KINDS, Kind, Suppression
from clarion_gateway.models import Limit

Address = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]

_FIELDS = {Channel.EMAIL: "email", Channel.WHATSAPP: "phone", Channel.PUSH: "device_token"}


class SuppressionRequest(BaseModel):
    """An address that is not to be written to from now on."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"example": {"channel": "email", "address": "ann@example.com"}},
    )

    channel: Channel
    address: Address = Field(description="An email address, a number in E.164, or a device token.")
    kind: Kind | None = Field(
        None,
        description="`wish` (a transactional template still goes) or `fault` (nothing goes); by "
        "default what the reason is.",
    )
    reason: Reason = Reason.SUPPRESSED

    @field_validator("address")
    @classmethod
    def _is_of_its_channel(cls, address: str, info: ValidationInfo) -> str:
        channel = info.data.get("channel")
        if channel is not None:  # else that is what is wrong
            try:
                recipient_of(channel, {_FIELDS[channel]: address})
            except InvalidEvent as error:
                raise ValueError(error.problems[0].message) from error
        return address

    @field_validator("reason")
    @classmethod
    def _has_a_kind(cls, reason: Reason) -> Reason:
        if reason not in KINDS:
            raise ValueError(f"must be one of {', '.join(KINDS)}")
        return reason

    def suppression(self, source: str) -> Suppression:
        """Return what is to be kept."""
        kind = self.kind or KINDS[self.reason]
        return Suppression(self.channel, self.address, kind, self.reason, source, datetime.now(UTC))


class SuppressionView(BaseModel):
    """An address that is not written to."""

    channel: Channel
    address: str
    kind: Kind
    reason: Reason
    source: str = Field(description="What it was learned from: a receipt, an answer, a key's name.")
    created_at: datetime


class SuppressionPage(BaseModel):
    """One page of suppressions, in the order of channel and address."""

    suppressions: list[SuppressionView]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page.")

    @classmethod
    def of(cls, page: list[Suppression], cursor: str | None) -> SuppressionPage:
        """Return the view of a page."""
        views = [SuppressionView.model_validate(one, from_attributes=True) for one in page]
        return cls(suppressions=views, next_cursor=cursor)


class SuppressionQuery(BaseModel):
    """Which suppressions to list."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    channel: Channel | None = None
    address: Address | None = None
    limit: Limit = 100
    cursor: Annotated[str, Field(min_length=1, max_length=12_000)] | None = Field(
        None, description="`next_cursor` of the page before."
    )


class SuppressionEnd(BaseModel):
    """Which address may be written to again."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    channel: Channel
    address: Address
    kind: Kind | None = Field(None, description="Only this kind; both where it is left out.")


class SuppressionsEnded(BaseModel):
    """How many suppressions ended."""

    ended: int
