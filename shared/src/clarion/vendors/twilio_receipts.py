"""What Twilio's statuses of a message mean, whether it told them or was asked.

https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
"""

from __future__ import annotations

from datetime import datetime

from clarion.notification import Reason
from clarion.provider import excerpt, report_unknown
from clarion.receipt import Fact, Receipt
from clarion.suppression import KINDS, Kind
from clarion.vendors.twilio_errors import MEANINGS

# MessageStatus of the Message resource; any of them proves that Twilio took the message
FACTS: dict[str, Fact] = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), Fact.PROCESSED),
    "delivered": Fact.DELIVERED,
    "read": Fact.READ,
    **dict.fromkeys(("undelivered", "failed", "canceled"), Fact.UNDELIVERED),
}

BY_CODE = {str(code): meaning for code, meaning in MEANINGS.items()}


def receipt_of(
    notification_id: str,
    attempt: int,
    sid: str,
    status: str,
    error_code: str | None,
    error_message: str | None,
    now: datetime,
) -> Receipt:
    """Return what a status of FACTS says of an attempt, whether Twilio told it or was asked."""
    fact = FACTS[status]
    reason, suppresses = _meaning(fact, error_code)
    return Receipt(
        key=f"twilio/{excerpt(sid)[:64]}/{status}",
        provider="twilio",
        notification_id=excerpt(notification_id),
        attempt=attempt,
        fact=fact,
        at=now,
        provider_message_id=excerpt(sid)[:64],
        reason=reason,
        code=excerpt(error_code)[:64] if error_code else None,
        text=excerpt(error_message) if error_message else status,
        suppresses=suppresses,
    )


def _meaning(fact: Fact, error_code: str | None) -> tuple[Reason | None, Kind | None]:
    """Return why a message did not arrive, by the table of what Twilio answers at once."""
    if fact is not Fact.UNDELIVERED:
        return None, None
    meaning = BY_CODE.get(error_code or "")
    if meaning is None:
        if error_code:
            report_unknown("twilio", excerpt(error_code)[:64])
        return Reason.PROVIDER_REJECTED, None
    reason = Reason(meaning.to_error("", "").reason)
    return reason, KINDS.get(reason)
