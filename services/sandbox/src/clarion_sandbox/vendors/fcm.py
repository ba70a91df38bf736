"""FCM: `messages:send` (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send)."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from clarion_sandbox.answer import Answer, json_answer
from clarion_sandbox.oauth import TokenState, token_state
from clarion_sandbox.vendor import (
    Accepted,
    Recipient,
    Unreadable,
    VendorRequest,
    attempt_of,
    text_or_none,
)

TARGETS = ("token", "fid", "topic", "condition")
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
TOPIC = re.compile(r"[a-zA-Z0-9-_.~%]+")
RESERVED_DATA = re.compile(r"from|message_type|google\..*|gcm\.notification\..*")
MAX_PAYLOAD_BYTES = 4096
MAX_TOPIC_PAYLOAD_BYTES = 2048
INVALID_TOKEN = "The registration token is not a valid FCM registration token"  # noqa: S105

# HTTP status -> Google's status, FCM's errorCode, message
# (firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode)
ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT", INVALID_TOKEN),
    401: (
        "UNAUTHENTICATED",
        None,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential.",
    ),
    403: ("PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"),
    404: ("NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded for the project."),
    500: ("INTERNAL", "INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
}


class Fcm:
    """FCM's answer to one push message."""

    name = "fcm"
    channel = "push"

    def read(self, body: bytes) -> Any:
        """Return the JSON document. Raises `Unreadable`."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("message"), dict):
            raise Unreadable(_invalid("message", "Invalid JSON payload received."))
        return document

    def recipients(self, document: Any) -> list[Recipient]:
        """Return the target; our ids are in the message's data."""
        message = document["message"]
        data = message.get("data")
        ids = data if isinstance(data, dict) else {}
        nid, att = text_or_none(ids.get("nid")), attempt_of(ids.get("att"))
        return [Recipient(_target(message), nid, att)]

    def unauthorised(self, request: VendorRequest) -> Answer | None:
        """Take the tokens of our own token endpoint, for one hour."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        state = token_state(token.strip()) if scheme.lower() == "bearer" else TokenState.UNKNOWN
        if state is TokenState.VALID:
            return None
        expired = state is TokenState.EXPIRED
        reason = "ACCESS_TOKEN_EXPIRED" if expired else "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        details = [{"@type": ERROR_INFO, "reason": reason, "domain": "googleapis.com"}]
        status, _, message = ERRORS[401]
        return _error(401, status, message, details)

    def refusal(self, request: VendorRequest) -> Answer | None:
        """Return the first broken rule, as FCM does."""
        message = request.document["message"]
        return _target_problem(message) or _data_problem(message) or _size_problem(message)

    def broken_contract(self, violations: list[str]) -> Answer:
        """Name each field that breaks the contract."""
        parts = [violation.partition(": ") for violation in violations]
        fields = [{"field": field, "description": text} for field, _, text in parts]
        details = [{"@type": BAD_REQUEST, "fieldViolations": fields}]
        text = "Invalid JSON payload received. " + "; ".join(violations)
        return _error(400, "INVALID_ARGUMENT", text, details)

    def accept(self, request: VendorRequest) -> Accepted:
        """Answer 200 with the message's name; a message to be checked only goes nowhere."""
        document = request.document
        check_only = document.get("validate_only") or document.get("validateOnly")
        message_id = "fake_message_id" if check_only else f"0:{time.time_ns() // 1000}%"
        message_id += "" if check_only else secrets.token_hex(8)
        name = f"projects/{request.path_params['project']}/messages/{message_id}"
        messages = [] if check_only else [(self.recipients(document)[0], _content(document))]
        return Accepted(json_answer(200, {"name": name}), name, messages)

    def error(self, status: int) -> Answer:
        """Return Google's error body for a status."""
        known = ERRORS.get(status)
        google, code, message = known or ("UNKNOWN", None, f"error {status}")
        details: list[Mapping[str, Any]] = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
        return _error(status, google, message, details)


def _error(status: int, google: str, message: str, details: list[Any]) -> Answer:
    error: dict[str, Any] = {"code": status, "message": message, "status": google}
    if details:
        error["details"] = details
    return json_answer(status, {"error": error})


def _invalid(field: str, text: str) -> Answer:
    details = [
        {"@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT"},
        {"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": text}]},
    ]
    return _error(400, "INVALID_ARGUMENT", text, details)


def _target(message: dict[str, Any]) -> str:
    for kind in TARGETS:
        value = message.get(kind)
        if isinstance(value, str):
            return value if kind in {"token", "fid"} else f"{kind}:{value}"
    return ""


def _target_problem(message: dict[str, Any]) -> Answer | None:
    given = [kind for kind in TARGETS if kind in message]
    if not given:
        return _invalid("message", "Recipient of the message is not set.")
    if len(given) > 1:
        return _invalid("message", f"Only one recipient may be set, not {' and '.join(given)}.")
    kind, value = given[0], message[given[0]]
    if not isinstance(value, str) or not value:
        return _invalid(f"message.{kind}", f"Invalid value at 'message.{kind}' (TYPE_STRING)")
    if kind in {"token", "fid"} and re.search(r"\s", value):
        return _invalid("message.token", INVALID_TOKEN)
    if kind == "topic" and not TOPIC.fullmatch(value):
        return _invalid("message.topic", "Malformed topic name")
    return None


def _data_problem(message: dict[str, Any]) -> Answer | None:
    data = message.get("data", {})
    if not isinstance(data, dict):
        return _invalid("message.data", "Invalid value at 'message.data' (TYPE_MAP)")
    for key, value in data.items():
        if not isinstance(value, str):
            where = f"message.data.{key}"
            return _invalid(where, f"Invalid value at '{where}' (TYPE_STRING), {value!r}")
        if RESERVED_DATA.fullmatch(key):
            return _invalid(f"message.data.{key}", f"Invalid data payload key: {key}")
    return None


def _size_problem(message: dict[str, Any]) -> Answer | None:
    parts = {key: message[key] for key in ("notification", "data") if key in message}
    size = len(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode())
    limit = MAX_TOPIC_PAYLOAD_BYTES if "topic" in message else MAX_PAYLOAD_BYTES
    if size > limit:
        return _invalid("message", f"Message is too big: {size} bytes, at most {limit}.")
    return None


def _content(document: dict[str, Any]) -> dict[str, Any]:
    message = document["message"]
    shown = message.get("notification")
    notification = shown if isinstance(shown, dict) else {}
    return {
        "target": next(kind for kind in TARGETS if kind in message),
        "title": notification.get("title"),
        "body": notification.get("body"),
        "image": notification.get("image"),
        "data": message.get("data", {}),
        "android": message.get("android"),
        "apns": message.get("apns"),
        "webpush": message.get("webpush"),
    }
