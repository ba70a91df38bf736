"""SendGrid's answers, over a real socket."""

import io
import json
from typing import Any

import pytest

from clarion_sandbox.vendor import VendorRequest
from clarion_sandbox.vendors.sendgrid import SendGrid
from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import BEARER, Sender, mail


async def test_a_mail_is_accepted_with_an_empty_body_and_a_message_id(send: Sender) -> None:
    answer = await send.mail(mail())

    assert answer.status == 202
    assert answer.document == b""
    assert answer.headers["x-message-id"]


async def test_an_accepted_mail_is_in_the_inbox(sandbox: RunningSandbox, send: Sender) -> None:
    answer = await send.mail(mail(to="Ann@example.com", nid="n7", att=2, categories=["welcome"]))

    (message,) = await sandbox.messages()
    assert message["channel"] == "email"
    assert message["to"] == "Ann@example.com"
    assert (message["notification_id"], message["attempt"]) == ("n7", 2)
    assert message["subject"] == "Welcome"
    assert message["text"] == "Hello Ann"
    assert message["html"] == "<p>Hello <b>Ann</b></p>"
    assert message["from"] == {"email": "hello@example.com", "name": "Example"}
    assert message["categories"] == ["welcome"]
    assert message["provider_message_id"] == answer.headers["x-message-id"]


async def test_the_kept_request_holds_no_credentials(sandbox: RunningSandbox, send: Sender) -> None:
    await send.mail(mail())

    (message,) = await sandbox.messages()
    assert message["request"]["path"] == "/v3/mail/send"
    assert "Hello Ann" in message["request"]["body"]
    assert "SG.key" not in str(message)


async def test_each_recipient_of_a_batch_gets_a_message(
    sandbox: RunningSandbox, send: Sender
) -> None:
    document = mail()
    document["personalizations"] = [
        {"to": [{"email": f"{nid}@example.com"}], "custom_args": {"nid": nid, "att": "1"}}
        for nid in ("n1", "n2")
    ]

    await send.mail(document)

    assert [message["to"] for message in await sandbox.messages()] == [
        "n2@example.com",
        "n1@example.com",
    ]
    assert (await sandbox.calls("n1"))["accepted"] == 1
    assert (await sandbox.calls("n2"))["accepted"] == 1
    assert (await sandbox.summary())["calls"] == 1


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer bad"}, {"Authorization": "Basic SG.key"}]
)
async def test_a_bad_key_is_refused_in_sendgrids_words(
    send: Sender, headers: dict[str, str]
) -> None:
    answer = await send.mail(mail(), headers=headers)

    assert answer.status == 401
    assert answer.document == {
        "errors": [
            {
                "message": "The provided authorization grant is invalid, expired, or revoked",
                "field": None,
                "help": None,
            }
        ]
    }


async def test_a_mail_in_sandbox_mode_is_checked_and_goes_nowhere(
    sandbox: RunningSandbox, send: Sender
) -> None:
    answer = await send.mail(mail(mail_settings={"sandbox_mode": {"enable": True}}))

    assert answer.status == 200
    assert await sandbox.messages() == []
    assert (await sandbox.calls("n1"))["accepted"] == 0


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (mail(to="not-an-address"), "personalizations.0.to.0.email"),
        (mail(to="two@@example.com"), "personalizations.0.to.0.email"),
        (mail(personalizations=[]), "personalizations"),
        (mail(personalizations="x"), "personalizations"),
        (mail(personalizations=[{"to": []}]), "personalizations.0.to"),
        (mail(personalizations=[3]), "personalizations.0.to"),
        (mail(personalizations=[{"to": [{"email": "a@b.de"}]}] * 1001), "personalizations"),
        (
            mail(
                personalizations=[{"to": [{"email": "a@b.de"}], "bcc": [{"email": "A@b.de"}]}],
            ),
            "personalizations.0.bcc",
        ),
        ({**mail(), "from": None}, "from.email"),
        ({**mail(), "from": {"email": "nobody"}}, "from.email"),
        (mail(reply_to={"email": "nobody"}), "reply_to.email"),
        (mail(reply_to={"email": "a@b.de"}, reply_to_list=[{"email": "a@b.de"}]), "reply_to"),
        (mail(subject=None), "subject"),
        (mail(content=None), "content"),
        (mail(content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
        (
            mail(
                content=[
                    {"type": "text/html", "value": "<p>"},
                    {"type": "text/plain", "value": "x"},
                ]
            ),
            "content",
        ),
    ],
)
def test_a_broken_rule_is_answered_with_its_field(document: dict[str, Any], field: str) -> None:
    request = VendorRequest({}, {"content-type": "application/json"}, document)

    answer = SendGrid().refusal(request)

    assert answer is not None
    assert answer.status == 400
    errors = json.loads(answer.body)["errors"]
    assert field in [error["field"] for error in errors]
    assert all(set(error) == {"message", "field", "help"} for error in errors)


async def test_a_refused_mail_is_recorded_and_not_in_the_inbox(
    sandbox: RunningSandbox, send: Sender
) -> None:
    answer = await send.mail(mail(to="not-an-address"))

    assert answer.status == 400
    assert answer.document["errors"][0]["field"] == "personalizations.0.to.0.email"
    assert await sandbox.messages() == []
    (rejection,) = await sandbox.rejections()
    assert (rejection["to"], rejection["status"]) == ("not-an-address", 400)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_bad_request(
    sandbox: RunningSandbox, send: Sender, body: bytes
) -> None:
    headers = BEARER | {"Content-Type": "application/json"}

    answer = await send.post("/v3/mail/send", headers=headers, data=body)

    assert answer.status == 400
    assert answer.document["errors"][0]["message"] == "Bad Request"
    assert (await sandbox.summary())["calls_without_notification_id"] == 1


async def test_another_content_type_is_refused(send: Sender) -> None:
    answer = await send.mail(mail(), headers=BEARER | {"Content-Type": "text/plain"})

    assert answer.status == 415


async def test_a_body_over_30_mib_is_too_large(sandbox: RunningSandbox, send: Sender) -> None:
    body = io.BytesIO(bytes(30 * 1024 * 1024 + 1))

    answer = await send.post("/v3/mail/send", headers=BEARER, data=body)

    assert answer.status == 413
    assert "errors" in answer.document


async def test_only_post_is_allowed(sandbox: RunningSandbox) -> None:
    async with sandbox.session.get(f"{sandbox.url}/v3/mail/send") as response:
        assert response.status == 405
