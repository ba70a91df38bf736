"""Twilio: create a WhatsApp message (www.twilio.com/docs/messaging/api/message-resource)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from clarion_sandbox.answer import Answer, json_answer
from clarion_sandbox.vendor import (
    Accepted,
    Recipient,
    Unreadable,
    VendorRequest,
    attempt_of,
    text_or_none,
)

PREFIX = "whatsapp:"
ADDRESS = re.compile(r"whatsapp:\+[1-9]\d{6,14}")
ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
MAX_BODY = 1600
CLOSED_WINDOW = "+15005550020"
"""The magic number that never wrote: free text is refused at once, an approved template goes."""
FIELDS_OF_LISTS = frozenset({"MediaUrl", "PersistentAction"})

# code -> HTTP status and message (www.twilio.com/docs/api/errors)
ERRORS: dict[int, tuple[int, str]] = {
    20001: (400, "Invalid parameter: {}"),
    20003: (401, "Authenticate"),
    20403: (403, "Forbidden: the account lacks permission to perform this action."),
    20404: (404, "The requested resource {} was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "Internal Server Error"),
    20503: (503, "Service Unavailable"),
    20504: (504, "Gateway Timeout"),
    21211: (400, "Invalid 'To' Phone Number: {}"),
    21212: (400, "Invalid From Number (caller ID): {}"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21609: (400, "The 'StatusCallback' URL {} is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21620: (400, "Invalid media URL(s)"),
    21655: (400, "The ContentSid is Invalid"),
    21656: (400, "The ContentVariables Parameter is invalid"),
    21701: (400, "The Messaging Service {} is invalid or not found"),
    63016: (
        400,
        "Failed to send freeform message because you are outside the allowed window. "
        "If you are using WhatsApp, please use a Message Template.",
    ),
    63007: (400, "Twilio could not find a Channel with the specified From address"),
    # Twilio tells this one only in a later status callback; here at once, where it is seen
    63013: (400, "Content Variables: a value is missing or empty: {}"),
}
BY_STATUS = {400: 21211, 401: 20003, 403: 20403, 404: 20404, 429: 20429, 503: 20503, 504: 20504}


class Twilio:
    """Twilio's answer to one WhatsApp message."""

    name = "twilio"
    channel = "whatsapp"

    def read(self, body: bytes) -> Any:
        """Return the form's fields; those that repeat are lists. Raises `Unreadable`."""
        try:
            fields = parse_qs(
                body.decode(), keep_blank_values=True, strict_parsing=bool(body), errors="strict"
            )
        except ValueError:
            raise Unreadable(_error(20001, "the body is not a form")) from None
        return {
            name: values if name in FIELDS_OF_LISTS else values[-1]
            for name, values in fields.items()
        }

    def recipients(self, document: Any) -> list[Recipient]:
        """Return the recipient; our ids are in the query of the status callback."""
        query = parse_qs(_query(document.get("StatusCallback", "")))
        return [
            Recipient(
                document.get("To", "").removeprefix(PREFIX),
                text_or_none(query.get("nid", [""])[0]),
                attempt_of(query.get("att", [""])[0]),
            )
        ]

    def unauthorised(self, request: VendorRequest) -> Answer | None:
        """Take any user with any password but `bad`."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        if scheme.lower() != "basic" or not user or password in {"", "bad"}:
            return _error(20003)
        if not ACCOUNT.fullmatch(request.path_params["sid"]):
            return _error(20404, f"/2010-04-01/Accounts/{request.path_params['sid']}/Messages.json")
        return None

    def refusal(self, request: VendorRequest) -> Answer | None:
        """Return the first broken rule, as Twilio does."""
        form = request.document
        return (
            _address_problem(form)
            or _content_problem(form)
            or _callback_problem(form)
            or _window_problem(form)
        )

    def broken_contract(self, violations: list[str]) -> Answer:
        """Name the fields that break the contract."""
        return _error(20001, "; ".join(violations))

    def accept(self, request: VendorRequest) -> Accepted:
        """Answer 201 with the message resource."""
        form = request.document
        sid = ("MM" if form.get("MediaUrl") else "SM") + secrets.token_hex(16)
        answer = json_answer(201, resource_of(sid, request.path_params["sid"], form))
        recipient = self.recipients(form)[0]
        return Accepted(answer, sid, [(recipient, _content(form))])

    def unknown(self, path: str) -> Answer:
        """Return the answer about a resource that is not there."""
        return _error(20404, path)

    def error(self, status: int) -> Answer:
        """Return Twilio's error body for a status."""
        code = BY_STATUS.get(status, 20500 if status >= 500 else 20001)
        detail = "the recipient" if code == 21211 else "asked for by a fault rule"
        return _error(code, detail, status=status)


