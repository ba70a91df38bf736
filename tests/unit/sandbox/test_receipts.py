"""The sandbox tells what became of a message as the vendors do, signed so that their SDKs agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from clarion_gateway.providers.sandbox import public_key
from clarion_testing.listening import listening
from clarion_testing.sandbox import RunningSandbox, run_sandbox
from clarion_testing.sandbox_requests import ACCOUNT, BASIC, Sender, mail, whatsapp

SECRET = "a secret of this test"
EVENT_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
EVENT_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


@dataclass
class Request:
    """One request that came in."""

    url: str
    headers: Any
    body: bytes


class Webhook:
    """Takes whatever is posted, and answers the next of `answers`, then 200."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.answers: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        await self.requests.put(Request(str(request.url), request.headers, await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def next(self) -> Request:
        return await asyncio.wait_for(self.requests.get(), 15)

    async def events(self, many: int) -> list[dict[str, Any]]:
        """Return that many events, however they were batched."""
        events: list[dict[str, Any]] = []
        while len(events) < many:
            events += json.loads((await self.next()).body)
        return events


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    webhook = Webhook()
    app = web.Application()
    app.router.add_post("/{path:.*}", webhook.take)
    async with listening(app) as webhook.url:
        yield webhook


@pytest.fixture
async def sandbox(webhook: Webhook) -> AsyncIterator[RunningSandbox]:
    events_url = f"{webhook.url}/webhooks/sendgrid"
    async with run_sandbox(secret=SECRET, events_url=events_url) as running:
        await plan(running, delay=0)
        yield running


async def plan(sandbox: RunningSandbox, **fields: Any) -> Any:
    async with sandbox.session.put(f"{sandbox.url}/api/receipts", json=fields) as response:
        return response.status, await response.json()


async def tell(sandbox: RunningSandbox, act: Any, message_id: str = "m1") -> Any:
    async with sandbox.session.post(
        f"{sandbox.url}/api/messages/{message_id}/receipts", json={"tell": act}
    ) as response:
        return response.status, await response.json()


