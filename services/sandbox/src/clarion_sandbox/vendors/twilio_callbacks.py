"""Twilio's status callbacks, and what a person writes back, as Twilio posts them:
www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
www.twilio.com/docs/messaging/guides/webhook-request
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from clarion_sandbox.inbox import Message

STATUSES: dict[str, dict[str, str]] = {
    "process": {"MessageStatus": "sent"},
    "deliver": {"MessageStatus": "delivered"},
    "read": {"MessageStatus": "read", "EventType": "READ"},
    "bounce": {
        "MessageStatus": "undelivered",
        "ErrorCode": "63024",
        "ErrorMessage": "Invalid message recipient",
    },
    "block": {
        "MessageStatus": "undelivered",
        "ErrorCode": "63049",
        "ErrorMessage": "Meta chose not to deliver this marketing message",
    },
    "close_window": {
        "MessageStatus": "undelivered",
        "ErrorCode": "63016",
        "ErrorMessage": "Freeform message outside of the allowed window",
    },
    # nobody reports a chat as spam to Twilio: who is tired of it blocks the sender
    "report_spam": {
        "MessageStatus": "undelivered",
        "ErrorCode": "63033",
        "ErrorMessage": "Recipient blocked to receive message",
    },
}


def request(message: Message, act: str) -> tuple[str, bytes, dict[str, str]] | None:
    """Return URL, body and headers of one callback; None where the message asked for none.

    Twilio signs with the account's token: the password that the message was sent with.
    """
    url, credentials = message.content.get("status_callback"), _credentials(message)
    if not url or credentials is None:
        return None
    account, token = credentials
    form = {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "ChannelInstallSid": "XE" + "0" * 32,
        "ChannelPrefix": "whatsapp",
        "ChannelToAddress": f"whatsapp:{message.recipient.to}",
        "From": f"whatsapp:{message.content.get('from', '')}",
        # blank, and signed all the same
        "MessagingServiceSid": "",
        "MessageSid": message.provider_message_id,
        "SmsSid": message.provider_message_id,
        "SmsStatus": STATUSES[act]["MessageStatus"],
        "To": f"whatsapp:{message.recipient.to}",
        **STATUSES[act],
    }
    return _signed(url, token, form)


def reply(message: Message, text: str) -> tuple[str, bytes, dict[str, str]] | None:
    """Return URL, body and headers of what the recipient of a message writes back.

    It goes to where the gateway takes inbound messages, beside the callback that the message named.
    """
    callback, credentials = message.content.get("status_callback"), _credentials(message)
    if not callback or credentials is None:
        return None
    account, token = credentials
    url = f"{callback.partition('?')[0]}/inbound"
    sid = "SM" + secrets.token_hex(16)
    form = {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "Body": text,
        "From": f"whatsapp:{message.recipient.to}",
        "MessageSid": sid,
        "MessageType": "text",
        "NumMedia": "0",
        "NumSegments": "1",
        "ProfileName": "A reader",
        "ReferralNumMedia": "0",
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": f"whatsapp:{message.content.get('from', '')}",
        "WaId": message.recipient.to.removeprefix("+"),
    }
    return _signed(url, token, form)


def _signed(url: str, token: str, form: dict[str, str]) -> tuple[str, bytes, dict[str, str]]:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "X-Twilio-Signature": signature(token, url, form),
    }
    return url, urlencode(form).encode(), headers


def signature(token: str, url: str, form: dict[str, str]) -> str:
    """Return `X-Twilio-Signature`: over the URL, then each name and value, sorted by name."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(
        hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()
    ).decode()


def _credentials(message: Message) -> tuple[str, str] | None:
    scheme, _, value = message.request.headers.get("authorization", "").partition(" ")
    try:
        account, colon, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (account, token) if scheme.lower() == "basic" and colon else None
