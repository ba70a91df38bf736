"""Each fault over a real socket, as a worker would meet it."""

import asyncio
import io
from typing import Any

import aiohttp
import pytest

from clarion_testing.sandbox import RunningSandbox, run_sandbox
from clarion_testing.sandbox_requests import Sender, mail

CHANNELS = ["email", "whatsapp", "push"]
RECIPIENTS = {"email": "ann@example.com", "whatsapp": "+14155550123", "push": "a-device"}


def words(channel: str, document: Any) -> str:
    """Return what a vendor's error body calls the error."""
    if channel == "email":
        return str(document["errors"][0]["message"])
    if channel == "whatsapp":
        return str(document["code"])
    error = document["error"]
    return str(error["details"][0].get("errorCode") if "details" in error else error["status"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, ["Does not contain a valid address.", "21211", "INVALID_ARGUMENT"]),
        (403, ["The from address", "20403", "SENDER_ID_MISMATCH"]),
        (404, ["not found", "20404", "UNREGISTERED"]),
        (429, ["too many requests", "20429", "QUOTA_EXCEEDED"]),
        (500, ["internal server error", "20500", "INTERNAL"]),
        (503, ["service unavailable", "20503", "UNAVAILABLE"]),
        (599, ["error 599", "20500", "UNKNOWN"]),
    ],
)
async def test_a_status_without_a_body_is_told_in_the_vendors_words(
    sandbox: RunningSandbox, send: Sender, code: int, expected: list[str]
) -> None:
    await sandbox.fail({"action": {"type": "status", "code": code}})

    for channel, word in zip(CHANNELS, expected, strict=True):
        answer = await send.to(channel, RECIPIENTS[channel])

        assert answer.status == code
        assert words(channel, answer.document).startswith(word)
    assert await sandbox.messages() == []


async def test_a_status_may_bring_its_own_body_and_headers(
    sandbox: RunningSandbox, send: Sender
) -> None:
    headers = {"Retry-After": "7", "Content-Type": "text/html"}
    action = {"type": "status", "code": 502, "body": "<h1>Bad Gateway</h1>", "headers": headers}
    await sandbox.fail({"action": action})

    answer = await send.mail(mail())

    assert (answer.status, answer.document) == (502, b"<h1>Bad Gateway</h1>")
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "text/html"


async def test_a_status_may_bring_a_document(sandbox: RunningSandbox, send: Sender) -> None:
    await sandbox.fail({"action": {"type": "status", "code": 500, "body": {"errors": []}}})

    answer = await send.mail(mail())

    assert answer.document == {"errors": []}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_hang_is_never_answered_and_not_accepted(
    sandbox: RunningSandbox, send: Sender, channel: str
) -> None:
    await sandbox.fail({"action": {"type": "hang"}})

    with pytest.raises(TimeoutError):
        await send.to(channel, RECIPIENTS[channel], patience=0.2)

    assert await sandbox.messages() == []
    (entry,) = (await sandbox.calls("n1"))["entries"]
    assert (entry["status"], entry["fault"], entry["accepted"]) == (None, "hang", False)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_drop_closes_the_connection_and_accepts_nothing(
    sandbox: RunningSandbox, send: Sender, channel: str
) -> None:
    await sandbox.fail({"action": {"type": "drop"}})

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send.to(channel, RECIPIENTS[channel])

    assert await sandbox.messages() == []
    (entry,) = (await sandbox.calls("n1"))["entries"]
    assert (entry["status"], entry["fault"], entry["accepted"]) == (None, "drop", False)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_accept_then_drop_keeps_the_message_and_closes_the_connection(
    sandbox: RunningSandbox, send: Sender, channel: str
) -> None:
    await sandbox.fail({"action": {"type": "accept_then_drop"}})

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send.to(channel, RECIPIENTS[channel])

    assert [message["notification_id"] for message in await sandbox.messages()] == ["n1"]
    record = await sandbox.calls("n1")
    (entry,) = record["entries"]
    assert (entry["status"], entry["fault"], entry["accepted"]) == (None, "accept_then_drop", True)
    assert record["outcome"] == "accepted, no answer"


