"""The webhooks take what the providers signed, once each, and answer 2xx for what they ignore."""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from typing import Any

import pytest

from clarion.notification import Status
from clarion.receipt import Fact
from clarion.store.base import Outcome, Store
from clarion_gateway.limits import Limits
from clarion_gateway.providers.sendgrid import FUTURE_SECONDS, PAST_SECONDS, SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_testing.signing import (
    SIGNATURE,
    TIMESTAMP,
    SendGridKey,
    dumped,
    encoded,
    sendgrid_event,
    twilio_headers,
)

PUBLIC_URL = "https://clarion.example.com"
TOKEN = "12345"
NOBODY = "notif_00000000000000000000000000000000"
SID = "SM" + "0" * 32


@pytest.fixture(scope="session")
def key() -> SendGridKey:
    return SendGridKey()


@pytest.fixture
async def gateway(start_gateway: Any, key: SendGridKey) -> Any:
    return await start_gateway(
        sendgrid_events=SendGridEvents(key.public),
        twilio_callbacks=TwilioCallbacks(TOKEN, PUBLIC_URL + "/"),
        poll=3600,
    )


async def sent(gateway: Any, message_id: str = "m1") -> str:
    """Return the id of a notification whose first attempt the provider has accepted."""
    answer = await gateway.send(message_id=message_id)
    notification_id: str = answer.json["notifications"][0]["notification_id"]
    await gateway.store.claim(notification_id, worker="w1", lease=60)
    await gateway.store.record(
        Outcome(notification_id, 1, Status.SENT, "sendgrid", 1.0, provider_message_id="14c5d75ce93")
    )
    return notification_id


async def shown(gateway: Any, notification_id: str) -> Any:
    return (await gateway.get(f"/v1/notifications/{notification_id}")).json


async def events(gateway: Any, key: SendGridKey, *told: Any, at: float | None = None) -> Any:
    return await posted(gateway, key, dumped(told), at)


async def posted(gateway: Any, key: SendGridKey, body: bytes, at: float | None = None) -> Any:
    return await gateway.request(
        "POST", "/webhooks/sendgrid", data=BytesIO(body), headers=key.headers(body, at)
    )


async def callback(gateway: Any, notification_id: str, status: str, **fields: str) -> Any:
    query = f"nid={notification_id}&att=1"
    form = [
        ("MessageSid", f"SM{notification_id[-32:]}"),
        ("MessageStatus", status),
        ("To", "whatsapp:+14155550123"),
        ("From", "whatsapp:+14155238886"),
        ("ChannelPrefix", "whatsapp"),
        ("MessagingServiceSid", ""),  # blank, and signed all the same
        ("AFieldOfNextYear", "x"),
        *fields.items(),
    ]
    headers = twilio_headers(TOKEN, f"{PUBLIC_URL}/webhooks/twilio?{query}", form)
    return await gateway.request(
        "POST", f"/webhooks/twilio?{query}", data=encoded(form), headers=headers
    )


# -- SendGrid


