"""Every error of Clarion, each named for what the caller does next.

ClarionError
├── SettingsError            stop the start; the operator mends the named setting
├── InvalidEvent             refuse the event; its sender mends the named fields
├── MessageIdConflict        refuse the event; its message_id was used for another body
├── TemplateError
│   ├── TemplateNotFound     refuse the event, or dead-letter the notification
│   └── TemplateInvalid      dead-letter the notification; the template's author mends it
├── BrokerError
│   ├── BrokerUnavailable    wait, then publish or consume again
│   ├── QueueFull            wait, then publish to this lane again
│   ├── Unroutable           alarm: no queue is bound for the routing key
│   └── TopologyMismatch     stop the start; the operator mends the broker's definitions
├── StoreError
│   ├── StoreUnavailable     wait, then do it again
│   └── RowRefused           give up this row alone; the database cannot hold it
└── SendError                what a provider's answer, or silence, means
    ├── Transient            retry by policy
    ├── Throttled            wait as told; costs no attempt
    ├── Ambiguous            the provider may have accepted it: settle the doubt first
    ├── BadRecipient         fail at once; this address will not do
    ├── BadMessage           fail at once; this content will not do
    └── Misconfigured        keep the notification; the operator mends credentials or sender
        └── PartlyMisconfigured  likewise, for recipients of this kind; the others go on
"""

from __future__ import annotations

from dataclasses import dataclass


class ClarionError(Exception):
    """The base of every error that Clarion raises on purpose."""


class SettingsError(ClarionError):
    """A setting is missing or wrong; the message names it and how to mend it."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with an event: the field's path (`payload.email`) and what to do about it."""

    path: str
    message: str


class InvalidEvent(ClarionError):
    """An event that cannot be accepted, with every field that is wrong."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.path}: {problem.message}" for problem in problems))


class MessageIdConflict(ClarionError):
    """A message_id that was already accepted with another body."""

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        super().__init__(f"message_id {message_id!r} was already used for a different event")


class TemplateError(ClarionError):
    """The base of what can be wrong with a template."""


class TemplateNotFound(TemplateError):
    """No template of that name has parts for that channel."""


class TemplateInvalid(TemplateError):
    """A template that does not compile, or does not render with the variables that it was given."""


class BrokerError(ClarionError):
    """The base of what can go wrong between us and the broker."""


class BrokerUnavailable(BrokerError):
    """The broker did not take responsibility for a message: try again later."""


class QueueFull(BrokerError):
    """The broker does not hold the message, as its lane has no room, or nobody who leads it for a
    moment: wait, then publish to this lane again. Other lanes go on."""


class Unroutable(BrokerError):
    """The broker has no queue for the routing key: its definitions are not ours."""


class TopologyMismatch(BrokerError):
    """The broker lacks an exchange or queue that the topology needs, or has it otherwise."""


class StoreError(ClarionError):
    """The base of what can go wrong between us and the database."""


class StoreUnavailable(StoreError):
    """The database did not answer: nothing is known to be written, try again later."""


class RowRefused(StoreError):
    """The database refused this row for what is in it; trying again cannot help."""


class SendError(ClarionError):
    """What a provider's answer, or its silence, means for the notification.

    `reason` is one of `clarion.notification.Reason`; `code` and `text` are the vendor's own.
    `retry_after` is in seconds, where the vendor told one.
    """

    reason = "provider_rejected"

    def __init__(
        self,
        text: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.text = text
        self.code = code
        self.reason = reason or type(self).reason
        self.retry_after = retry_after
        super().__init__(f"{code}: {text}" if code else text)


class Transient(SendError):
    """The provider did not accept it and may do so later."""

    reason = "provider_down"


class Throttled(SendError):
    """The provider asks us to slow down; nothing was processed."""

    reason = "rate_limited"


class Ambiguous(SendError):
    """The request left and no answer came: the provider may have accepted it."""

    reason = "timeout"


class BadRecipient(SendError):
    """The provider will not deliver to this recipient."""

    reason = "invalid_recipient"


class BadMessage(SendError):
    """The provider will not accept this content, whoever it is for."""

    reason = "provider_rejected"


class Misconfigured(SendError):
    """Our account, credentials or sender are not in order: nothing on this channel can go."""

    reason = "provider_auth"


class PartlyMisconfigured(Misconfigured):
    """What this kind of recipient needs is not in order; the channel's other recipients go on."""
