"""Fault rules: which calls fail, how, and how often."""

from __future__ import annotations

import fnmatch
import random
import re
from collections import OrderedDict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from clarion_sandbox.vendor import Recipient

REMEMBERED_NOTIFICATIONS = 100_000
_SEED = 8025


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StatusAction(_Strict):
    """Answer with this status and do nothing; without a body, in the vendor's own words."""

    type: Literal["status"] = "status"
    code: int = Field(ge=200, le=599)
    body: dict[str, Any] | list[Any] | str | None = None
    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")],
        Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")],
    ] = {}


class DelayAction(_Strict):
    """Process the call at once, and answer it that many seconds late."""

    type: Literal["delay"] = "delay"
    seconds: float = Field(gt=0, le=3600)


class HangAction(_Strict):
    """Do nothing, and keep the connection open without an answer."""

    type: Literal["hang"] = "hang"


class DropAction(_Strict):
    """Do nothing, and close the connection without an answer."""

    type: Literal["drop"] = "drop"


class AcceptThenDropAction(_Strict):
    """Accept the message, then close the connection without an answer."""

    type: Literal["accept_then_drop"] = "accept_then_drop"


Action = Annotated[
    StatusAction | DelayAction | HangAction | DropAction | AcceptThenDropAction,
    Field(discriminator="type"),
]


class Rule(_Strict):
    """Which calls an action meets: all conditions that are set must hold."""

    channel: Literal["email", "whatsapp", "push"] | None = None
    to: str = Field("*", min_length=1, description="glob over the address, whatever its case")
    times: int | None = Field(None, ge=1, description="how often it acts; always if left out")
    per: Literal["rule", "notification"] = Field(
        "rule", description="whether `times` counts for the rule, or for each notification"
    )
    share: float = Field(1.0, gt=0, le=1, description="share of the matching calls that it meets")
    action: Action


RULES = TypeAdapter(list[Rule])


class ActiveRule:
    """A rule and how often it has acted."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.fired = 0
        self._to = re.compile(fnmatch.translate(rule.to.casefold()))
        # the same calls in the same order meet the same faults
        self._random = random.Random(_SEED)
        self._per_notification: OrderedDict[str, int] = OrderedDict()

    def fires(self, channel: str, recipient: Recipient) -> bool:
        """Return whether the rule acts on this call, and count it if so."""
        rule = self.rule
        if rule.channel not in {None, channel} or not self._to.match(recipient.to.casefold()):
            return False
        key = "" if rule.per == "rule" else recipient.notification_id or recipient.to
        done = self.fired if rule.per == "rule" else self._per_notification.get(key, 0)
        if rule.times is not None and done >= rule.times:
            return False
        if rule.share < 1 and self._random.random() >= rule.share:
            return False
        self.fired += 1
        if rule.per == "notification" and rule.times is not None:
            self._per_notification[key] = done + 1
            if len(self._per_notification) > REMEMBERED_NOTIFICATIONS:
                self._per_notification.popitem(last=False)
        return True

    def as_json(self) -> dict[str, Any]:
        """Return the rule as the API shows it."""
        return {**self.rule.model_dump(mode="json"), "fired": self.fired}


class FaultBook:
    """The rules in force: the user's in their order, then those of the magic addresses."""

    def __init__(self, magic: dict[tuple[str, str], Rule]) -> None:
        self._magic = {key: ActiveRule(rule) for key, rule in magic.items()}
        self._rules: list[ActiveRule] = []
        self.changes = 0

    def replace(self, rules: list[Rule]) -> None:
        """Put these rules in force, and forget the former ones and their counts."""
        self.changes += 1
        self._rules = [ActiveRule(rule) for rule in rules]

    def rules(self) -> list[dict[str, Any]]:
        """Return the user's rules and how often each has acted."""
        return [active.as_json() for active in self._rules]

    def pick(self, channel: str, recipients: list[Recipient]) -> Action | None:
        """Return the action that meets a call; the first rule that fires wins."""
        for recipient in recipients:
            for active in self._rules:
                if active.fires(channel, recipient):
                    return active.rule.action
            magic = self._magic.get((channel, recipient.to.casefold()))
            if magic is not None and magic.fires(channel, recipient):
                return magic.rule.action
        return None
