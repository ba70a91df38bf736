"""What Twilio's error codes mean: https://www.twilio.com/docs/api/errors and, for 63xxx,
https://www.twilio.com/docs/whatsapp/api/error-code-mapping

The same codes come with a 4xx answer and, later, with a status callback.
"""

from __future__ import annotations

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Reason
from clarion.provider import (
    BAD_MESSAGE,
    INVALID_RECIPIENT,
    MISCONFIGURED,
    REFUSED,
    TRANSIENT,
    UNSUBSCRIBED,
    Meaning,
    throttled,
)

_UNREACHABLE = Meaning(BadRecipient, Reason.UNREACHABLE)
_BLOCKED = Meaning(BadRecipient, Reason.BLOCKED)

OUTSIDE_WINDOW_CODE = 63016
OUTSIDE_WINDOW = Meaning(BadMessage, Reason.OUTSIDE_WINDOW)

MEANINGS: dict[int, Meaning] = {
    # the number is none, or none that a message could reach
    **dict.fromkeys((21211, 21214, 21217, 21401, 21407, 21614, 63003), INVALID_RECIPIENT),
    21612: _UNREACHABLE,
    63024: _UNREACHABLE,  # not a WhatsApp user
    # the user wants no messages
    21610: UNSUBSCRIBED,
    63014: _BLOCKED,
    63033: _BLOCKED,
    # only this message, to this user: an experiment, the marketing cap, the sandbox not joined
    **dict.fromkeys((63032, 63049, 63015), REFUSED),
    # outside of the 24 hours after the user's last message: only an approved template may go
    OUTSIDE_WINDOW_CODE: OUTSIDE_WINDOW,
    # body, media, template or variables
    **dict.fromkeys((21602, 21617, 21620, 21654, 21655, 21656, 21658), BAD_MESSAGE),
    **dict.fromkeys((63005, 63006, 63013, 63019, 63021, 63027, 63028, 63030), BAD_MESSAGE),
    **dict.fromkeys((63034, 63040, 63041, 63042), BAD_MESSAGE),
    # too fast: never processed, so always safe to send again
    **dict.fromkeys((20429, 14107, 21611, 30001, 63017), throttled(5)),
    63018: throttled(60),  # the channel's rate, or the daily tier of WhatsApp
    63038: throttled(3600),  # the daily cap
    # faults at Twilio's or WhatsApp's
    **dict.fromkeys((20500, 20503, 30008, 30410, 63009, 63010, 63012, 63023), TRANSIENT),
    # credentials, account, sender, permissions, callback
    **dict.fromkeys((10001, 20003, 20005, 20006, 20404), MISCONFIGURED),
    **dict.fromkeys((21212, 21408, 21601, 21603, 21606, 21608, 21609), MISCONFIGURED),
    **dict.fromkeys((21701, 21703, 30002), MISCONFIGURED),
    **dict.fromkeys((63001, 63002, 63007, 63008, 63020, 63022, 63051, 63112), MISCONFIGURED),
}
