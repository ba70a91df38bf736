"""The one way out to a provider, and what its answers say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from loguru import logger
from multidict import CIMultiDict

from clarion.errors import (
    Ambiguous,
    BadMessage,
    Misconfigured,
    SendError,
    Throttled,
    Transient,
)
from clarion.provider import (
    MAX_TEXT,
    Attempt,
    HttpTransport,
    Reply,
    SentMessage,
    ask,
    excerpt,
    of_status,
    report_unknown,
    throttled,
)
from clarion_testing.garbage import no_garbage
from clarion_testing.vendor import Vendor, vendor


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor() as served:
        yield served


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport(timeout=0.5)
    yield opened
    await opened.close()


def reply(**headers: str) -> Reply:
    return Reply(429, CIMultiDict({key.replace("_", "-"): headers[key] for key in headers}), b"")


async def test_an_answer_of_any_status_comes_back_whole(
    api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(web.Response(status=418, text="teapot", headers={"X-Kind": "short"}))

    answer = await transport.post(f"{api.url}/pot?x=1", b"tea", {"Content-Type": "text/plain"})

    assert (answer.status, answer.body, answer.headers["x-kind"]) == (418, b"teapot", "short")
    assert (api.requests[0].path, api.requests[0].body) == ("/pot?x=1", b"tea")


async def test_a_refused_connection_is_transient(transport: HttpTransport) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening: nobody else can take the port meanwhile
        port = bound.getsockname()[1]

        with pytest.raises(Transient) as raised:
            await transport.post(f"http://127.0.0.1:{port}/", b"", {})

    assert (raised.value.code, raised.value.reason) == ("connect", "provider_down")


async def test_a_name_that_does_not_resolve_is_transient(transport: HttpTransport) -> None:
    with pytest.raises(Transient):
        await transport.post("http://no-such-host.invalid/", b"", {})


async def test_a_server_that_is_not_tls_is_transient(api: Vendor, transport: HttpTransport) -> None:
    with pytest.raises(Transient):
        await transport.post(api.url.replace("http:", "https:"), b"", {})

    assert api.requests == []


async def test_waiting_for_a_pooled_connection_is_transient(api: Vendor) -> None:
    transport = HttpTransport(timeout=1.0, connections=1)
    api.answers.append("hang")

    first, second = await asyncio.gather(
        transport.post(api.url, b"", {}), transport.post(api.url, b"", {}), return_exceptions=True
    )
    await transport.close()

    assert isinstance(first, Ambiguous)
    assert isinstance(second, Transient)
    assert len(api.requests) == 1


@pytest.mark.parametrize("fault", ["hang", "drop"])
async def test_a_request_without_an_answer_is_ambiguous(
    fault: str, api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append(fault)

    with pytest.raises(Ambiguous) as raised:
        await transport.post(api.url, b"", {})

    assert (raised.value.code, raised.value.reason) == ("no_answer", "timeout")
    assert len(api.requests) == 1


async def test_a_body_that_breaks_off_leaves_the_status_standing(
    api: Vendor, transport: HttpTransport
) -> None:
    api.answers.append("torn")

    answer = await transport.post(api.url, b"", {})

    assert answer.accepted
    assert (answer.headers["X-Message-Id"], answer.body) == ("torn-1", b"")


async def test_a_redirect_is_not_followed(api: Vendor, transport: HttpTransport) -> None:
    api.answers.append(web.Response(status=307, headers={"Location": f"{api.url}/elsewhere"}))

    answer = await transport.post(api.url, b"", {"Authorization": "Bearer secret"})

    assert answer.status == 307
    assert len(api.requests) == 1


async def test_a_url_that_is_none_is_a_matter_for_the_operator(transport: HttpTransport) -> None:
    with pytest.raises(Misconfigured):
        await transport.post("http:///v3", b"", {})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("7200", 3600.0),
        ("9" * 6000, 3600.0),
        ("-5", None),
        ("1e3", None),
        ("", None),
        ("soon", None),
        ("\u0663", None),
        ("Mon, 99 Jan 2024 99:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +9999999", None),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_retry_after_is_bounded_and_never_fails(value: str, seconds: float | None) -> None:
    assert reply(Retry_After=value).retry_after() == seconds


@pytest.mark.parametrize("usegmt", [True, False])
def test_retry_after_may_be_a_date(usegmt: bool) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=usegmt)

    seconds = reply(Retry_After=at).retry_after()

    assert seconds is not None
    assert 60 < seconds <= 90


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("x", None), ("-1", None), ("1", 0.0), ("9" * 6000, 3600.0)],
)
def test_a_reset_time_is_bounded_and_never_fails(value: str, seconds: float | None) -> None:
    assert reply(X_RateLimit_Reset=value).reset_after("X-RateLimit-Reset") == seconds


def test_a_missing_header_asks_for_nothing() -> None:
    assert reply().retry_after() is None
    assert reply().reset_after("X-RateLimit-Reset") is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_json_object_reads_as_empty(body: bytes) -> None:
    assert Reply(500, {}, body).json() == {}


def test_a_vendors_words_are_one_bounded_line_that_a_database_can_hold() -> None:
    text = excerpt("a\r\nb\x00c\ud800d\u2028e " + "x" * 10_000)

    assert text.startswith("a b c d e xxx")
    assert len(text) == MAX_TEXT
    assert text.isprintable()


def test_a_credential_is_hidden_even_where_the_text_is_cut() -> None:
    secret = "s3cr3t-" * 10

    text = excerpt("x" * (MAX_TEXT - 20) + secret, hide=secret)

    assert "s3cr3t" not in text
    assert text.endswith("***")


def test_an_empty_body_is_told_by_its_status() -> None:
    assert Reply(502, {}, b"").text() == "HTTP 502"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, Misconfigured),
        (400, BadMessage),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, Misconfigured),
        (408, Transient),
        (422, BadMessage),
        (429, Throttled),
        (500, Transient),
        (503, Transient),
        (599, Transient),
    ],
)
def test_a_status_alone_has_a_meaning(status: int, error: type[SendError]) -> None:
    assert type(of_status(status).to_error("text", str(status))) is error


def test_a_meaning_waits_as_told_and_else_by_itself() -> None:
    meaning = throttled(60)

    assert meaning.to_error("slow down", "429").retry_after == 60
    assert meaning.to_error("slow down", "429", 5.0).retry_after == 5.0
    assert meaning.to_error("slow down", "429", 0.0).retry_after == 0.0


def test_an_unknown_code_is_logged_once() -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    report_unknown.cache_clear()

    for code in ("99999", "99999", "99998"):
        report_unknown("twilio", code)

    logger.remove(sink)
    assert [line.strip()[-5:] for line in lines] == ["99999", "99998"]


class Refusing:
    """A provider whose frame holds the error that it raises, as frames do."""

    name = "refusing"

    async def send(self, message: str, attempt: Attempt) -> SentMessage:
        error = Transient(f"not now: {message}", code="500")
        raise error


async def test_a_refusal_leaves_nothing_to_the_garbage_collector() -> None:
    with no_garbage():
        answer = await ask(Refusing(), "hello", Attempt("notif_1", 1))
        assert str(answer) == "500: not now: hello"
        del answer
