"""What a person writes by WhatsApp opens their window, and STOP and START are heard."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from clarion.notification import Channel, Reason
from clarion.store.base import Store
from clarion.suppression import Kind
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_testing.signing import encoded, twilio_headers

PUBLIC_URL = "https://clarion.example.com"
PATH = "/webhooks/twilio/inbound"
TOKEN = "12345"
ANN = "+14155550123"
DAY = 86_400.0

_numbers = count()


@pytest.fixture
async def gateway(start_gateway: Any) -> Any:
    return await start_gateway(twilio_callbacks=TwilioCallbacks(TOKEN, PUBLIC_URL), poll=3600)


def form(text: str = "Hello", **fields: str) -> list[tuple[str, str]]:
    """Return what Twilio posts of a new message of Ann's."""
    made = {
        "MessageSid": f"SM{next(_numbers):032x}",
        "AccountSid": "AC" + "0" * 32,
        "From": f"whatsapp:{ANN}",
        "To": "whatsapp:+14155238886",
        "Body": text,
        "NumMedia": "0",
        "ProfileName": "Ann",
        "WaId": ANN[1:],
        "ButtonText": "",  # blank, and signed all the same
        "AFieldOfNextYear": "x",
    }
    return list((made | fields).items())


async def write(
    gateway: Any,
    told: list[tuple[str, str]],
    *,
    url: str = PUBLIC_URL + PATH,
    token: str = TOKEN,
    body: bytes | None = None,
) -> Any:
    headers = twilio_headers(token, url, told)
    return await gateway.request("POST", PATH, data=body or encoded(told), headers=headers)


async def wrote(gateway: Any, number: str = ANN) -> bool:
    found: bool = await gateway.store.wrote_within(Channel.WHATSAPP, number, DAY)
    return found


async def suppressed(gateway: Any) -> list[tuple[str, Kind, Reason, str]]:
    page, _ = await gateway.store.suppressions(channel=Channel.WHATSAPP, limit=10)
    return [(one.address, one.kind, one.reason, one.source) for one in page]


async def test_a_message_opens_the_window_and_nothing_is_sent_back(gateway: Any) -> None:
    answer = await write(gateway, form())

    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/xml")
    assert answer.body.endswith(b"<Response/>")
    assert await wrote(gateway)
    assert await suppressed(gateway) == []


async def test_stop_suppresses_and_start_ends_it(gateway: Any) -> None:
    await write(gateway, form(" Stop! "))
    after_stop = await suppressed(gateway)
    await write(gateway, form("START"))

    assert after_stop == [(ANN, Kind.WISH, Reason.UNSUBSCRIBED, "twilio inbound")]
    assert await suppressed(gateway) == []
    assert await wrote(gateway)


@pytest.mark.parametrize(
    ("text", "told", "stops"),
    [
        ("no more of this", "STOP", True),
        ("stop", "HELP", False),
        ("stop", "START", False),
        ("stop", "", True),
        ("stop it please", "", False),
    ],
)
async def test_what_twilio_knows_of_the_word_decides(
    gateway: Any, text: str, told: str, stops: bool
) -> None:
    await write(gateway, form(text, OptOutType=told))

    assert bool(await suppressed(gateway)) == stops


async def test_a_stop_that_twilio_repeats_does_not_undo_the_start_after_it(gateway: Any) -> None:
    stop = form("stop")
    for told in (stop, stop, form("start"), stop):
        assert (await write(gateway, told)).status == 200

    assert await suppressed(gateway) == []


async def test_a_number_that_whatsapp_knows_in_its_older_form_is_the_same(gateway: Any) -> None:
    await write(gateway, form("stop", From="whatsapp:+5215512345678"))

    assert await wrote(gateway, "+525512345678")
    assert {one[0] for one in await suppressed(gateway)} == {"+5215512345678", "+525512345678"}


@pytest.mark.parametrize(
    "fields",
    [
        {"From": ANN},  # an SMS
        {"From": "whatsapp:"},
        {"From": "whatsapp:+1"},
        {"From": "whatsapp:+\u0661\u0664\u0661\u0665\u0665\u0665\u0665"},
        {"From": "whatsapp:+1415555\uff10123"},
        {"From": f"whatsapp:{ANN}\n"},
        {"From": "messenger:1234567890"},
        {"MessageSid": ""},
    ],
)
async def test_what_is_not_from_a_whatsapp_number_is_answered_and_ignored(
    gateway: Any, fields: dict[str, str]
) -> None:
    answer = await write(gateway, form("stop", **fields))

    assert answer.status == 200
    assert await suppressed(gateway) == []
    assert not await wrote(gateway)


@pytest.mark.parametrize(
    "text", ["", "\x00", "🛑" * 1000, "<Response><Message>hi</Message></Response>", "a" * 10_000]
)
async def test_whatever_a_person_writes_is_taken(gateway: Any, text: str) -> None:
    answer = await write(gateway, form(text))

    assert answer.status == 200
    assert answer.body.endswith(b"<Response/>")
    assert await wrote(gateway)


async def test_a_changed_form_is_403_and_opens_nothing(gateway: Any) -> None:
    told = form()
    changed = encoded([(name, "stop" if name == "Body" else value) for name, value in told])

    answer = await write(gateway, told, body=changed)

    assert answer.status == 403
    assert not await wrote(gateway)


@pytest.mark.parametrize(
    "url",
    [
        f"{PUBLIC_URL}/webhooks/twilio",
        f"http://clarion.example.com{PATH}",
        f"https://other.example.com{PATH}",
        f"{PUBLIC_URL}{PATH}?nid=x",
    ],
)
async def test_one_that_was_signed_for_another_url_is_403(gateway: Any, url: str) -> None:
    answer = await write(gateway, form(), url=url)

    assert answer.status == 403
    assert not await wrote(gateway)


async def test_another_token_is_403(gateway: Any) -> None:
    assert (await write(gateway, form(), token="54321")).status == 403


async def test_one_without_a_signature_is_401(gateway: Any) -> None:
    answer = await gateway.request("POST", PATH, data=encoded(form()))

    assert answer.status == 401


@pytest.mark.parametrize("body", [b"\xff\xfe=1", b"%ff=1", b"a=1&" * 300, b"", b"&&&"])
async def test_a_form_that_cannot_be_read_is_refused_and_never_an_error(
    gateway: Any, body: bytes
) -> None:
    answer = await gateway.request("POST", PATH, data=body, headers={"X-Twilio-Signature": "x"})

    assert answer.status in {401, 403}


async def test_a_gateway_without_the_token_refuses_and_names_the_setting(
    start_gateway: Any,
) -> None:
    answer = await write(await start_gateway(), form())

    assert answer.status == 403
    assert "TWILIO_AUTH_TOKEN" in answer.json["detail"]


async def test_a_database_that_is_away_is_503(start_gateway: Any, absent_store: Store) -> None:
    gateway = await start_gateway(
        store=absent_store, twilio_callbacks=TwilioCallbacks(TOKEN, PUBLIC_URL), poll=3600
    )

    assert (await write(gateway, form())).status == 503