async def test_an_event_moves_the_status_and_is_on_the_timeline(
    gateway: Any, key: SendGridKey
) -> None:
    notification_id = await sent(gateway)

    answer = await events(
        gateway,
        key,
        sendgrid_event(notification_id, "processed"),
        sendgrid_event(notification_id, "delivered", response="250 OK"),
        sendgrid_event(notification_id, "open", timestamp=1_800_000_000),
    )

    now = await shown(gateway, notification_id)
    assert answer.status == 200
    assert answer.json == {"received": 3, "results": {"moved": 1, "noted": 2}}
    assert now["status"] == "delivered"
    assert now["provider_text"] == "250 OK"
    assert now["engagement"] == {"opened": "2027-01-15T08:00:00Z"}
    assert {"processed", "delivered", "opened"} <= {one["status"] for one in now["timeline"]}


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        (
            {"event": "bounce", "type": "bounce", "reason": "550 5.1.1"},
            "bounced",
            "invalid_recipient",
        ),
        ({"event": "bounce", "type": "blocked"}, "undelivered", "provider_rejected"),
        ({"event": "dropped", "reason": "Bounced Address"}, "undelivered", "invalid_recipient"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "undelivered", "unsubscribed"),
        ({"event": "dropped", "reason": "Something New"}, "undelivered", "provider_rejected"),
        ({"event": "deferred", "attempt": "5"}, "sent", None),
        ({"event": "spamreport"}, "delivered", "spam"),
    ],
)
async def test_what_did_not_arrive_says_why(
    gateway: Any, key: SendGridKey, fields: dict[str, Any], status: str, reason: str | None
) -> None:
    notification_id = await sent(gateway)

    await events(gateway, key, sendgrid_event(notification_id, **fields))

    now = await shown(gateway, notification_id)
    assert (now["status"], now["reason"] if status != "delivered" else reason) == (status, reason)


async def test_an_event_that_is_told_again_counts_once(gateway: Any, key: SendGridKey) -> None:
    notification_id = await sent(gateway)
    told = sendgrid_event(notification_id, "delivered")

    first = await events(gateway, key, told)
    again = await events(gateway, key, told)

    assert first.json["results"] == {"moved": 1}
    assert again.status == 200
    assert again.json["results"] == {"duplicate": 1}


async def test_one_bad_event_takes_no_other_with_it(gateway: Any, key: SendGridKey) -> None:
    notification_id = await sent(gateway)

    answer = await events(
        gateway,
        key,
        "no event",
        None,
        {"event": "of_next_year", "nid": notification_id, "att": "1"},
        sendgrid_event(NOBODY, "delivered"),
        sendgrid_event(notification_id, "delivered", nid=None),
        sendgrid_event(notification_id, "delivered", att="one"),
        sendgrid_event(notification_id, "delivered", timestamp="noon"),
        sendgrid_event(notification_id, "open", sg_event_id=["x"] * 3, url="half \ud800"),
        sendgrid_event(notification_id, "click", sg_event_id="e" * 5000, url="\x00" * 3),
        sendgrid_event(notification_id, "delivered"),
    )

    assert answer.status == 200
    assert answer.json["received"] == 10
    assert answer.json["results"] == {
        "unreadable": 3,
        "unknown_type": 1,
        "unknown": 1,
        "not_ours": 2,
        "noted": 2,
        "moved": 1,
    }
    assert (await shown(gateway, notification_id))["status"] == "delivered"


@pytest.mark.parametrize("missing", [SIGNATURE, TIMESTAMP])
async def test_an_unsigned_request_is_401(gateway: Any, key: SendGridKey, missing: str) -> None:
    headers = key.headers(b"[]")
    del headers[missing]

    answer = await gateway.request("POST", "/webhooks/sendgrid", data=b"[]", headers=headers)

    assert answer.status == 401
    assert answer.json["detail"].startswith("the signature's headers are missing")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (SIGNATURE, "not base64!"),
        (SIGNATURE, "AAAA"),
        (SIGNATURE, "a"),
        (TIMESTAMP, "yesterday"),
        (TIMESTAMP, "9" * 5000),
        (TIMESTAMP, "\xe9"),
    ],
)
async def test_a_malformed_header_is_refused_and_never_an_error(
    gateway: Any, key: SendGridKey, header: str, value: str
) -> None:
    headers = key.headers(b"[]") | {header: value}

    answer = await gateway.request("POST", "/webhooks/sendgrid", data=b"[]", headers=headers)

    assert answer.status in {401, 403}


async def test_a_changed_body_is_403(gateway: Any, key: SendGridKey) -> None:
    body = dumped([sendgrid_event(NOBODY, "delivered")])

    answer = await gateway.request(
        "POST",
        "/webhooks/sendgrid",
        data=body.replace(b"delivered", b"processed"),
        headers=key.headers(body),
    )

    assert answer.status == 403


