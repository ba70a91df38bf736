"""The email provider: what SendGrid is asked, and what its answers mean."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from sendgrid.helpers.mail import (
    Category,
    ClickTracking,
    CustomArg,
    From,
    Mail,
    OpenTracking,
    Personalization,
    ReplyTo,
    SubscriptionTracking,
    To,
    TrackingSettings,
)

from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.notification import Channel
from clarion.provider import Attempt, HttpTransport
from clarion.unsubscribe import UnsubscribeLinks
from clarion_email.content import EmailMessage
from clarion_email.providers.sendgrid import SendGrid
from clarion_testing.vendor import Vendor, vendor

KEY = "SG.a-key-that-nobody-may-see"
MESSAGE = EmailMessage(
    to="ada@example.com",
    subject="Welcome",
    text="Hello Ada",
    html="<p>Hello Ada</p>",
    reply_to=None,
    categories=("welcome", "priority-normal"),
)
ATTEMPT = Attempt("notif_01890a5d", 2)


def accepted() -> web.Response:
    return web.Response(status=202, headers={"X-Message-Id": "sg-1"})


def errors(message: str, field: str | None = None) -> str:
    return json.dumps({"errors": [{"message": message, "field": field, "help": None}]})


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor(accepted) as served:
        yield served


@pytest.fixture
async def sendgrid(api: Vendor) -> AsyncIterator[SendGrid]:
    transport = HttpTransport(timeout=0.5)
    yield SendGrid(
        transport,
        KEY,
        sender="hello@clarion.test",
        sender_name="Clarion",
        reply_to="help@clarion.test",
        base_url=api.url + "/",
    )
    await transport.close()


async def test_an_email_is_one_request_in_sendgrids_shape(api: Vendor, sendgrid: SendGrid) -> None:
    sent = await sendgrid.send(MESSAGE, ATTEMPT)

    assert sent.provider_message_id == "sg-1"
    request = api.requests[0]
    assert (request.method, request.path) == ("POST", "/v3/mail/send")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "personalizations": [
            {
                "to": [{"email": "ada@example.com"}],
                "custom_args": {"nid": "notif_01890a5d", "att": "2"},
            }
        ],
        "from": {"email": "hello@clarion.test", "name": "Clarion"},
        "reply_to": {"email": "help@clarion.test"},
        "subject": "Welcome",
        "content": [
            {"type": "text/plain", "value": "Hello Ada"},
            {"type": "text/html", "value": "<p>Hello Ada</p>"},
        ],
        "categories": ["welcome", "priority-normal"],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }


async def test_the_request_is_what_the_sdk_would_build(api: Vendor, sendgrid: SendGrid) -> None:
    to, sender = To("ada@example.com"), From("hello@clarion.test", "Clarion")
    mail = Mail(sender, None, "Welcome", "Hello Ada", "<p>Hello Ada</p>")
    personalization = Personalization()
    personalization.add_to(to)
    personalization.add_custom_arg(CustomArg("nid", "notif_01890a5d"))
    personalization.add_custom_arg(CustomArg("att", "2"))
    mail.add_personalization(personalization)
    mail.reply_to = ReplyTo("help@clarion.test")
    mail.category = [Category("priority-normal"), Category("welcome")]  # it turns them round
    mail.tracking_settings = TrackingSettings(
        ClickTracking(enable=False, enable_text=False),
        OpenTracking(enable=False),
        SubscriptionTracking(enable=False),
    )

    await sendgrid.send(MESSAGE, ATTEMPT)

    assert json.loads(api.requests[0].body) == mail.get()


async def test_the_events_reply_to_wins_over_the_setting(api: Vendor, sendgrid: SendGrid) -> None:
    message = EmailMessage("ada@example.com", "Hi", None, "<p>Hi</p>", "me@example.com", ())

    await sendgrid.send(message, ATTEMPT)

    body = json.loads(api.requests[0].body)
    assert body["reply_to"] == {"email": "me@example.com"}
    assert body["content"] == [{"type": "text/html", "value": "<p>Hi</p>"}]


@pytest.mark.parametrize(
    "answer",
    [web.Response(status=202), web.Response(status=200, text="<html>")],
    ids=["no id", "not its contract"],
)
async def test_accepted_is_accepted_whatever_else_it_says(
    answer: web.Response, api: Vendor, sendgrid: SendGrid
) -> None:
    api.answers.append(answer)

    assert (await sendgrid.send(MESSAGE, ATTEMPT)).provider_message_id is None


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        (
            400,
            errors("Does not contain a valid address.", "personalizations.0.to.0.email"),
            BadRecipient,
            "invalid_recipient",
        ),
        (400, errors("The from email is invalid.", "from.email"), BadMessage, "provider_rejected"),
        (
            400,
            errors("Each email address should be unique", "personalizations.0.to"),
            BadMessage,
            "provider_rejected",
        ),
        (400, "not json", BadMessage, "provider_rejected"),
        (400, '{"errors": "a text"}', BadMessage, "provider_rejected"),
        (400, '{"errors": [1, {"field": 7}]}', BadMessage, "provider_rejected"),
        (401, errors("Maximum credits exceeded"), Misconfigured, "provider_auth"),
        (403, errors("The from address is not verified"), Misconfigured, "provider_auth"),
        (404, "", Misconfigured, "provider_auth"),
        (405, "", Misconfigured, "provider_auth"),
        (406, "", Misconfigured, "provider_auth"),
        (451, "", Misconfigured, "provider_auth"),
        (413, "", BadMessage, "provider_rejected"),
        (415, "", BadMessage, "provider_rejected"),
        (500, "<html>", Transient, "provider_down"),
        (502, "<html>", Transient, "provider_down"),
        (503, "", Transient, "provider_down"),
        (504, "", Transient, "provider_down"),
        (418, "", BadMessage, "provider_rejected"),
        (599, "", Transient, "provider_down"),
        (302, "", Misconfigured, "provider_auth"),
    ],
)
async def test_each_answer_has_its_error(
    status: int, body: str, error: type[SendError], reason: str, api: Vendor, sendgrid: SendGrid
) -> None:
    api.answers.append(web.Response(status=status, text=body))

    with pytest.raises(SendError) as raised:
        await sendgrid.send(MESSAGE, ATTEMPT)

    assert type(raised.value) is error
    assert (raised.value.reason, raised.value.code) == (reason, str(status))
    assert len(api.requests) == 1


async def test_the_error_has_sendgrids_own_words(api: Vendor, sendgrid: SendGrid) -> None:
    api.answers.append(web.Response(status=400, text=errors("Too long.", "subject")))
    api.answers.append(web.Response(status=401, text=errors("authorization required", "null")))
    api.answers.append(web.Response(status=503))

    texts = []
    for _ in range(3):
        with pytest.raises(SendError) as raised:
            await sendgrid.send(MESSAGE, ATTEMPT)
        texts.append(raised.value.text)

    assert texts == ["subject: Too long.", "authorization required", "HTTP 503"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10.0),
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": "soon"}, 10.0),
        ({"X-RateLimit-Reset": "9" * 30}, 3600.0),
        ({"Retry-After": "-1", "X-RateLimit-Reset": "-1"}, 10.0),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    headers: dict[str, str], seconds: float, api: Vendor, sendgrid: SendGrid
) -> None:
    api.answers.append(web.Response(status=429, headers=headers))

    with pytest.raises(Throttled) as raised:
        await sendgrid.send(MESSAGE, ATTEMPT)

    assert raised.value.retry_after == seconds


async def test_a_rate_limit_ends_at_its_reset(api: Vendor, sendgrid: SendGrid) -> None:
    reset = str(int(time.time()) + 120)
    api.answers.append(web.Response(status=429, headers={"X-RateLimit-Reset": reset}))

    with pytest.raises(Throttled) as raised:
        await sendgrid.send(MESSAGE, ATTEMPT)

    assert raised.value.retry_after is not None
    assert 60 < raised.value.retry_after <= 120


@pytest.mark.parametrize("body", [f"your key {KEY} is wrong", errors(f"key {KEY}")])
async def test_an_error_never_holds_the_key(body: str, api: Vendor, sendgrid: SendGrid) -> None:
    api.answers.append(web.Response(status=401, text=body))

    with pytest.raises(Misconfigured) as raised:
        await sendgrid.send(MESSAGE, ATTEMPT)

    assert KEY not in f"{raised.value}{raised.value.__cause__}"
    assert "***" in raised.value.text


@pytest.mark.parametrize("fault", ["hang", "drop"])
async def test_silence_is_ambiguous_and_not_retried(
    fault: str, api: Vendor, sendgrid: SendGrid
) -> None:
    api.answers.append(fault)

    with pytest.raises(Ambiguous):
        await sendgrid.send(MESSAGE, ATTEMPT)

    assert len(api.requests) == 1


async def test_a_torn_answer_still_counts_as_accepted(api: Vendor, sendgrid: SendGrid) -> None:
    api.answers.append("torn")

    assert (await sendgrid.send(MESSAGE, ATTEMPT)).provider_message_id == "torn-1"


async def test_a_bulk_email_can_be_unsubscribed_from_with_one_click(api: Vendor) -> None:
    links = UnsubscribeLinks("a secret of this test", "https://clarion.example.com")
    transport = HttpTransport(timeout=0.5)
    provider = SendGrid(
        transport, KEY, sender="a@example.com", sender_name="A", base_url=api.url, links=links
    )

    await provider.send(MESSAGE, Attempt("notif_1", 1, bulk=True))
    await provider.send(MESSAGE, Attempt("notif_2", 1))

    await transport.close()
    bulk, other = (json.loads(request.body) for request in api.requests)
    url = links.url(Channel.EMAIL, MESSAGE.to)
    assert bulk["headers"] == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert "headers" not in other


async def test_a_bulk_email_without_a_link_is_not_sent(api: Vendor, sendgrid: SendGrid) -> None:
    with pytest.raises(BadMessage, match="UNSUBSCRIBE_SECRET"):
        await sendgrid.send(MESSAGE, Attempt("notif_1", 1, bulk=True))

    assert api.requests == []
