"""What someone who means harm may send, and that it does none."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from clarion_gateway import connection

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>${7*7}<%7*7%>{{7*7}}"
SEND = "/v1/notifications"


async def talk(url: str, *parts: bytes) -> bytes:
    """Send bytes as they are, and return all that comes until the other side closes."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.Connection, "head_seconds", 0.3)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((), b""),
        ((b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ",), b"HTTP/1.1 408 "),
        ((b"G",), b"HTTP/1.1 408 "),
        ((b"\r\n", b"\r\n"), b"HTTP/1.1 408 "),
    ],
)
async def test_a_head_that_does_not_come_closes_the_connection(
    gateway: Any, parts: tuple[bytes, ...], answer: bytes
) -> None:
    assert (await talk(gateway.url, *parts)).startswith(answer)


@pytest.mark.usefixtures("hurried")
async def test_the_second_head_of_a_connection_is_not_waited_for_either(gateway: Any) -> None:
    whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"

    answers = await talk(gateway.url, whole, b"GET /health/live HTTP/1.1\r\nHost:")

    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.endswith(b"connection: close\r\n\r\n")
    assert b"HTTP/1.1 408 " in answers


@pytest.mark.usefixtures("hurried")
async def test_a_slow_body_outlives_the_time_of_a_head(gateway: Any) -> None:
    body = json.dumps({"channel": "email"}).encode()
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    for byte in body:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.03)

    answer = await reader.read()

    writer.close()
    assert answer.startswith(b"HTTP/1.1 422 ")


async def test_a_head_of_any_size_is_not_taken(gateway: Any) -> None:
    line = b"X-Filler: " + b"x" * 8000 + b"\r\n"

    answer = await talk(gateway.url, b"GET / HTTP/1.1\r\nHost: x\r\n", *[line] * 20)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert (await gateway.get("/health/live")).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\rSet-Cookie: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\nb: c\r\nConnection: close\r\n\r\n",
        b"GET /%0d%0aSet-Cookie:%20b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/templates/a%0d%0aSet-Cookie:b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_no_request_puts_a_header_into_an_answer(gateway: Any, raw: bytes) -> None:
    answer = await talk(gateway.url, raw)

    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"set-cookie" not in head
    assert not re.search(rb"[^\r]\n|\r[^\n]", head)
    assert b"traceback" not in answer.lower()


@pytest.mark.parametrize(
    "template_id",
    [
        "../../../etc/passwd",
        "..",
        "welcome/../otp",
        "_layout",
        "_layout/email.html.mako",
        "/etc/passwd",
        "welcome\x00",
        "welcome\n",
        "file:///etc/passwd",
        "WELCOME",
        "welcome ",
        "\uff0e\uff0e",
        "..\\..\\windows",
    ],
)
async def test_no_template_is_reached_by_a_path(gateway: Any, template_id: str) -> None:
    asked = {"channel": "email", "payload": {"user_name": "Ann"}}
    escaped = quote(template_id, safe="")

    sent = await gateway.send(template_id=template_id)
    shown = await gateway.get(f"/v1/templates/{escaped}")
    tried = await gateway.post(f"/v1/templates/{escaped}/preview", asked)

    assert sent.status == 422
    assert sent.paths == ["template_id"]
    assert (shown.status, tried.status) == (404, 404)