@pytest.mark.parametrize("age", [PAST_SECONDS + 60, -FUTURE_SECONDS - 60])
async def test_a_stale_signature_is_403(gateway: Any, key: SendGridKey, age: float) -> None:
    answer = await events(gateway, key, at=time.time() - age)

    assert answer.status == 403


async def test_a_try_of_yesterday_is_taken(gateway: Any, key: SendGridKey) -> None:
    answer = await events(gateway, key, at=time.time() - 24 * 3600)

    assert answer.status == 200


async def test_another_key_is_403(gateway: Any) -> None:
    answer = await events(gateway, SendGridKey())

    assert answer.status == 403


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"null", b"[" * 100_000, b"\xff\xfe"])
async def test_garbage_that_is_signed_is_refused_and_never_an_error(
    gateway: Any, key: SendGridKey, body: bytes
) -> None:
    answer = await posted(gateway, key, body)

    assert answer.status in {400, 401}


async def test_a_body_of_5_mib_is_taken_and_one_byte_more_is_413(
    gateway: Any, key: SendGridKey
) -> None:
    most = Limits().receipts_body
    fits = b"[" + b" " * (most - 2) + b"]"
    too_long = fits + b" "

    taken = await posted(gateway, key, fits)
    refused = await posted(gateway, key, too_long)

    assert (taken.status, refused.status) == (200, 413)


async def test_a_burst_of_ten_thousand_events_is_all_noted(gateway: Any, key: SendGridKey) -> None:
    ids = [await sent(gateway, f"m{number}") for number in range(10)]
    told = [
        sendgrid_event(ids[number % 10], "click", sg_event_id=f"e{number}")
        for number in range(10_000)
    ]

    answer = await events(gateway, key, *told)

    assert answer.status == 200
    assert answer.json["results"] == {"moved": 10, "noted": 9_990}


async def test_a_gateway_without_the_key_refuses_and_names_the_setting(
    start_gateway: Any, key: SendGridKey
) -> None:
    bare = await start_gateway()

    from_sendgrid = await events(bare, key)
    from_twilio = await callback(bare, NOBODY, "delivered")

    assert from_sendgrid.status == from_twilio.status == 403
    assert "SENDGRID_WEBHOOK_PUBLIC_KEY" in from_sendgrid.json["detail"]
    assert "TWILIO_AUTH_TOKEN" in from_twilio.json["detail"]


async def test_a_database_that_is_away_is_503_so_that_the_provider_tells_again(
    start_gateway: Any, key: SendGridKey, absent_store: Store
) -> None:
    gateway = await start_gateway(
        store=absent_store, sendgrid_events=SendGridEvents(key.public), poll=3600
    )

    answer = await events(gateway, key, sendgrid_event(NOBODY, "delivered"))

    assert answer.status == 503


# -- Twilio


async def test_a_callback_moves_the_status(gateway: Any) -> None:
    notification_id = await sent(gateway)

    answers = [
        await callback(gateway, notification_id, status) for status in ("sent", "delivered", "read")
    ]

    now = await shown(gateway, notification_id)
    assert [answer.status for answer in answers] == [204, 204, 204]
    assert now["status"] == "delivered"
    assert list(now["engagement"]) == ["read"]


async def test_a_late_code_means_what_it_means_at_once(gateway: Any) -> None:
    notification_id = await sent(gateway)

    await callback(
        gateway, notification_id, "undelivered", ErrorCode="63024", ErrorMessage="Invalid recipient"
    )

    now = await shown(gateway, notification_id)
    assert (now["status"], now["reason"]) == ("undelivered", "unreachable")
    assert (now["provider_code"], now["provider_text"]) == ("63024", "Invalid recipient")


