"""SendGrid: `POST /v3/mail/send` (www.twilio.com/docs/sendgrid/api-reference/mail-send)."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from typing import Any

from clarion_sandbox.answer import Answer, json_answer
from clarion_sandbox.vendor import (
    Accepted,
    Recipient,
    Unreadable,
    VendorRequest,
    attempt_of,
    text_or_none,
)

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
ADDRESS = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\".]+(\.[^@\s<>,;\".]+)*")
INVALID_ADDRESS = "Does not contain a valid address."
MAX_RECIPIENTS = 1000

# status -> the message and the field of SendGrid's error body
ERRORS: dict[int, tuple[str, str | None]] = {
    400: (INVALID_ADDRESS, "personalizations.0.to.0.email"),
    401: ("The provided authorization grant is invalid, expired, or revoked", None),
    403: (
        "The from address does not match a verified Sender Identity. Mail cannot be sent until "
        "this error is resolved.",
        "from",
    ),
    404: ("not found", None),
    405: ("method not allowed", None),
    406: ("not acceptable", None),
    413: ("The JSON payload you have included in your request is too large.", None),
    415: ("Content-Type should be application/json.", None),
    429: ("too many requests", None),
    500: ("internal server error", None),
    502: ("bad gateway", None),
    503: ("service unavailable", None),
    504: ("gateway timeout", None),
}


class SendGrid:
    """SendGrid's answer to one mail."""

    name = "sendgrid"
    channel = "email"

    def read(self, body: bytes) -> Any:
        """Return the JSON document. Raises `Unreadable`."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise Unreadable(_errors(400, ("Bad Request", None))) from None
        if not isinstance(document, dict):
            raise Unreadable(_errors(400, ("Bad Request", None)))
        return document

    def recipients(self, document: Any) -> list[Recipient]:
        """Return the recipients of all personalizations; our ids are in their custom_args."""
        return [recipient for recipient, _ in _personalized(document)]

    def unauthorised(self, request: VendorRequest) -> Answer | None:
        """Take any key but `bad`."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key.strip() in {"", "bad"}:
            return self.error(401)
        return None

    def refusal(self, request: VendorRequest) -> Answer | None:
        """Return all broken rules at once, as SendGrid does."""
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            return self.error(415)
        problems = [
            *_sender_problems(request.document),
            *_personalization_problems(request.document),
            *_content_problems(request.document),
        ]
        return _errors(400, *problems) if problems else None

    def broken_contract(self, violations: list[str]) -> Answer:
        """Name each field that breaks the contract."""
        parts = (violation.partition(": ") for violation in violations)
        return _errors(400, *((text, field or None) for field, _, text in parts))

    def accept(self, request: VendorRequest) -> Accepted:
        """Answer 202 without a body, or 200 for a mail that is only to be checked."""
        message_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        headers = {"X-Message-Id": message_id}
        if _sandbox_mode(request.document):
            return Accepted(Answer(200, headers=headers), message_id, [])
        content = _content(request.document)
        return Accepted(
            Answer(202, headers=headers),
            message_id,
            [
                (recipient, {**content, **_own_content(personalization)})
                for recipient, personalization in _personalized(request.document)
            ],
        )

    def error(self, status: int) -> Answer:
        """Return SendGrid's error body; a 429 tells when the limit resets."""
        answer = _errors(status, ERRORS.get(status, (f"error {status}", None)))
        if status != 429:
            return answer
        reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 2)}
        return Answer(status, answer.body, {**answer.headers, **reset})


def _errors(status: int, *problems: tuple[str, str | None]) -> Answer:
    return json_answer(
        status,
        {
            "errors": [
                {
                    "message": message,
                    "field": field,
                    "help": None if field is None else HELP + re.sub(r"\.\d+", "", field),
                }
                for message, field in problems
            ]
        },
    )


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _personalized(document: dict[str, Any]) -> list[tuple[Recipient, dict[str, Any]]]:
    common = _object(document.get("custom_args"))
    return [
        (
            Recipient(
                str(address.get("email", "")),
                text_or_none(_object(one.get("custom_args")).get("nid", common.get("nid"))),
                attempt_of(_object(one.get("custom_args")).get("att", common.get("att"))),
            ),
            one,
        )
        for one in _objects(document.get("personalizations"))
        for kind in ("to", "cc", "bcc")
        for address in _objects(one.get(kind))
    ]