async def test_a_dropped_request_leaves_nothing_in_the_log(
    sandbox: RunningSandbox, send: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    await sandbox.fail({"action": {"type": "drop"}})

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send.mail(mail())

    assert caplog.records == []


async def test_a_delay_answers_late_what_it_accepted_at_once(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await sandbox.fail({"action": {"type": "delay", "seconds": 0.4}})
    loop = asyncio.get_running_loop()
    start = loop.time()

    answer = await send.mail(mail())

    assert answer.status == 202
    assert loop.time() - start >= 0.4
    (message,) = await sandbox.messages()
    (entry,) = (await sandbox.calls("n1"))["entries"]
    assert (entry["status"], entry["fault"], entry["accepted"]) == (202, "delay", True)
    assert message["received_at_unix"] == entry["at_unix"]


async def test_a_client_that_leaves_during_a_delay_was_accepted(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await sandbox.fail({"action": {"type": "delay", "seconds": 60}})

    with pytest.raises(TimeoutError):
        await send.mail(mail(), patience=0.2)

    assert len(await sandbox.messages()) == 1


@pytest.mark.parametrize("action", [{"type": "hang"}, {"type": "delay", "seconds": 3000}])
async def test_a_server_that_stops_lets_go_of_the_calls_it_holds(action: dict[str, Any]) -> None:
    async with run_sandbox() as sandbox:
        await sandbox.fail({"action": action})
        held = asyncio.create_task(Sender(sandbox).mail(mail()))
        async with asyncio.timeout(10):
            while not (await sandbox.summary())["calls"]:
                continue

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await held


async def test_a_rule_acts_as_often_as_it_says(sandbox: RunningSandbox, send: Sender) -> None:
    await sandbox.fail({"times": 2, "action": {"type": "status", "code": 503}})

    statuses = [(await send.mail(mail(nid=f"n{number}"))).status for number in range(4)]

    assert statuses == [503, 503, 202, 202]
    assert (await sandbox.get("/api/faults"))[0]["fired"] == 2


async def test_times_may_count_for_each_notification(sandbox: RunningSandbox, send: Sender) -> None:
    rule = {"times": 1, "per": "notification", "action": {"type": "status", "code": 503}}
    await sandbox.fail(rule)

    statuses = [(await send.mail(mail(nid=nid))).status for nid in ("n1", "n2", "n1", "n2")]

    assert statuses == [503, 503, 202, 202]


async def test_a_rule_meets_only_its_channel_and_recipients(
    sandbox: RunningSandbox, send: Sender
) -> None:
    rule = {"channel": "email", "to": "*@X.test", "action": {"type": "status", "code": 503}}
    await sandbox.fail(rule)

    met = await send.to("email", "ann@x.TEST")
    other_address = await send.to("email", "ann@y.test")
    other_channel = await send.to("push", "ann@x.test")

    assert (met.status, other_address.status, other_channel.status) == (503, 202, 200)


async def test_the_first_rule_that_fires_wins(sandbox: RunningSandbox, send: Sender) -> None:
    first = {"times": 1, "action": {"type": "status", "code": 429}}
    second = {"action": {"type": "status", "code": 503}}
    await sandbox.fail(first, second)

    statuses = [(await send.mail(mail())).status for _ in range(2)]

    assert statuses == [429, 503]


async def test_a_share_of_the_calls_fails_the_same_way_each_time() -> None:
    runs = []
    for _ in range(2):
        async with run_sandbox() as sandbox:
            await sandbox.fail({"share": 0.3, "action": {"type": "status", "code": 503}})
            send = Sender(sandbox)
            runs.append([(await send.mail(mail())).status for _ in range(40)])

    assert runs[0] == runs[1]
    assert 0 < runs[0].count(503) < 40


async def test_removed_rules_act_no_more(sandbox: RunningSandbox, send: Sender) -> None:
    await sandbox.fail({"action": {"type": "status", "code": 503}})

    async with sandbox.session.delete(f"{sandbox.url}/api/faults") as response:
        assert await response.json() == []

    assert (await send.mail(mail())).status == 202


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("{", ""),
        ({}, ""),
        ([{}], "0.action"),
        ([{"action": {"type": "explode"}}], "0.action"),
        ([{"action": {"type": "status"}}], "0.action.status.code"),
        ([{"action": {"type": "status", "code": 99}}], "0.action.status.code"),
        ([{"action": {"type": "drop"}, "chanel": "email"}], "0.chanel"),
        ([{"action": {"type": "drop"}, "channel": "fax"}], "0.channel"),
        ([{"action": {"type": "drop"}, "times": 0}], "0.times"),
        ([{"action": {"type": "drop"}, "share": 1.5}], "0.share"),
        ([{"action": {"type": "delay", "seconds": -1}}], "0.action.delay.seconds"),
        (
            [{"action": {"type": "status", "code": 500, "headers": {"X": "a\r\nb"}}}],
            "0.action.status.headers.X",
        ),
    ],
)
async def test_a_wrong_rule_is_a_problem_that_names_the_field(
    sandbox: RunningSandbox, rules: object, path: str
) -> None:
    body = {"data": rules} if isinstance(rules, str) else {"json": rules}

    async with sandbox.session.put(f"{sandbox.url}/api/faults", **body) as response:
        document = await response.json(content_type="application/problem+json")

    assert response.status == 422
    assert path in [error["path"] for error in document["errors"]]
    assert await sandbox.get("/api/faults") == []


async def test_rules_that_are_too_long_are_refused(sandbox: RunningSandbox) -> None:
    body = io.BytesIO(b" " * 1_048_577)

    async with sandbox.session.put(f"{sandbox.url}/api/faults", data=body) as response:
        assert response.status == 413
