"""Free text goes within 24 hours of the person's last message, else the template's content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from clarion.errors import BadMessage, SendError
from clarion.inbound import Inbound
from clarion.notification import Channel
from clarion.provider import Attempt, HttpTransport
from clarion.store import migrate, open_store
from clarion.store.base import Store
from clarion_testing.vendor import Vendor, vendor
from clarion_whatsapp.content import Content, Form, WhatsAppMessage
from clarion_whatsapp.providers.twilio import Twilio
from clarion_whatsapp.window import window_of

ANN = "+14155550123"
SID = "HX" + "b" * 32
TEXT = WhatsAppMessage(ANN, "Hello", None)
BOTH = WhatsAppMessage(ANN, "Hello", Content(SID, {"1": "Ada"}))
CONTENT = WhatsAppMessage(ANN, None, Content(SID, {"1": "Ada"}))
ATTEMPT = Attempt("notif_01890a5d", 1)


def created() -> web.Response:
    return web.json_response({"sid": "SM1", "status": "queued"}, status=201)


def refusal(code: int) -> web.Response:
    return web.json_response({"code": code, "message": "No.", "status": 400}, status=400)


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor(created) as served:
        yield served


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/clarion.db"
    await asyncio.to_thread(migrate, url)
    opened = open_store(url)
    yield opened
    await opened.close()


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport(timeout=2)
    yield opened
    await opened.close()


def twilio(
    api: Vendor, transport: HttpTransport, store: Store | None, prefer: Form = Form.TEXT
) -> Twilio:
    return Twilio(
        transport,
        "AC" + "a" * 32,
        "a-token",
        sender="whatsapp:+14155238886",
        prefer=prefer,
        base_url=api.url,
        window=None if store is None else window_of(store),
    )


async def open_window(store: Store) -> None:
    assert await store.note_inbound(Inbound("k1", Channel.WHATSAPP, ANN, "test"))


def sent(api: Vendor) -> list[str]:
    """Return in which form each call was made."""
    forms = [dict(parse_qsl(request.body.decode())) for request in api.requests]
    return ["content" if "ContentSid" in form else "text" for form in forms]


@pytest.mark.parametrize("message", [TEXT, BOTH])
async def test_text_goes_while_the_window_is_open(
    api: Vendor, transport: HttpTransport, store: Store, message: WhatsAppMessage
) -> None:
    await open_window(store)

    await twilio(api, transport, store).send(message, ATTEMPT)

    assert sent(api) == ["text"]


async def test_outside_of_it_the_templates_content_goes_instead(
    api: Vendor, transport: HttpTransport, store: Store
) -> None:
    await twilio(api, transport, store).send(BOTH, ATTEMPT)

    assert sent(api) == ["content"]


async def test_without_content_it_fails_unsent_and_says_how_to_mend_it(
    api: Vendor, transport: HttpTransport, store: Store
) -> None:
    with pytest.raises(BadMessage, match="content_sid") as raised:
        await twilio(api, transport, store).send(TEXT, ATTEMPT)

    assert raised.value.reason == "outside_window"
    assert api.requests == []


async def test_content_asks_for_no_window(api: Vendor, transport: HttpTransport) -> None:
    async def never(_number: str) -> bool:
        raise AssertionError("asked")

    provider = Twilio(
        transport, "AC" + "a" * 32, "t", sender="whatsapp:+1415", base_url=api.url, window=never
    )

    await provider.send(CONTENT, ATTEMPT)
    await provider.send(BOTH, ATTEMPT)

    assert sent(api) == ["content", "content"]


async def test_where_nobody_enforces_it_text_goes(api: Vendor, transport: HttpTransport) -> None:
    await twilio(api, transport, None).send(TEXT, ATTEMPT)

    assert sent(api) == ["text"]


async def test_a_store_that_is_away_leaves_it_to_twilio(
    api: Vendor, transport: HttpTransport, store: Store
) -> None:
    provider = twilio(api, transport, store)
    await store.close()

    await provider.send(TEXT, ATTEMPT)

    assert sent(api) == ["text"]


async def test_a_window_that_closed_on_the_way_has_the_content_sent_once(
    api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(refusal(63016))

    answer = await twilio(api, transport, None).send(BOTH, ATTEMPT)

    assert answer.provider_message_id == "SM1"
    assert sent(api) == ["text", "content"]


async def test_a_second_refusal_is_the_answer(api: Vendor, transport: HttpTransport) -> None:
    api.answers += [refusal(63016), refusal(63016), refusal(63016)]

    with pytest.raises(BadMessage) as raised:
        await twilio(api, transport, None).send(BOTH, ATTEMPT)

    assert (raised.value.reason, raised.value.code) == ("outside_window", "63016")
    assert sent(api) == ["text", "content"]


async def test_twilios_own_word_has_the_same_reason(api: Vendor, transport: HttpTransport) -> None:
    api.answers.append(refusal(63016))

    with pytest.raises(BadMessage) as raised:
        await twilio(api, transport, None).send(TEXT, ATTEMPT)

    assert raised.value.reason == "outside_window"
    assert sent(api) == ["text"]


async def test_any_other_refusal_is_not_sent_again(api: Vendor, transport: HttpTransport) -> None:
    api.answers.append(refusal(21610))

    with pytest.raises(SendError):
        await twilio(api, transport, None).send(BOTH, ATTEMPT)

    assert sent(api) == ["text"]
