"""SendGrid's Mail Send API, v3."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import to_json
from python_http_client.exceptions import HTTPError, err_dict

from clarion.errors import BadMessage, SendError
from clarion.notification import Channel
from clarion.provider import (
    INVALID_RECIPIENT,
    Attempt,
    HttpTransport,
    Meaning,
    Reply,
    SentMessage,
    excerpt,
    of_status,
    report_unknown,
)
from clarion.unsubscribe import UnsubscribeLinks
from clarion_email.content import EmailMessage
from clarion_email.providers.sendgrid_errors import MEANINGS

_RECIPIENT_FIELD = re.compile(r"personalizations\.\d+\.to\.\d+\.email")

# we measure nothing that a reader does, and the links in an email stay as they were written; the
# unsubscribe link is ours to add, as the preferences are ours
_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}


class SendGrid:
    """Hands emails to SendGrid, one request each.

    The request is a plain dict: the SDK's builder takes 47 us for what takes 1 us here, an eighth
    of a worker's whole time for a message. The SDK's client is not used either, see
    `HttpTransport`; of the SDK there remain its errors, as the cause of ours.
    """

    name = "sendgrid"

    def __init__(
        self,
        transport: HttpTransport,
        api_key: str,
        *,
        sender: str,
        sender_name: str,
        reply_to: str | None = None,
        base_url: str = "https://api.sendgrid.com",
        links: UnsubscribeLinks | None = None,
    ) -> None:
        self._transport = transport
        self._api_key = api_key
        self._url = f"{base_url.rstrip('/')}/v3/mail/send"
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._sender = {"email": sender, "name": sender_name}
        self._reply_to = reply_to
        self._links = links

    async def send(self, message: EmailMessage, attempt: Attempt) -> SentMessage:
        """Return once SendGrid has answered 202; the id is its `X-Message-Id`."""
        body = to_json(self._request(message, attempt))
        reply = await self._transport.post(self._url, body, self._headers)
        if reply.accepted:
            return SentMessage(reply.headers.get("X-Message-Id") or None)
        error = self._error(reply)
        # the SDK's error gets our text: the vendor's may hold addresses or the key
        raise error from err_dict.get(reply.status, HTTPError)(reply.status, "", error.text, {})

    def _request(self, message: EmailMessage, attempt: Attempt) -> dict[str, Any]:
        request: dict[str, Any] = {
            "personalizations": [
                {
                    "to": [{"email": message.to}],
                    # SendGrid gives them back with every event about this email
                    "custom_args": {"nid": attempt.notification_id, "att": str(attempt.number)},
                }
            ],
            "from": self._sender,
            "subject": message.subject,
            # text before HTML: the last part is the one that a reader prefers (RFC 2046, 5.1.4)
            "content": [
                {"type": kind, "value": value}
                for kind, value in (("text/plain", message.text), ("text/html", message.html))
                if value
            ],
            "categories": list(message.categories),
            "tracking_settings": _TRACKING,
        }
        if reply_to := message.reply_to or self._reply_to:
            request["reply_to"] = {"email": reply_to}
        if attempt.bulk:
            request["headers"] = self._one_click(message)
        return request

    def _one_click(self, message: EmailMessage) -> dict[str, str]:
        if self._links is None:
            raise BadMessage(
                "its template is marked bulk: set PUBLIC_URL and UNSUBSCRIBE_SECRET",
                code="unsubscribe",
            )
        # RFC 8058: mail programs post the second to the URL in the first
        return {
            "List-Unsubscribe": f"<{self._links.url(Channel.EMAIL, message.to)}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def _error(self, reply: Reply) -> SendError:
        errors = _errors(reply)
        text = "; ".join(f"{field}: {said}" if field else said for field, said in errors)
        return _meaning(reply, errors).to_error(
            excerpt(text, hide=self._api_key) or reply.text(hide=self._api_key),
            str(reply.status),
            # only the latter is documented for a 429; a proxy on the way may send the former
            reply.retry_after() or reply.reset_after("X-RateLimit-Reset"),
        )


def _meaning(reply: Reply, errors: list[tuple[str, str]]) -> Meaning:
    if reply.status == 400 and any(_RECIPIENT_FIELD.fullmatch(field) for field, _ in errors):
        return INVALID_RECIPIENT
    meaning = MEANINGS.get(reply.status)
    if meaning is None:
        report_unknown("sendgrid", str(reply.status))
        return of_status(reply.status)
    return meaning


def _errors(reply: Reply) -> list[tuple[str, str]]:
    """Return field and message of each error; the field is empty where SendGrid names none, as
    which its own documentation has the text `null`."""
    listed = reply.json().get("errors")
    return [
        (str(item.get("field") or "").removeprefix("null"), str(item.get("message")))
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
