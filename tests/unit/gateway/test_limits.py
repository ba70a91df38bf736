"""What a request may cost, and what a hostile one gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from clarion_gateway.limits import Limits

SEND = "/v1/notifications"
JSON = {"Content-Type": "application/json"}


async def raw_request(url: str, *parts: bytes, then: bytes = b"") -> bytes:
    """Send bytes as they are and return the head and body of the answer."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return head + await reader.readexactly(length)
    finally:
        writer.close()


def post(*headers: bytes) -> bytes:
    lines = (b"POST /v1/notifications HTTP/1.1", b"Host: x", b"Content-Type: application/json")
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n"


async def test_a_body_declared_too_large_is_refused_before_it_is_sent(gateway: Any) -> None:
    answer = await raw_request(gateway.url, post(b"Content-Length: 1048577"))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_a_chunked_body_is_refused_when_it_grows_too_large(gateway: Any) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = await raw_request(gateway.url, post(b"Transfer-Encoding: chunked"), *[chunk] * 17)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_of_the_full_size_is_read(gateway: Any) -> None:
    body = b" " * (1024 * 1024 - 2) + b"{}"

    answer = await gateway.request("POST", SEND, data=body, headers=JSON)

    assert answer.status == 422


async def test_a_body_that_does_not_come_is_a_408(start_gateway: Any) -> None:
    gateway = await start_gateway(limits=Limits(body_seconds=0.1))

    answer = await raw_request(gateway.url, post(b"Content-Length: 100"), b'{"a"')

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


async def test_a_client_that_goes_away_harms_nobody(gateway: Any) -> None:
    address = urlsplit(gateway.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(post(b"Content-Length: 100") + b"{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    answer = await gateway.send()

    assert answer.status == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonp",
    ],
)
async def test_another_content_type_is_a_415(gateway: Any, content_type: str) -> None:
    answer = await gateway.request("POST", SEND, data=b"{}", headers={"Content-Type": content_type})

    assert answer.status == 415
    assert answer.paths == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON", 'application/json;charset="UTF-8"']
)
async def test_json_in_utf8_is_taken(gateway: Any, content_type: str) -> None:
    answer = await gateway.request("POST", SEND, data=b"{}", headers={"Content-Type": content_type})

    assert answer.status == 422


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"", "line 1 column 0"),
        (b'{"message_id": }', "line 1 column 16"),
        (b'{\n"a": nul}', "line 2 column"),
        (b'{"a": "\xff"}', "line 1 column"),
        (b'{"a": "\\ud800"}', "line 1 column"),
        (b'{"payload": ' + b"[" * 10_000, "recursion limit"),
    ],
)
async def test_what_is_not_json_is_a_400_with_the_position(
    gateway: Any, body: bytes, position: str
) -> None:
    answer = await gateway.request("POST", SEND, data=body, headers=JSON)

    assert answer.status == 400
    assert position in answer.json["detail"]


async def test_deep_nesting_is_refused_by_name(gateway: Any) -> None:
    deep: object = 1
    for _ in range(50):
        deep = [deep]

    answer = await gateway.send(
        payload={"user_name": "Ann", "email": "ann@example.com", "deep": deep}
    )

    assert answer.status == 422
    assert answer.paths[0].startswith("payload.deep.0")


async def test_a_list_of_errors_is_cut_short(gateway: Any) -> None:
    answer = await gateway.send(**{f"surprise{number}" * 50: 1 for number in range(1000)})

    assert answer.status == 422
    assert len(answer.json["errors"]) == 100
    assert len(answer.body) < 100_000
    json.loads(answer.body)
