"""Firebase Cloud Messaging, HTTP v1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pyfcm.baseapi import BaseAPI

from clarion.errors import BadMessage, SendError
from clarion.notification import Priority, seconds_left
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
from clarion_push.content import PushMessage
from clarion_push.providers.fcm_errors import MEANINGS
from clarion_push.providers.fcm_token import AccessToken

MAX_BYTES = {"token": 4096, "topic": 2048, "condition": 2048}

MAX_TTL = 28 * 24 * 3600
"""The seconds for which FCM keeps a push at most, and by default."""

_TARGET_FIELD = {"token": "fcm_token", "topic": "topic_name", "condition": "topic_condition"}
_BAD_TOKEN = re.compile(r"registration token is not a valid", re.IGNORECASE)


class Fcm:
    """Hands pushes to FCM; its answer says that a push was accepted, never that it arrived.

    The SDK builds the payload and sends nothing: left to itself it posts one push up to 11 times.
    FCM cannot tell whether a push whose answer was lost had been accepted, so that each carries
    its notification's id as collapse id: on the device a second copy replaces the first.
    """

    name = "fcm"

    def __init__(
        self,
        transport: HttpTransport,
        token: AccessToken,
        project_id: str,
        *,
        base_url: str = "https://fcm.googleapis.com",
    ) -> None:
        self._transport = transport
        self._token = token
        self._url = f"{base_url.rstrip('/')}/v1/projects/{project_id}/messages:send"
        # it demands credentials when made, and does not look at them to build a payload
        self._builder = BaseAPI(credentials=token, project_id=project_id)

    async def send(self, message: PushMessage, attempt: Attempt) -> SentMessage:
        """Return once FCM has answered 200; the id is the message's resource name."""
        body = self._payload(message, attempt)
        token = await self._token.get()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        reply = await self._transport.post(self._url, body, headers)
        if reply.accepted:
            name = reply.json().get("name")
            return SentMessage(name if isinstance(name, str) and name else None)
        error = _error(reply, token)
        if reply.status == 401 and error.code != "THIRD_PARTY_AUTH_ERROR":
            self._token.drop(token)  # whether expired or revoked, the next try needs another
        raise error

    def _payload(self, message: PushMessage, attempt: Attempt) -> bytes:
        data = {**message.data, "nid": attempt.notification_id, "att": str(attempt.number)}
        visible = bool(message.title or message.body)
        payload: bytes = self._builder.parse_payload(
            **{_TARGET_FIELD[message.kind]: message.target},
            notification_title=message.title,
            notification_body=message.body,
            data_payload=data,
            android_config=_android(message, attempt, visible=visible),
            apns_config=_apns(message, attempt, visible=visible),
            webpush_config=_webpush(message, attempt),
        )
        _check_size(message, data)
        return payload


def _android(message: PushMessage, attempt: Attempt, *, visible: bool) -> dict[str, Any]:
    android: dict[str, Any] = {"priority": "HIGH" if _urgent(message) else "NORMAL"}
    if visible:
        android["notification"] = {"tag": attempt.notification_id}
    if message.expires_at is not None:
        android["ttl"] = f"{_ttl(message.expires_at)}s"
    return android


def _apns(message: PushMessage, attempt: Attempt, *, visible: bool) -> dict[str, Any]:
    headers = {"apns-collapse-id": attempt.notification_id}
    if message.expires_at is not None:
        headers["apns-expiration"] = str(int(message.expires_at.timestamp()))
    if visible:
        return {"headers": {**headers, "apns-priority": "10" if _urgent(message) else "5"}}
    # Apple refuses a background push of priority 10
    return {
        "headers": {**headers, "apns-priority": "5", "apns-push-type": "background"},
        "payload": {"aps": {"content-available": 1}},
    }


def _webpush(message: PushMessage, attempt: Attempt) -> dict[str, Any]:
    headers = {"Topic": web_topic(attempt.notification_id), "Urgency": str(message.priority)}
    if message.expires_at is not None:
        headers["TTL"] = str(_ttl(message.expires_at))
    return {"headers": headers}


def _ttl(expires_at: datetime) -> int:
    return min(seconds_left(expires_at), MAX_TTL)


def _urgent(message: PushMessage) -> bool:
    return message.priority is Priority.HIGH


def web_topic(notification_id: str) -> str:
    """Return a web push topic: at most 32 characters of URL-safe base64 (RFC 8030, 5.4).

    Of `notif_` and 32 hexadecimal digits only the digits fit.
    """
    return re.sub(r"[^A-Za-z0-9_-]", "", notification_id)[-32:]


def _check_size(message: PushMessage, data: dict[str, str]) -> None:
    content = {"title": message.title, "body": message.body, "data": data}
    size = len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    limit = MAX_BYTES[message.kind]
    if size > limit:
        raise BadMessage(f"title, body and data have {size} bytes of {limit}", code="size")


def _error(reply: Reply, token: str) -> SendError:
    error = reply.json().get("error")
    error = error if isinstance(error, dict) else {}
    code = _code(error)
    return _meaning(code, reply.status, error).to_error(
        excerpt(str(error.get("message") or ""), hide=token) or reply.text(hide=token),
        code or str(reply.status),
        reply.retry_after(),
    )


def _code(error: dict[str, Any]) -> str | None:
    """Return FCM's own code, which says more than the status beside it, else that status."""
    details = list(_details(error))
    if any(detail.get("reason") == "ACCESS_TOKEN_EXPIRED" for detail in details):
        return "ACCESS_TOKEN_EXPIRED"
    codes = [detail.get("errorCode") for detail in details] + [error.get("status")]
    return next((code for code in codes if isinstance(code, str) and code), None)


def _meaning(code: str | None, status: int, error: dict[str, Any]) -> Meaning:
    if code == "INVALID_ARGUMENT" and _names_token(error):
        return INVALID_RECIPIENT
    if code is None:
        return of_status(status)
    meaning = MEANINGS.get(code)
    if meaning is None:
        report_unknown("fcm", excerpt(code))
        return of_status(status)
    return meaning


def _names_token(error: dict[str, Any]) -> bool:
    if _BAD_TOKEN.search(str(error.get("message"))):
        return True
    return any(
        isinstance(violation, dict) and violation.get("field") == "message.token"
        for detail in _details(error)
        for violation in _list(detail.get("fieldViolations"))
    )


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (detail for detail in _list(error.get("details")) if isinstance(detail, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
