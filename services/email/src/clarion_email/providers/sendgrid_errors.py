"""What SendGrid's answers mean: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors

A 400 for the recipient's address is told from the others by the field that it names.
"""

from __future__ import annotations

from clarion.provider import BAD_MESSAGE, MISCONFIGURED, TRANSIENT, Meaning, throttled

MEANINGS: dict[int, Meaning] = {
    400: BAD_MESSAGE,
    413: BAD_MESSAGE,
    415: BAD_MESSAGE,
    401: MISCONFIGURED,  # a bad key, and also "Maximum credits exceeded"
    403: MISCONFIGURED,  # the sender is not verified, or blocked for repeated bad requests
    404: MISCONFIGURED,
    405: MISCONFIGURED,
    406: MISCONFIGURED,
    451: MISCONFIGURED,  # the data residency of the account is another region's
    429: throttled(10),
    500: TRANSIENT,
    502: TRANSIENT,
    503: TRANSIENT,
    504: TRANSIENT,
}