async def test_events_are_signed_as_sendgrid_signs_them(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await send.mail(mail())

    request = await webhook.next()

    sdk = EventWebhook(public_key(SECRET))
    assert sdk.verify_signature(
        request.body.decode(), request.headers[EVENT_SIGNATURE], request.headers[EVENT_TIMESTAMP]
    )
    event = json.loads(request.body)[0]
    assert (event["event"], event["nid"], event["att"]) == ("processed", "n1", "1")


async def test_what_is_accepted_is_delivered_by_itself(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await send.mail(mail())

    events = await webhook.events(2)

    assert [event["event"] for event in events] == ["processed", "delivered"]
    assert len({event["sg_event_id"] for event in events}) == 2
    (message,) = await sandbox.messages()
    assert all(
        event["sg_message_id"].startswith(message["provider_message_id"]) for event in events
    )


async def test_events_that_are_near_each_other_share_a_request(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await asyncio.gather(*(send.mail(mail()) for _ in range(20)))

    first = json.loads((await webhook.next()).body)

    assert len(first) > 1


async def test_events_that_were_not_taken_come_again(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    webhook.answers = [503]
    await plan(sandbox, automatic=True, delay=0)

    await send.mail(mail())
    first, again = await webhook.next(), await webhook.next()

    assert json.loads(first.body)[0]["sg_event_id"] == json.loads(again.body)[0]["sg_event_id"]


async def test_receipts_come_doubled_and_in_any_order_on_request(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await plan(sandbox, delay=0, copies=3, shuffle=True)

    await send.mail(mail())
    events = await webhook.events(6)

    told = [event["event"] for event in events]
    assert sorted(told) == ["delivered"] * 3 + ["processed"] * 3
    assert told != sorted(told, reverse=True)  # the seed is fixed
    assert len({event["sg_event_id"] for event in events}) == 2


async def test_a_callback_is_signed_as_twilio_signs_it(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    callback = f"{webhook.url}/webhooks/twilio?nid=n1&att=1"
    await send.whatsapp(whatsapp(StatusCallback=callback))

    sent, delivered = await webhook.next(), await webhook.next()

    form = {
        name: values[0]
        for name, values in parse_qs(delivered.body.decode(), keep_blank_values=True).items()
    }
    assert parse_qs(sent.body.decode())["MessageStatus"] == ["sent"]
    assert form["MessageStatus"] == "delivered"
    assert form["MessagingServiceSid"] == ""
    signature = delivered.headers["X-Twilio-Signature"]
    assert RequestValidator("token").validate(callback, form, signature)


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("bounce@sandbox.test", ["processed", "bounce"]),
        ("late-bounce@sandbox.test", ["processed", "delivered", "bounce"]),
        ("spam@sandbox.test", ["processed", "delivered", "spamreport"]),
    ],
)
async def test_some_addresses_end_otherwise(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook, to: str, told: list[str]
) -> None:
    await send.to("email", to)

    events = await webhook.events(len(told))

    assert [event["event"] for event in events] == told


@pytest.mark.parametrize("act", ["deliver", "bounce", "read", "report_spam", "unsubscribe"])
async def test_a_button_tells_at_once_and_says_what_was_answered(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook, act: str
) -> None:
    await plan(sandbox, automatic=False)
    webhook.answers = [202]
    await send.mail(mail())

    answer = await tell(sandbox, act)

    assert answer == (200, {"status": 202, "error": None})
    assert len(json.loads((await webhook.next()).body)) == 1


async def test_what_cannot_be_told_is_refused_with_what_can(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await plan(sandbox, automatic=False)
    await send.mail(mail())

    unknown = await tell(sandbox, "explode")
    nobody = await tell(sandbox, "read", "m99")
    bad_plan = await plan(sandbox, delay=-1)

    assert unknown[0] == 422
    assert "deliver" in unknown[1]["detail"]
    assert nobody[0] == 404
    assert bad_plan[0] == 422
    assert bad_plan[1]["errors"][0]["path"] == "delay"


async def test_a_form_of_another_page_tells_nothing(sandbox: RunningSandbox, send: Sender) -> None:
    await send.mail(mail())

    async with sandbox.session.post(
        f"{sandbox.url}/api/messages/m1/receipts", data='{"tell": "read"}'
    ) as response:
        assert response.status == 415


async def test_a_webhook_that_is_away_is_said(send: Sender, sandbox: RunningSandbox) -> None:
    await plan(sandbox, automatic=False)
    await send.whatsapp(whatsapp(StatusCallback="http://127.0.0.1:1/webhooks/twilio?nid=n1&att=1"))

    status, told = await tell(sandbox, "deliver")

    assert status == 200
    assert told["status"] is None
    assert told["error"]


async def test_without_a_secret_emails_have_no_receipts(webhook: Webhook) -> None:
    async with run_sandbox(events_url=webhook.url) as sandbox:
        await Sender(sandbox).mail(mail())

        status, answer = await tell(sandbox, "deliver")

    assert status == 422
    assert "has no receipts" in answer["detail"]


async def test_a_stop_waits_for_no_receipt(webhook: Webhook) -> None:
    async with run_sandbox(secret=SECRET, events_url=webhook.url) as sandbox:
        await plan(sandbox, delay=3600)
        await Sender(sandbox).mail(mail())

    assert webhook.requests.empty()


# -- what is asked, and what is written back


async def reply(sandbox: RunningSandbox, body: Any, message_id: str = "m1") -> Any:
    async with sandbox.session.post(
        f"{sandbox.url}/api/messages/{message_id}/replies", json=body
    ) as response:
        return response.status, await response.json()


async def ask(sandbox: RunningSandbox, sid: str, **headers: str) -> Any:
    url = f"{sandbox.url}/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json"
    async with sandbox.session.get(url, headers=BASIC | headers) as response:
        return response.status, await response.json()


async def sid_of(sandbox: RunningSandbox) -> str:
    (message,) = await sandbox.messages(channel="whatsapp")
    return str(message["provider_message_id"])


async def test_a_reader_writes_back_as_twilio_posts_it(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await plan(sandbox, automatic=False)
    await send.whatsapp(whatsapp(StatusCallback=f"{webhook.url}/webhooks/twilio?nid=n1&att=1"))

    status, told = await reply(sandbox, {"text": "STOP \u00e9"})

    request = await webhook.next()
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (status, told) == (200, {"status": 200, "error": None})
    assert request.url == f"{webhook.url}/webhooks/twilio/inbound"
    assert (form["From"], form["Body"]) == ("whatsapp:+14155550123", "STOP \u00e9")
    assert RequestValidator("token").validate(
        request.url, form, request.headers["X-Twilio-Signature"]
    )


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "a" * 1601}, [], "STOP"])
async def test_a_reply_without_words_is_422(
    sandbox: RunningSandbox, send: Sender, body: object
) -> None:
    await send.whatsapp(whatsapp(StatusCallback=None))

    assert (await reply(sandbox, body))[0] == 422


async def test_only_whatsapp_is_replied_to(sandbox: RunningSandbox, send: Sender) -> None:
    await send.mail(mail())

    assert (await reply(sandbox, {"text": "Hi"}))[0] == 409
    assert (await reply(sandbox, {"text": "Hi"}, "m99"))[0] == 404


async def test_who_asks_twilio_is_told_where_the_message_stands(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    await plan(sandbox, automatic=False)
    await send.whatsapp(whatsapp(StatusCallback=f"{webhook.url}/webhooks/twilio?nid=n1&att=1"))
    sid = await sid_of(sandbox)

    before = await ask(sandbox, sid)
    await tell(sandbox, "bounce")
    after = await ask(sandbox, sid)

    assert (before[0], before[1]["status"], before[1]["error_code"]) == (200, "sent", None)
    assert (after[1]["sid"], after[1]["status"], after[1]["error_code"]) == (
        sid,
        "undelivered",
        63024,
    )


async def test_a_message_without_a_callback_goes_on_all_the_same(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await send.whatsapp(whatsapp(StatusCallback=None))

    assert (await ask(sandbox, await sid_of(sandbox)))[1]["status"] == "delivered"


async def test_what_twilio_does_not_know_is_404_and_a_bad_password_401(
    sandbox: RunningSandbox,
) -> None:
    assert (await ask(sandbox, "SM" + "0" * 32))[0] == 404
    assert (await ask(sandbox, "SM" + "0" * 32, Authorization="Basic x"))[0] == 401


async def test_free_text_to_a_closed_window_is_refused_and_a_template_goes(
    sandbox: RunningSandbox, send: Sender
) -> None:
    content: dict[str, Any] = {
        "Body": None,
        "ContentSid": "HX" + "a" * 32,
        "StatusCallback": None,
    }

    text = await send.whatsapp(whatsapp("+15005550020", StatusCallback=None))
    template = await send.whatsapp(whatsapp("+15005550020", **content))

    assert (text.status, text.document["code"]) == (400, 63016)
    assert template.status == 201


async def test_a_window_found_closed_later_is_told_of_free_text_alone(
    sandbox: RunningSandbox, send: Sender, webhook: Webhook
) -> None:
    callback = f"{webhook.url}/webhooks/twilio?nid=n1&att=1"
    content: dict[str, Any] = {"Body": None, "ContentSid": "HX" + "a" * 32}

    await send.whatsapp(whatsapp("+15005550021", StatusCallback=callback))
    text = [parse_qs((await webhook.next()).body.decode()) for _ in range(2)]
    await send.whatsapp(whatsapp("+15005550021", StatusCallback=callback, **content))
    template = [parse_qs((await webhook.next()).body.decode()) for _ in range(2)]

    assert text[-1]["ErrorCode"] == ["63016"]
    assert template[-1]["MessageStatus"] == ["delivered"]