def _error(code: int, detail: str = "", *, status: int | None = None) -> Answer:
    known_status, message = ERRORS[code]
    document: dict[str, Any] = {
        "code": code,
        "message": message.format(detail),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status or known_status,
    }
    if code == 20003:
        document["detail"] = "Your AccountSid or AuthToken was incorrect."
    return json_answer(status or known_status, document)


def refused(code: int) -> str:
    """Return the error body of a code, for a fault rule."""
    return _error(code).body.decode()


def _query(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def _address_problem(form: dict[str, Any]) -> Answer | None:
    to, sender, service = form.get("To"), form.get("From"), form.get("MessagingServiceSid")
    if not to:
        return _error(21604)
    if not ADDRESS.fullmatch(to):
        return _error(21211, to)
    if not sender and not service:
        return _error(21603)
    if sender and not sender.startswith(PREFIX):
        return _error(63007)
    if sender and not ADDRESS.fullmatch(sender):
        return _error(21212, sender)
    if service and not SERVICE.fullmatch(service):
        return _error(21701, service)
    return None


def _content_problem(form: dict[str, Any]) -> Answer | None:
    body, media, content = form.get("Body"), form.get("MediaUrl"), form.get("ContentSid")
    if not body and not media and not content:
        return _error(21602)
    if body and len(body) > MAX_BODY:
        return _error(21617)
    if any(not _is_web_url(url) for url in media or ()):
        return _error(21620)
    if content and not CONTENT.fullmatch(content):
        return _error(21655)
    return _variables_problem(form["ContentVariables"]) if "ContentVariables" in form else None


def _variables_problem(text: str) -> Answer | None:
    variables = _variables(text)
    if variables is None or len(variables) > 100:
        return _error(21656)
    empty = [name for name, value in variables.items() if value is None or value == ""]
    if empty:
        return _error(63013, ", ".join(empty))
    if any(not isinstance(value, str) for value in variables.values()):
        return _error(21656)
    return None


def _window_problem(form: dict[str, Any]) -> Answer | None:
    closed = form["To"].removeprefix(PREFIX) == CLOSED_WINDOW
    return _error(63016) if closed and not form.get("ContentSid") else None


def _callback_problem(form: dict[str, Any]) -> Answer | None:
    url = form.get("StatusCallback")
    return _error(21609, url) if url and not _is_web_url(url) else None


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _variables(text: str) -> dict[str, Any] | None:
    try:
        variables = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return variables if isinstance(variables, dict) else None


def _content(form: dict[str, Any]) -> dict[str, Any]:
    return {
        "from": form.get("From", form.get("MessagingServiceSid", "")).removeprefix(PREFIX),
        "body": form.get("Body"),
        "media_url": form.get("MediaUrl", []),
        "content_sid": form.get("ContentSid"),
        "content_variables": _variables(form["ContentVariables"])
        if "ContentVariables" in form
        else None,
        "status_callback": form.get("StatusCallback"),
    }


def resource_of(sid: str, account: str, form: dict[str, Any]) -> dict[str, Any]:
    """Return the message resource of a form that was just accepted."""
    created = format_datetime(datetime.now(UTC))
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    media = form.get("MediaUrl", [])
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": form.get("Body", ""),
        "date_created": created,
        "date_sent": None,
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "num_media": str(len(media)),
        "num_segments": "0" if form.get("MessagingServiceSid") else "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "accepted" if form.get("MessagingServiceSid") else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }
