"""The WhatsApp provider: what Twilio is asked, and what its answers mean."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.provider import Attempt, HttpTransport
from clarion_testing.vendor import Vendor, vendor
from clarion_whatsapp.content import Content, Form, WhatsAppMessage
from clarion_whatsapp.providers.twilio import Twilio

ACCOUNT = "AC" + "a" * 32
TOKEN = "a-token-that-nobody-may-see"
SID = "HX" + "b" * 32
TEXT = WhatsAppMessage("+14155550123", "Hello & goodbye, Ada", None)
BOTH = WhatsAppMessage("+14155550123", "Hello", Content(SID, {"1": "Ada"}))
ATTEMPT = Attempt("notif_01890a5d", 2)


def created() -> web.Response:
    return web.json_response({"sid": "SM1", "status": "queued"}, status=201)


def refusal(code: object, message: str = "No.", status: int = 400) -> web.Response:
    body = {"code": code, "message": message, "more_info": "https://...", "status": status}
    return web.json_response(body, status=status)


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor(created) as served:
        yield served


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport(timeout=0.5)
    yield opened
    await opened.close()


def twilio(
    api: Vendor,
    transport: HttpTransport,
    *,
    messaging_service_sid: str | None = None,
    prefer: Form = Form.TEXT,
    public_url: str | None = None,
) -> Twilio:
    return Twilio(
        transport,
        ACCOUNT,
        TOKEN,
        sender="whatsapp:+14155238886",
        messaging_service_sid=messaging_service_sid,
        prefer=prefer,
        public_url=public_url,
        base_url=api.url,
    )


def form(api: Vendor) -> dict[str, str]:
    return dict(parse_qsl(api.requests[-1].body.decode(), strict_parsing=True))


async def test_a_message_is_one_form_in_twilios_shape(
    api: Vendor, transport: HttpTransport
) -> None:
    provider = twilio(api, transport, public_url="https://clarion.test/")

    sent = await provider.send(TEXT, ATTEMPT)

    assert sent.provider_message_id == "SM1"
    request = api.requests[0]
    assert (request.method, request.path) == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
    )
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    scheme, _, credentials = request.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", f"{ACCOUNT}:{TOKEN}")
    assert form(api) == {
        "To": "whatsapp:+14155550123",
        "From": "whatsapp:+14155238886",
        "Body": "Hello & goodbye, Ada",
        "StatusCallback": "https://clarion.test/webhooks/twilio?nid=notif_01890a5d&att=2",
    }


async def test_without_a_public_url_there_is_no_callback(
    api: Vendor, transport: HttpTransport
) -> None:
    await twilio(api, transport).send(TEXT, ATTEMPT)

    assert "StatusCallback" not in form(api)


@pytest.mark.parametrize(
    ("prefer", "fields"),
    [
        (Form.TEXT, {"Body": "Hello"}),
        (Form.CONTENT, {"ContentSid": SID, "ContentVariables": json.dumps({"1": "Ada"})}),
    ],
)
async def test_of_two_forms_the_preferred_goes(
    prefer: Form, fields: dict[str, str], api: Vendor, transport: HttpTransport
) -> None:
    await twilio(api, transport, prefer=prefer).send(BOTH, ATTEMPT)

    sent = form(api)
    assert {name: sent[name] for name in sent if name not in {"To", "From"}} == fields


async def test_content_without_variables_names_none(api: Vendor, transport: HttpTransport) -> None:
    await twilio(api, transport).send(
        WhatsAppMessage("+14155550123", None, Content(SID, {})), ATTEMPT
    )

    assert form(api).keys() == {"To", "From", "ContentSid"}


async def test_a_messaging_service_takes_the_senders_place(
    api: Vendor, transport: HttpTransport
) -> None:
    service = "MG" + "c" * 32

    await twilio(api, transport, messaging_service_sid=service).send(TEXT, ATTEMPT)

    assert form(api)["MessagingServiceSid"] == service
    assert "From" not in form(api)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=201),
        web.Response(status=201, text="<html>"),
        web.json_response({"sid": 7}, status=201),
        web.json_response([], status=200),
    ],
    ids=["empty", "html", "sid of another type", "a list"],
)
async def test_accepted_is_accepted_whatever_else_it_says(
    answer: web.Response, api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(answer)

    sent = await twilio(api, transport).send(TEXT, ATTEMPT)

    assert sent.provider_message_id is None


@pytest.mark.parametrize(
    ("codes", "status", "error", "reason"),
    [
        ((21211, 21214, 21217, 21401, 21407, 21614, 63003), 400, BadRecipient, "invalid_recipient"),
        ((21612, 63024), 400, BadRecipient, "unreachable"),
        ((21610,), 400, BadRecipient, "unsubscribed"),
        ((63014, 63033), 400, BadRecipient, "blocked"),
        ((63015, 63032, 63049), 400, BadRecipient, "provider_rejected"),
        ((63016,), 400, BadMessage, "outside_window"),
        ((21602, 21617, 21620, 21654, 21655, 21656, 21658), 400, BadMessage, None),
        ((63005, 63006, 63013, 63019, 63021, 63027, 63028, 63030), 400, BadMessage, None),
        ((63034, 63040, 63041, 63042), 400, BadMessage, None),
        ((20429, 63018, 63038, 14107, 21611, 30001, 63017), 429, Throttled, "rate_limited"),
        ((20500, 20503, 30008, 30410, 63009, 63010, 63012, 63023), 500, Transient, None),
        ((20003, 20005, 20006, 10001), 401, Misconfigured, "provider_auth"),
        ((20404,), 404, Misconfigured, "provider_auth"),
        ((21212, 21408, 21601, 21603, 21606, 21608, 21701, 21703), 400, Misconfigured, None),
        ((30002, 63001, 63002, 63007, 63008, 63020, 63022, 63051), 400, Misconfigured, None),
        # codes that are in no table: by status
        ((99999,), 400, BadMessage, "provider_rejected"),
        ((99999,), 403, Misconfigured, "provider_auth"),
        ((99999,), 429, Throttled, "rate_limited"),
        ((99999,), 503, Transient, "provider_down"),
    ],
)
async def test_each_code_has_its_error(
    codes: tuple[int, ...],
    status: int,
    error: type[SendError],
    reason: str | None,
    api: Vendor,
    transport: HttpTransport,
) -> None:
    for code in codes:
        api.answers.append(refusal(code, f"Because of {code}", status))

        with pytest.raises(SendError) as raised:
            await twilio(api, transport).send(TEXT, ATTEMPT)

        assert type(raised.value) is error
        assert raised.value.reason == (reason or error.reason)
        assert raised.value.code == str(code)
        assert raised.value.text == f"Because of {code}"
    assert len(api.requests) == len(codes)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.Response(status=502, text="<html>Bad gateway"), Transient),
        (web.Response(status=503), Transient),
        (web.Response(status=504), Transient),
        (web.Response(status=401), Misconfigured),
        (web.Response(status=404, text="[]"), Misconfigured),
        (web.Response(status=400, text='{"code": null, "message": null}'), BadMessage),
        (web.Response(status=400, text='{"code": ["x"], "message": {}}'), BadMessage),
        (web.Response(status=400, text='{"code": 400}'), BadMessage),
        (web.Response(status=400, text='"text"'), BadMessage),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), Misconfigured),
    ],
    ids=str,
)
async def test_an_answer_without_a_code_goes_by_its_status(
    answer: web.Response, error: type[SendError], api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(answer)

    with pytest.raises(SendError) as raised:
        await twilio(api, transport).send(TEXT, ATTEMPT)

    assert type(raised.value) is error
    assert raised.value.code == str(answer.status)
    assert raised.value.text


async def test_an_error_in_the_form_of_rfc_9457_is_read_too(
    api: Vendor, transport: HttpTransport
) -> None:
    problem = {"type": "https://...", "title": "Invalid", "status": 400, "code": 21211}
    api.answers.append(web.json_response(problem | {"detail": "No such number"}, status=400))

    with pytest.raises(BadRecipient) as raised:
        await twilio(api, transport).send(TEXT, ATTEMPT)

    assert (raised.value.code, raised.value.text) == ("21211", "Invalid: No such number")


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (20429, {}, 5.0),
        (63018, {}, 60.0),
        (63038, {}, 3600.0),
        (20429, {"Retry-After": "17"}, 17.0),
        (20429, {"Retry-After": "soon"}, 5.0),
        (20429, {"Retry-After": "-3"}, 5.0),
        (20429, {"Retry-After": "9" * 99}, 3600.0),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    code: int, headers: dict[str, str], seconds: float, api: Vendor, transport: HttpTransport
) -> None:
    answer = refusal(code, status=429)
    answer.headers.update(headers)
    api.answers.append(answer)

    with pytest.raises(Throttled) as raised:
        await twilio(api, transport).send(TEXT, ATTEMPT)

    assert raised.value.retry_after == seconds


async def test_an_error_never_holds_the_token(api: Vendor, transport: HttpTransport) -> None:
    api.answers += [refusal(20003, f"wrong: {TOKEN}", 401), web.Response(status=401, text=TOKEN)]

    for _ in range(2):
        with pytest.raises(Misconfigured) as raised:
            await twilio(api, transport).send(TEXT, ATTEMPT)

        assert TOKEN not in f"{raised.value}{raised.value.__cause__}{raised.value.__context__}"


@pytest.mark.parametrize("fault", ["hang", "drop"])
async def test_silence_is_ambiguous_and_not_retried(
    fault: str, api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(fault)

    with pytest.raises(Ambiguous):
        await twilio(api, transport).send(TEXT, ATTEMPT)

    assert len(api.requests) == 1


async def test_what_twilio_would_refuse_is_never_sent(
    api: Vendor, transport: HttpTransport
) -> None:
    with pytest.raises(BadMessage):
        await twilio(api, transport).send(
            WhatsAppMessage("+14155550123", "x" * 1601, None), ATTEMPT
        )

    assert api.requests == []


@pytest.mark.parametrize(
    ("left", "least", "most"),
    [
        (timedelta(minutes=10), 500, 600),
        (timedelta(days=300), 36_000, 36_000),
        (timedelta(seconds=-5), 1, 1),
    ],
)
async def test_a_deadline_is_twilios_validity_period(
    api: Vendor, transport: HttpTransport, left: timedelta, least: int, most: int
) -> None:
    message = replace(TEXT, expires_at=datetime.now(UTC) + left)

    await twilio(api, transport).send(message, ATTEMPT)

    assert least <= int(form(api)["ValidityPeriod"]) <= most


async def test_without_a_deadline_twilios_own_holds(api: Vendor, transport: HttpTransport) -> None:
    await twilio(api, transport).send(TEXT, ATTEMPT)

    assert "ValidityPeriod" not in form(api)