def _valid(address: object) -> bool:
    email = _object(address).get("email")
    return isinstance(email, str) and ADDRESS.fullmatch(email) is not None


def _sender_problems(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    sender = document.get("from")
    if not _object(sender).get("email"):
        return [
            (
                "The from object must be provided for every email send. It is an object that "
                "requires the email parameter, but may also contain a name parameter.",
                "from.email",
            )
        ]
    problems: list[tuple[str, str | None]] = []
    if not _valid(sender):
        problems.append((INVALID_ADDRESS, "from.email"))
    if "reply_to" in document and not _valid(document["reply_to"]):
        problems.append((INVALID_ADDRESS, "reply_to.email"))
    if "reply_to" in document and "reply_to_list" in document:
        problems.append(("Only one of reply_to and reply_to_list can be used.", "reply_to"))
    return problems


def _personalization_problems(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    personalizations = document.get("personalizations")
    if not isinstance(personalizations, list) or not personalizations:
        text = "The personalizations field is required and must have at least one personalization."
        return [(text, "personalizations")]
    if len(personalizations) > MAX_RECIPIENTS:
        text = f"There is a limit of {MAX_RECIPIENTS} personalizations per API request."
        return [(text, "personalizations")]
    return [
        problem
        for index, one in enumerate(personalizations)
        for problem in _address_problems(_object(one), f"personalizations.{index}")
    ]


def _address_problems(one: dict[str, Any], where: str) -> list[tuple[str, str | None]]:
    if not _objects(one.get("to")):
        text = "The to array is required for all personalization objects, and must have at least "
        return [(text + "one email object with a valid email address.", f"{where}.to")]
    problems: list[tuple[str, str | None]] = []
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        for index, address in enumerate(_objects(one.get(kind))):
            if not _valid(address):
                problems.append((INVALID_ADDRESS, f"{where}.{kind}.{index}.email"))
                continue
            email = address["email"].lower()
            if email in seen:
                text = "Each email address in the personalization block should be unique between "
                text += f"to, cc, and bcc. We found the first duplicate instance of [{email}]."
                problems.append((text, f"{where}.{kind}"))
            seen.add(email)
    return problems


def _content_problems(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    if document.get("template_id"):
        return []
    problems: list[tuple[str, str | None]] = []
    every = _objects(document.get("personalizations"))
    if not document.get("subject") and not (every and all(one.get("subject") for one in every)):
        text = "The subject is required. You can get around this requirement if you use a template "
        text += "with a subject defined or if every personalization has a subject defined."
        problems.append((text, "subject"))
    parts = _objects(document.get("content"))
    if not parts:
        text = "Unless a valid template_id is provided, the content parameter is required. There "
        text += "must be at least one defined content block."
        return [*problems, (text, "content")]
    for index, part in enumerate(parts):
        value = part.get("value")
        if not isinstance(value, str) or not value:
            text = "The content value must be a string at least one character in length."
            problems.append((text, f"content.{index}.value"))
    types = [part.get("type") for part in parts]
    if "text/plain" in types[1:]:
        text = "If present, text/plain must be first, followed by text/html, followed by any "
        problems.append((text + "other content.", "content"))
    return problems


def _sandbox_mode(document: dict[str, Any]) -> bool:
    settings = _object(_object(document.get("mail_settings")).get("sandbox_mode"))
    return settings.get("enable") is True


def _content(document: dict[str, Any]) -> dict[str, Any]:
    parts = {part.get("type"): part.get("value") for part in _objects(document.get("content"))}
    return {
        "from": document["from"],
        "reply_to": document.get("reply_to"),
        "subject": document.get("subject"),
        "text": parts.get("text/plain"),
        "html": parts.get("text/html"),
        "categories": document.get("categories", []),
        "headers": document.get("headers", {}),
        "template_id": document.get("template_id"),
        "attachments": [
            {key: item.get(key) for key in ("filename", "type", "disposition", "content_id")}
            for item in _objects(document.get("attachments"))
        ],
    }


def _own_content(personalization: dict[str, Any]) -> dict[str, Any]:
    return {key: personalization[key] for key in ("from", "subject") if key in personalization}