class Tags(HTMLParser):
    """The tags of a page, and the attributes that run or load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [n for n, _ in attrs if n.startswith("on") or n in {"src", "srcdoc", "action"}]
        links = [v or "" for n, v in attrs if n == "href"]
        self.found += [(tag, n) for n in [*names, *links]] or [(tag, "")]


VARIABLES: dict[str, dict[str, Any]] = {
    "welcome": {"user_name": "Ann"},
    "otp": {"code": "123456", "expires_minutes": 5},
    "order_shipped": {
        "user_name": "Ann",
        "order_id": "1001",
        "carrier": "DHL",
        "tracking_url": "https://example.com/1",
        "items": [{"name": "Book", "quantity": 1}],
    },
}


def poisoned(value: Any, poison: Callable[[str], str]) -> Any:
    """Return the value with every text in it changed."""
    match value:
        case str():
            return poison(value)
        case dict():
            return {key: poisoned(item, poison) for key, item in value.items()}
        case list():
            return [poisoned(item, poison) for item in value]
        case _:
            return value


@pytest.mark.parametrize("template_id", sorted(VARIABLES))
async def test_a_payload_puts_no_html_into_a_mail(gateway: Any, template_id: str) -> None:
    path = f"/v1/templates/{template_id}/preview"
    clean = VARIABLES[template_id]
    evil = poisoned(clean, lambda text: text if text.startswith("http") else text + EVIL)

    async def html(payload: dict[str, Any]) -> str:
        answer = await gateway.post(path, {"channel": "email", "payload": payload})
        assert answer.status == 200, answer.body
        return str(answer.json["parts"]["html"])

    harmless, attacked = await html(clean), await html(evil)

    assert Tags(attacked).found == Tags(harmless).found
    assert attacked.count("49") == harmless.count("49")
    assert "${7*7}" in attacked


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "JaVaScRiPt:x", "//x.test"]
)
async def test_an_address_that_runs_something_is_no_link(gateway: Any, url: str) -> None:
    payload = VARIABLES["order_shipped"] | {"tracking_url": url}

    answer = await gateway.post(
        "/v1/templates/order_shipped/preview", {"channel": "email", "payload": payload}
    )

    assert answer.status == 200
    assert not any(url.strip() in value for _, value in Tags(answer.json["parts"]["html"]).found)


@pytest.mark.parametrize("char", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
async def test_no_payload_puts_a_line_into_a_subject(gateway: Any, char: str) -> None:
    payload = {"user_name": f"Ann{char}Bcc: victim@example.com"}

    answer = await gateway.post(
        "/v1/templates/welcome/preview", {"channel": "email", "payload": payload}
    )

    if answer.status == 422:
        assert "line break" in str(answer.json["errors"] or answer.json["detail"])
    else:
        assert len(answer.json["parts"]["subject"].splitlines()) == 1


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com\r\nBcc: victim@example.com",
        "ann@example.com\nBcc: victim@example.com",
        "ann@example.com,victim@example.com",
        "ann@example.com;victim@example.com",
        "ann@example.com victim@example.com",
        "Ann <ann@example.com>",
        "ann@exam\u200bple.com",  # zero-width space
        "ann\u202e@example.com",  # writes backwards from here
        "ann\uff20example.com",  # a wide @
        "\u0430nn@example.com",  # a Cyrillic a
        "ann@example.com\x00",
        "ann@[127.0.0.1]",
        "ann@localhost",
        "ann@example.com\u00a0",
        "ann@ex\u3002ample\u3002com\u200d",
    ],
)
async def test_an_address_that_is_not_what_it_seems_is_refused(gateway: Any, address: str) -> None:
    answer = await gateway.send(payload={"user_name": "Ann", "email": address})

    assert answer.status == 422
    assert answer.paths == ["payload.email"]


@pytest.mark.parametrize(
    "phone",
    [
        "+1415555\u0660123",  # Arabic digits
        "\uff0b14155550123",  # a wide +
        "+14155550123\n",
        "+1415555\u200b0123",
        "whatsapp:+14155550123",
        "+14155550123,+14155550124",
    ],
)
async def test_a_number_that_is_not_what_it_seems_is_refused(gateway: Any, phone: str) -> None:
    answer = await gateway.send(channel="whatsapp", payload={"user_name": "Ann", "phone": phone})

    assert answer.status == 422
    assert answer.paths == ["payload.phone"]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 150_000,
        b'{"payload": {"a": ' + b"[" * 200 + b"1" + b"]" * 200 + b"}}",
        b'{"message_id": "' + b"m" * 900_000 + b'"}',
        b'{"payload": {"n": 1' + b"0" * 500_000 + b"}}",
        b"{" + b",".join(b'"k%d": 1' % n for n in range(60_000)) + b"}",
    ],
)
@pytest.mark.parametrize("path", [SEND, f"{SEND}/batch", "/v1/templates/welcome/preview"])
async def test_a_body_made_to_exhaust_is_refused_and_others_are_served(
    gateway: Any, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    refused, served = await asyncio.gather(
        gateway.request("POST", path, data=body, headers=headers), gateway.get("/health/live")
    )

    assert refused.status in {400, 422}
    assert len(refused.body) < 100_000
    assert served.status == 200
