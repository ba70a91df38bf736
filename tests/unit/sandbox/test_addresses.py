"""The magic addresses and their twins."""

from pathlib import Path

import aiohttp
import pytest

from clarion_sandbox.addresses import ADDRESSES, TELLING
from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import Sender

OK = {"email": 202, "whatsapp": 201, "push": 200}


def twins(email: str) -> list[tuple[str, str]]:
    (magic,) = (one for one in ADDRESSES if one.email == f"{email}@sandbox.test")
    return list(magic.twins().items())


@pytest.mark.parametrize(("channel", "to"), twins("fail"))
async def test_fail_always_fails(send: Sender, channel: str, to: str) -> None:
    assert [(await send.to(channel, to)).status for _ in range(4)] == [503] * 4


@pytest.mark.parametrize(("channel", "to"), twins("flaky"))
async def test_flaky_fails_twice_for_each_notification(send: Sender, channel: str, to: str) -> None:
    statuses = [(await send.to(channel, to, nid)).status for nid in ("n1", "n2") for _ in range(3)]

    assert statuses == [503, 503, OK[channel]] * 2


@pytest.mark.parametrize(("channel", "to"), twins("throttle"))
async def test_throttle_asks_once_to_wait_two_seconds(send: Sender, channel: str, to: str) -> None:
    throttled, accepted = await send.to(channel, to), await send.to(channel, to)

    assert (throttled.status, throttled.headers["retry-after"]) == (429, "2")
    assert accepted.status == OK[channel]


@pytest.mark.parametrize(("channel", "to"), twins("slow"))
async def test_slow_is_accepted_before_it_answers(
    sandbox: RunningSandbox, send: Sender, channel: str, to: str
) -> None:
    with pytest.raises(TimeoutError):
        await send.to(channel, to, patience=0.2)

    assert len(await sandbox.messages(to=to)) == 1


@pytest.mark.parametrize(("channel", "to"), twins("hang"))
async def test_hang_hangs(sandbox: RunningSandbox, send: Sender, channel: str, to: str) -> None:
    with pytest.raises(TimeoutError):
        await send.to(channel, to, patience=0.2)

    assert await sandbox.messages() == []


@pytest.mark.parametrize(("channel", "to"), twins("drop"))
async def test_drop_drops(sandbox: RunningSandbox, send: Sender, channel: str, to: str) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send.to(channel, to)

    assert await sandbox.messages() == []


@pytest.mark.parametrize(("channel", "to"), twins("doubt"))
async def test_doubt_is_accepted_twice_when_it_is_sent_again(
    sandbox: RunningSandbox, send: Sender, channel: str, to: str
) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send.to(channel, to)
    again = await send.to(channel, to)

    assert again.status == OK[channel]
    record = await sandbox.calls("n1")
    assert (record["calls"], record["accepted"]) == (2, 2)
    assert record["outcome"] == "accepted, no answer, then accepted"
    assert (await sandbox.summary())["accepted_more_than_once"] == 1


@pytest.mark.parametrize(("channel", "to"), twins("bad"))
async def test_bad_is_a_bad_recipient(send: Sender, channel: str, to: str) -> None:
    answer = await send.to(channel, to)

    assert answer.status == 400
    text = {"email": "personalizations.0.to.0.email", "whatsapp": "21211", "push": "token"}
    assert text[channel] in str(answer.document)


async def test_a_number_that_blocked_the_sender_and_an_app_that_is_gone(send: Sender) -> None:
    blocked = await send.to("whatsapp", "+15005550004")
    gone = await send.to("push", "sandbox-unregistered")

    assert (blocked.status, blocked.document["code"]) == (400, 21610)
    assert gone.status == 404
    assert gone.document["error"]["details"][0]["errorCode"] == "UNREGISTERED"


def test_no_two_addresses_are_the_same() -> None:
    every = [twin for magic in (*ADDRESSES, *TELLING) for twin in magic.twins().items()]

    assert len(every) == len(set(every))


async def test_the_page_lists_every_address(sandbox: RunningSandbox) -> None:
    listed = await sandbox.get("/api/addresses")

    assert [row["does"] for row in listed] == [one.does for one in (*ADDRESSES, *TELLING)]
    assert listed[0]["email"] == "fail@sandbox.test"


def test_the_guide_lists_every_address() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()

    for magic in (*ADDRESSES, *TELLING):
        (row,) = (line for line in guide.splitlines() if plain(line).endswith(f"{magic.does} |"))
        assert all(to in row for to in magic.twins().values())


def plain(line: str) -> str:
    return line.replace("`", "")
