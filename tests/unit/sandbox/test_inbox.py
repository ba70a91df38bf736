"""The inbox and the call log over HTTP, and their bounds."""

from typing import Any

import pytest

from clarion_sandbox.calls import ENTRIES_PER_NOTIFICATION, CallLog
from clarion_sandbox.inbox import Inbox, Message, RawRequest
from clarion_sandbox.vendor import Recipient
from clarion_testing.sandbox import RunningSandbox, run_sandbox
from clarion_testing.sandbox_requests import Sender, mail


async def filled(send: Sender) -> None:
    await send.to("email", "ann@example.com", "n1")
    await send.to("whatsapp", "+14155550123", "n2")
    await send.to("push", "a-device", "n3")
    await send.to("email", "bob@example.com", "n4")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["n4", "n3", "n2", "n1"]),
        ({"limit": "2"}, ["n4", "n3"]),
        ({"channel": "email"}, ["n4", "n1"]),
        ({"to": "ANN@example.com"}, ["n1"]),
        ({"to": "+14155550123"}, ["n2"]),
        ({"to": "whatsapp:+14155550123"}, ["n2"]),
        ({"channel": "push", "to": "ann@example.com"}, []),
        ({"to": "ann"}, []),
    ],
)
async def test_messages_are_found_newest_first(
    sandbox: RunningSandbox, send: Sender, filters: dict[str, str], expected: list[str]
) -> None:
    await filled(send)

    found = await sandbox.messages(**filters)

    assert [message["notification_id"] for message in found] == expected


async def test_a_plus_sign_needs_no_encoding(sandbox: RunningSandbox, send: Sender) -> None:
    await filled(send)

    async with sandbox.session.get(f"{sandbox.url}/api/messages?to=+14155550123") as response:
        found = await response.json()

    assert [message["notification_id"] for message in found] == ["n2"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "limit=²", "channel=fax"])
async def test_a_wrong_query_is_a_problem_that_names_the_parameter(
    sandbox: RunningSandbox, query: str
) -> None:
    async with sandbox.session.get(f"{sandbox.url}/api/messages?{query}") as response:
        document = await response.json(content_type="application/problem+json")

    assert response.status == 400
    assert document["errors"][0]["path"] == query.partition("=")[0]


async def test_a_message_is_found_by_its_id(sandbox: RunningSandbox, send: Sender) -> None:
    await filled(send)
    (newest, *_) = await sandbox.messages()

    found = await sandbox.get(f"/api/messages/{newest['id']}")

    assert found == newest


async def test_an_unknown_message_is_not_found(sandbox: RunningSandbox) -> None:
    async with sandbox.session.get(f"{sandbox.url}/api/messages/m99") as response:
        document = await response.json(content_type="application/problem+json")

    assert (response.status, document["status"]) == (404, 404)


async def test_a_cleared_inbox_is_empty_and_never_gives_an_id_twice(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await filled(send)
    former = {message["id"] for message in await sandbox.messages()}

    await sandbox.clear()
    await send.mail(mail())

    assert {message["id"] for message in await sandbox.messages()}.isdisjoint(former)
    assert (await sandbox.summary())["calls"] == 1


async def test_every_call_is_counted_whatever_its_answer(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await sandbox.fail({"times": 2, "action": {"type": "status", "code": 503}})
    for attempt in (1, 2, 3):
        await send.mail(mail(att=attempt))

    record = await sandbox.calls("n1")

    assert (record["channel"], record["to"]) == ("email", "ann@example.com")
    assert (record["calls"], record["accepted"]) == (3, 1)
    assert [entry["status"] for entry in record["entries"]] == [503, 503, 202]
    assert [entry["attempt"] for entry in record["entries"]] == [1, 2, 3]
    assert [entry["fault"] for entry in record["entries"]] == ["status", "status", None]
    assert record["outcome"] == "503 x2, then accepted"


async def test_the_summary_tells_the_totals(sandbox: RunningSandbox, send: Sender) -> None:
    await filled(send)
    await send.to("email", "fail@sandbox.test", "n5")

    assert await sandbox.summary() == {
        "calls": 5,
        "accepted": 4,
        "notifications": 5,
        "accepted_more_than_once": 0,
        "calls_without_notification_id": 0,
        "calls_by_channel": {"email": 3, "whatsapp": 1, "push": 1},
        "accepted_by_channel": {"email": 2, "whatsapp": 1, "push": 1},
        "calls_by_status": {"202": 2, "201": 1, "200": 1, "503": 1},
    }


async def test_all_calls_are_listed_newest_notification_first(
    sandbox: RunningSandbox, send: Sender
) -> None:
    await filled(send)

    listed = await sandbox.get("/api/calls", limit="3")

    assert [record["notification_id"] for record in listed] == ["n4", "n3", "n2"]


async def test_a_call_without_our_id_is_counted_apart(
    sandbox: RunningSandbox, send: Sender
) -> None:
    document = mail()
    del document["personalizations"][0]["custom_args"]

    await send.mail(document)

    (message,) = await sandbox.messages()
    assert (message["notification_id"], message["attempt"]) == (None, None)
    assert (await sandbox.summary())["calls_without_notification_id"] == 1


async def test_the_inbox_keeps_the_newest_messages() -> None:
    async with run_sandbox(inbox_limit=2) as sandbox:
        await filled(Sender(sandbox))

        assert [one["notification_id"] for one in await sandbox.messages()] == ["n4", "n3"]


def kept(number: int, size: int) -> Message:
    raw = RawRequest("POST", "/", {}, bytes(size))
    return Message(f"m{number}", "email", Recipient("a@b.de", None, None), 0.0, "x", {}, raw)


def test_the_inbox_keeps_within_its_bytes_but_always_the_newest() -> None:
    inbox = Inbox(limit=10, limit_bytes=100)

    for number, size in enumerate([60, 40, 1, 500]):
        inbox.add(kept(number, size))
        ids: Any = [message.id for message in inbox.find()]
        assert ids == [["m0"], ["m1", "m0"], ["m2", "m1"], ["m3"]][number]


def test_the_call_log_forgets_the_oldest_notifications() -> None:
    log = CallLog(limit=2)

    for nid in ("n1", "n2", "n3"):
        log.begin(0.0, "email", [Recipient("a@b.de", nid, 1)])

    assert log.get("n1") is None
    assert [record.notification_id for record in log.newest()] == ["n3", "n2"]
    assert log.summary()["calls"] == 3


def test_the_call_log_counts_on_when_it_keeps_no_more_details() -> None:
    log = CallLog(limit=2)

    for _ in range(ENTRIES_PER_NOTIFICATION + 5):
        log.begin(0.0, "email", [Recipient("a@b.de", "n1", 1)])

    record = log.get("n1")
    assert record is not None
    assert record.calls == ENTRIES_PER_NOTIFICATION + 5
    assert len(record.entries) == ENTRIES_PER_NOTIFICATION