async def test_callbacks_out_of_order_and_doubled_end_the_same(gateway: Any) -> None:
    notification_id = await sent(gateway)

    for status in ("delivered", "sent", "delivered", "queued"):
        assert (await callback(gateway, notification_id, status)).status == 204

    now = await shown(gateway, notification_id)
    told = [one["status"] for one in now["timeline"] if one["status"] in set(Fact)]
    assert now["status"] == "delivered"
    assert sorted(told) == ["delivered", "processed", "processed"]


@pytest.mark.parametrize(
    ("notification_id", "status"), [(NOBODY, "delivered"), (NOBODY, "partially_new"), ("x", "sent")]
)
async def test_what_is_not_known_is_answered_2xx(
    gateway: Any, notification_id: str, status: str
) -> None:
    answer = await callback(gateway, notification_id, status)

    assert answer.status == 204


async def test_a_callback_to_another_url_is_403(gateway: Any) -> None:
    form = [("MessageSid", SID), ("MessageStatus", "delivered")]
    headers = twilio_headers(TOKEN, f"{PUBLIC_URL}/webhooks/twilio?nid={NOBODY}&att=1", form)

    answer = await gateway.request(
        "POST", f"/webhooks/twilio?nid={NOBODY}&att=2", data=encoded(form), headers=headers
    )

    assert answer.status == 403


async def test_a_callback_with_a_changed_field_is_403(gateway: Any) -> None:
    form = [("MessageSid", SID), ("MessageStatus", "sent")]
    headers = twilio_headers(TOKEN, f"{PUBLIC_URL}/webhooks/twilio", form)

    answer = await gateway.request(
        "POST",
        "/webhooks/twilio",
        data=encoded([("MessageSid", SID), ("MessageStatus", "delivered")]),
        headers=headers,
    )

    assert answer.status == 403


async def test_the_sha256_variant_is_taken(gateway: Any) -> None:
    notification_id = await sent(gateway)
    query = f"nid={notification_id}&att=1"
    form = [("MessageSid", SID), ("MessageStatus", "delivered")]
    headers = twilio_headers(TOKEN, f"{PUBLIC_URL}/webhooks/twilio?{query}", form, "sha256")

    answer = await gateway.request(
        "POST", f"/webhooks/twilio?{query}", data=encoded(form), headers=headers
    )

    assert answer.status == 204
    assert (await shown(gateway, notification_id))["status"] == "delivered"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-Twilio-Signature": ""}, 401),
        ({"X-Twilio-Signature": "x"}, 403),
        ({"X-Twilio-Signature": "\xe9"}, 403),
        (
            {"X-Twilio-Signature": "x", "X-Twilio-Webhooks-Signature-Settings": "algorithm=MD5"},
            403,
        ),
    ],
)
async def test_a_callback_without_a_good_signature_is_refused(
    gateway: Any, headers: dict[str, str], status: int
) -> None:
    answer = await gateway.request("POST", "/webhooks/twilio", data=b"a=b", headers=headers)

    assert answer.status == status


@pytest.mark.parametrize("body", [b"\xff\xfe=1", b"%ff=1", b"a=1&" * 300, b"", b"&&&"])
async def test_a_form_that_cannot_be_read_is_refused_and_never_an_error(
    gateway: Any, body: bytes
) -> None:
    answer = await gateway.request(
        "POST", "/webhooks/twilio", data=body, headers={"X-Twilio-Signature": "x"}
    )

    assert answer.status in {401, 403}


# -- both at once


async def test_receipts_of_many_notifications_at_once_lose_none(
    gateway: Any, key: SendGridKey
) -> None:
    ids = [await sent(gateway, f"m{number}") for number in range(20)]

    await asyncio.gather(
        *(callback(gateway, each, "delivered") for each in ids[:10]),
        *(events(gateway, key, sendgrid_event(each, "delivered")) for each in ids[10:]),
    )

    statuses = [(await shown(gateway, each))["status"] for each in ids]
    assert statuses == ["delivered"] * 20
