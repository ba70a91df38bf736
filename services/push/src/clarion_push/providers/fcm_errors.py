"""What FCM's error codes mean: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode

An INVALID_ARGUMENT for the token is told from the others by the field that it names. Below the
line are the codes of Google's APIs at large, where FCM gives none of its own:
https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

from clarion.errors import BadRecipient
from clarion.notification import Reason
from clarion.provider import (
    BAD_MESSAGE,
    INVALID_RECIPIENT,
    MISCONFIGURED,
    PARTLY_MISCONFIGURED,
    TRANSIENT,
    Meaning,
    throttled,
)

MEANINGS: dict[str, Meaning] = {
    "UNREGISTERED": Meaning(BadRecipient, Reason.TOKEN_UNREGISTERED),
    "SENDER_ID_MISMATCH": INVALID_RECIPIENT,  # the token is another project's
    "INVALID_ARGUMENT": BAD_MESSAGE,
    "QUOTA_EXCEEDED": throttled(60),
    # the project's APNs key or web push certificate: pushes to Android go on
    "THIRD_PARTY_AUTH_ERROR": PARTLY_MISCONFIGURED,
    "UNAVAILABLE": TRANSIENT,
    "INTERNAL": TRANSIENT,
    # a token that ended early, or a clock that is wrong: fetch another and try again
    "ACCESS_TOKEN_EXPIRED": TRANSIENT,
    # ---
    "UNAUTHENTICATED": MISCONFIGURED,
    "PERMISSION_DENIED": MISCONFIGURED,
    "NOT_FOUND": MISCONFIGURED,  # no such project; an unknown token is UNREGISTERED
    "RESOURCE_EXHAUSTED": throttled(60),
    "DEADLINE_EXCEEDED": TRANSIENT,
}
