"""Looking through dead letters, sending them again mended, and discarding them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clarion.errors import StoreUnavailable
from clarion.notification import OnDoubt, Reason, Status
from clarion.store.base import Intake
from clarion.store.letters import DeadQuery
from clarion_gateway import orders
from clarion_testing.store_contract import notification, outcome

LETTERS = "/v1/dead-letters"
REPLAY = f"{LETTERS}/replay"
DISCARD = f"{LETTERS}/discard"
PAYLOAD = {"user_name": "Ann", "email": "ann@example.com"}


async def dead(store: Any, message_id: str = "m1", **changes: Any) -> str:
    """Return the id of a notification that the provider refused."""
    fields = {"payload": PAYLOAD, "recipient": "ann@example.com"} | changes
    made = notification(message_id, **fields)
    await store.accept(Intake("shop", message_id, "hash", (made,), Status.QUEUED))
    await store.claim(made.notification_id, worker="w1", lease=60)
    held = made.on_doubt is OnDoubt.HOLD
    status = Status.IN_DOUBT if held else Status.FAILED
    await store.record(
        outcome(made.notification_id, 1, status, retry_in=None, reason=Reason.INVALID_RECIPIENT)
    )
    return made.notification_id


async def timeline(gateway: Any, notification_id: str) -> list[str]:
    answer = await gateway.get(f"/v1/notifications/{notification_id}")
    return [entry["status"] for entry in answer.json["timeline"]]


def published(gateway: Any) -> dict[str, Any]:
    return {each.notification_id: each for each in gateway.broker.published}


# -- looking


async def test_groups_tell_what_ended_alike(gateway: Any) -> None:
    for number in range(3):
        await dead(gateway.store, f"m{number}")
    await dead(gateway.store, "held", on_doubt=OnDoubt.HOLD)

    answer = await gateway.get(f"{LETTERS}/groups")

    assert answer.status == 200
    assert answer.json["complete"] is True
    assert [(each["status"], each["count"]) for each in answer.json["groups"]] == [
        ("failed", 3),
        ("in_doubt", 1),
    ]
    assert {
        key: answer.json["groups"][0][key]
        for key in ("channel", "reason", "template_id", "provider", "provider_code")
    } == {
        "channel": "email",
        "reason": "invalid_recipient",
        "template_id": "welcome",
        "provider": "fake",
        "provider_code": "503",
    }


async def test_a_listing_is_narrowed_and_paged(gateway: Any) -> None:
    ids = [await dead(gateway.store, f"m{number}") for number in range(5)]
    await dead(gateway.store, "held", on_doubt=OnDoubt.HOLD)
    query = "status=failed&channel=email&reason=invalid_recipient&template=welcome&limit=3"

    first = await gateway.get(f"{LETTERS}?{query}&provider_code=503&producer=shop")
    rest = await gateway.get(f"{LETTERS}?{query}&cursor={first.json['next_cursor']}")
    none = await gateway.get(f"{LETTERS}?until=2020-01-01T00:00:00Z")

    seen = [each["notification_id"] for each in first.json["dead_letters"]]
    seen += [each["notification_id"] for each in rest.json["dead_letters"]]
    assert seen == ids[::-1]
    assert first.json["dead_letters"][0]["dead_at"]
    assert rest.json["next_cursor"] is None
    assert none.json == {"dead_letters": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("status=sent", "status"),
        ("reason=unknown", "reason"),
        ("since=yesterday", "since"),
        ("cursor=x", "cursor"),
        ("colour=red", "colour"),
        ("limit=0", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_with_its_path(gateway: Any, query: str, path: str) -> None:
    answer = await gateway.get(f"{LETTERS}?{query}")

    assert answer.status == 422
    assert answer.paths == [path]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", LETTERS), ("GET", f"{LETTERS}/groups"), ("POST", REPLAY), ("POST", DISCARD)],
)
async def test_only_an_operator_sees_and_changes_them(
    start_gateway: Any, key_ring: Any, method: str, path: str
) -> None:
    keys, held = key_ring
    gateway = await start_gateway(keys=keys)
    body = {"json": {"filter": {"all": True}}} if method == "POST" else {}

    answers = {
        name: await gateway.request(
            method, path, headers={"Authorization": f"Bearer {held[name]}"}, **body
        )
        for name in ("shop", "operator")
    }

    assert answers["shop"].status == 403
    assert answers["operator"].status == 200


# -- replay


async def test_a_replayed_letter_is_published_again_and_its_timeline_tells(
    gateway: Any, until: Callable[..., Awaitable[None]]
) -> None:
    notification_id = await dead(gateway.store)

    answer = await gateway.post(REPLAY, {"ids": [notification_id]})
    await until(lambda: notification_id in published(gateway))

    async def queued() -> bool:
        return (await timeline(gateway, notification_id))[-1] == "queued"

    await until(queued)
    assert answer.status == 200
    assert answer.json == {
        "dry_run": False,
        "matched": 1,
        "skipped": 0,
        "skips": [],
        "remaining": 0,
        "next": None,
        "detail": "1 replayed, 0 skipped",
        "replayed": 1,
        "until": None,
    }
    sent = published(gateway)[notification_id]
    assert (sent.message_id, sent.replay_no) == ("m1", 1)
    assert await timeline(gateway, notification_id) == [
        "accepted",
        "queued",
        "sending",
        "failed",
        "accepted",
        "queued",
    ]


async def test_a_repeat_finds_nothing_to_replay(gateway: Any) -> None:
    notification_id = await dead(gateway.store)
    order = {"filter": {"reason": "invalid_recipient"}}
    await gateway.post(REPLAY, order)

    by_filter = await gateway.post(REPLAY, order)
    by_id = await gateway.post(REPLAY, {"ids": [notification_id]})

    assert (by_filter.json["matched"], by_filter.json["replayed"]) == (0, 0)
    assert (by_id.json["replayed"], by_id.json["skipped"]) == (0, 1)
    assert by_id.json["skips"][0]["obstacle"] == "not_dead"


async def test_replays_at_once_replay_each_letter_once(gateway: Any) -> None:
    ids = [await dead(gateway.store, f"m{number}") for number in range(10)]

    answers = await asyncio.gather(
        *(gateway.post(REPLAY, {"filter": {"all": True}}) for _ in range(5))
    )

    assert [answer.status for answer in answers] == [200] * 5
    assert sum(answer.json["replayed"] for answer in answers) == 10
    records = await gateway.store.records(ids)
    assert {record.replay_no for record in records.values()} == {1}


async def test_each_id_that_cannot_be_replayed_is_answered(gateway: Any) -> None:
    good = await dead(gateway.store, "good")
    alive = (await gateway.send(message_id="alive")).json["notifications"][0]["notification_id"]
    no_name = await dead(gateway.store, "no_name", payload={"email": "ann@example.com"})
    no_template = await dead(gateway.store, "no_template", template_id="gone")
    no_address = await dead(gateway.store, "no_address", payload={"user_name": "A", "email": "?"})
    past = datetime.now(UTC) - timedelta(minutes=1)
    expired = await dead(gateway.store, "expired")
    await expire(gateway.store, expired, past)
    nobody = f"notif_{'0' * 32}"

    answer = await gateway.post(
        REPLAY,
        {"ids": [nobody, good, alive, no_name, no_template, no_address, expired, good]},
    )

    skips = {each["notification_id"]: each for each in answer.json["skips"]}
    assert (answer.json["replayed"], answer.json["skipped"]) == (1, 6)
    assert {key: each["obstacle"] for key, each in skips.items()} == {
        nobody: "unknown",
        alive: "not_dead",
        no_name: "invalid",
        no_template: "invalid",
        no_address: "invalid",
        expired: "expired",
    }
    assert [error["path"] for error in skips[no_name]["errors"]] == ["payload.user_name"]
    assert [error["path"] for error in skips[no_template]["errors"]] == ["template_id"]
    assert [error["path"] for error in skips[no_address]["errors"]] == ["payload.email"]
    records = await gateway.store.records([no_name, no_template, no_address, expired])
    assert all(record.dead_at is not None for record in records.values())


async def expire(store: Any, notification_id: str, at: datetime) -> None:
    async with store._database.write() as connection:
        await connection.exec_driver_sql(
            "UPDATE notifications SET expires_at = ? WHERE id = ?",
            (at.replace(tzinfo=None).isoformat(" ", "milliseconds"), notification_id),
        )


async def test_an_address_and_a_variable_are_mended_before_the_replay(
    gateway: Any, until: Callable[..., Awaitable[None]]
) -> None:
    notification_id = await dead(
        gateway.store, payload={"email": "ann@example.con", "old": 1}, recipient="ann@example.con"
    )

    answer = await gateway.post(
        REPLAY,
        {
            "ids": [notification_id],
            "payload": {"user_name": "Ann", "email": "ann@example.com", "old": None},
        },
    )
    await until(lambda: notification_id in published(gateway))

    assert answer.json["replayed"] == 1
    sent = published(gateway)[notification_id]
    assert sent.recipient == "ann@example.com"
    assert sent.payload == {"email": "ann@example.com", "user_name": "Ann"}
    shown = (await gateway.get(f"/v1/notifications/{notification_id}")).json
    accepted = [entry for entry in shown["timeline"] if entry["status"] == "accepted"]
    assert accepted[1]["detail"] == {
        "replay": 1,
        "by": "anonymous",
        "changed": ["payload.email", "payload.old", "payload.user_name", "recipient"],
    }


async def test_another_template_is_used_and_its_variables_are_asked_for(gateway: Any) -> None:
    notification_id = await dead(gateway.store)

    lacking = await gateway.post(REPLAY, {"ids": [notification_id], "template_id": "otp"})
    mended = await gateway.post(
        REPLAY,
        {
            "filter": {"template": "welcome"},
            "template_id": "otp",
            "payload": {"code": "123456", "expires_minutes": 5},
        },
    )

    assert [error["path"] for error in lacking.json["skips"][0]["errors"]] == [
        "payload.code",
        "payload.expires_minutes",
    ]
    assert mended.json["replayed"] == 1
    shown = (await gateway.get(f"/v1/notifications/{notification_id}")).json
    assert shown["template_id"] == "otp"


async def test_a_filter_never_redirects_many_letters_to_one_address(gateway: Any) -> None:
    ids = [await dead(gateway.store, f"m{number}") for number in range(3)]

    answer = await gateway.post(
        REPLAY, {"filter": {"all": True}, "payload": {"email": "one@example.com"}}
    )

    assert (answer.json["replayed"], answer.json["skipped"]) == (0, 3)
    assert {each["obstacle"] for each in answer.json["skips"]} == {"recipient"}
    records = await gateway.store.records(ids)
    assert {record.notification.recipient for record in records.values()} == {"ann@example.com"}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["filter"]),
        ({"filter": {}}, ["filter"]),
        ({"filter": {"all": False}}, ["filter"]),
        ({"filter": {"all": True, "channel": "email"}}, ["filter"]),
        ({"filter": {"all": True}, "ids": [f"notif_{'0' * 32}"]}, ["filter"]),
        ({"filter": {"all": True, "colour": "red"}}, ["filter.colour"]),
        ({"filter": {"status": "sent"}}, ["filter.status"]),
        ({"filter": {"since": "2026"}}, ["filter.since"]),
        ({"ids": []}, ["ids"]),
        ({"ids": ["x"]}, ["ids.0"]),
        ({"ids": [f"notif_{'0' * 32}"], "after": f"notif_{'0' * 32}"}, ["after"]),
        ({"filter": {"all": True}, "rate": 0}, ["rate"]),
        ({"filter": {"all": True}, "rate": "fast"}, ["rate"]),
        ({"filter": {"all": True}, "limit": 0}, ["limit"]),
        ({"filter": {"all": True}, "dry_run": "yes"}, ["dry_run"]),
        ({"filter": {"all": True}, "template_id": "gone"}, ["template_id"]),
        ({"filter": {"all": True}, "payload": {"a": "\x00"}}, ["payload.a"]),
        ({"filter": {"all": True}, "payload": {"a": "x" * 70_000}}, ["payload"]),
        ({"filter": {"all": True}, "force": True}, ["force"]),
    ],
)
async def test_an_order_that_is_not_clear_is_refused(
    gateway: Any, body: Any, paths: list[str]
) -> None:
    notification_id = await dead(gateway.store)

    answer = await gateway.post(REPLAY, body)

    assert answer.status == 422
    assert answer.paths == paths
    assert (await gateway.store.records([notification_id]))[notification_id].dead_at is not None


async def test_a_dry_run_tells_what_would_happen_and_changes_nothing(gateway: Any) -> None:
    await dead(gateway.store, "m1")
    await dead(gateway.store, "m2", payload={"email": "ann@example.com"})
    order = {"filter": {"channel": "email"}, "dry_run": True, "rate": 0.1}

    answer = await gateway.post(REPLAY, order)
    discard = await gateway.post(DISCARD, {"filter": {"all": True}, "dry_run": True})

    assert (answer.json["matched"], answer.json["replayed"]) == (2, 1)
    assert answer.json["skips"][0]["obstacle"] == "invalid"
    assert answer.json["until"] is not None
    assert answer.json["detail"] == "1 would be replayed, 1 skipped"
    assert discard.json["discarded"] == 2
    assert await gateway.store.count_dead(DeadQuery()) == 2


async def test_at_a_rate_a_repeat_goes_on_after_what_still_waits(gateway: Any) -> None:
    for number in range(6):
        await dead(gateway.store, f"m{number}")
    order = {"filter": {"all": True}, "rate": 0.01, "limit": 3}

    first = await gateway.post(REPLAY, order)
    foreseen = await gateway.post(REPLAY, order | {"dry_run": True})
    second = await gateway.post(REPLAY, order)

    times = [
        datetime.fromisoformat(answer.json["until"]).timestamp()
        for answer in (first, foreseen, second)
    ]
    assert [answer.json["replayed"] for answer in (first, second)] == [3, 3]
    assert times[1] - times[0] >= 299
    assert times[2] - times[0] >= 299
    assert [answer.json["remaining"] for answer in (first, second)] == [3, 0]


async def test_a_limit_counts_what_was_replayed_and_the_answer_says_how_to_go_on(
    gateway: Any,
) -> None:
    bad = await dead(gateway.store, "bad", payload={"email": "ann@example.com"})
    ids = [await dead(gateway.store, f"m{number}") for number in range(3)]
    order: dict[str, Any] = {"filter": {"all": True}, "limit": 2}

    first = await gateway.post(REPLAY, order)
    second = await gateway.post(REPLAY, order | {"after": first.json["next"]})

    assert (first.json["replayed"], first.json["skipped"], first.json["remaining"]) == (2, 1, 1)
    assert first.json["next"] == ids[1]
    assert f"after={ids[1]}" in first.json["detail"]
    assert (second.json["replayed"], second.json["remaining"], second.json["next"]) == (1, 0, None)
    assert (await gateway.store.records([bad]))[bad].dead_at is not None


async def test_a_request_ends_after_its_budget_and_a_repeat_goes_on(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "BATCH", 2)
    for number in range(5):
        await dead(gateway.store, f"m{number}")
    selection = orders.Selection(None, DeadQuery())
    action = orders.Discards(gateway.store, by="ops", dry_run=False)

    first = await orders.fulfil(gateway.store, selection, action, patience=8, budget=0)

    assert (first.matched, first.done, first.remaining) == (5, 2, 3)
    assert not first.interrupted
    assert await gateway.store.count_dead(DeadQuery()) == 3


async def test_a_database_that_goes_away_in_between_is_said_with_what_was_done(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "BATCH", 2)
    for number in range(5):
        await dead(gateway.store, f"m{number}")
    replay, calls = gateway.store.replay, 0

    async def fails_the_second_time(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("gone")
        return await replay(*arguments, **options)

    monkeypatch.setattr(gateway.store, "replay", fails_the_second_time)
    partly = await gateway.post(REPLAY, {"filter": {"all": True}})
    rest = await gateway.post(REPLAY, {"filter": {"all": True}})

    assert partly.status == 200
    assert (partly.json["replayed"], partly.json["remaining"]) == (2, 3)
    assert "the database did not answer" in partly.json["detail"]
    assert rest.json["replayed"] == 3


async def test_without_a_database_nothing_is_done_and_503_says_so(
    start_gateway: Any, absent_store: Any
) -> None:
    gateway = await start_gateway(store=absent_store)

    answers = [
        await gateway.post(REPLAY, {"filter": {"all": True}}),
        await gateway.post(DISCARD, {"filter": {"all": True}}),
        await gateway.get(LETTERS),
        await gateway.get(f"{LETTERS}/groups"),
    ]

    assert [answer.status for answer in answers] == [503] * 4
    assert all("Retry-After" in answer.headers for answer in answers)


async def test_what_is_held_in_doubt_is_replayed_where_the_operator_says_so(gateway: Any) -> None:
    notification_id = await dead(gateway.store, on_doubt=OnDoubt.HOLD)

    failed = await gateway.post(REPLAY, {"filter": {"status": "failed"}})
    held = await gateway.post(REPLAY, {"filter": {"status": "in_doubt"}})

    assert (failed.json["matched"], held.json["replayed"]) == (0, 1)
    assert (await timeline(gateway, notification_id))[3:5] == ["in_doubt", "accepted"]


# -- discard


async def test_discarded_letters_leave_the_list_and_stay_on_record(gateway: Any) -> None:
    failed = await dead(gateway.store, "m1")
    held = await dead(gateway.store, "m2", on_doubt=OnDoubt.HOLD)

    first = await gateway.post(DISCARD, {"filter": {"all": True}})
    again = await gateway.post(DISCARD, {"ids": [failed, held]})

    assert (first.json["discarded"], first.json["detail"]) == (2, "2 discarded, 0 skipped")
    assert [each["obstacle"] for each in again.json["skips"]] == ["not_dead", "not_dead"]
    assert (await gateway.get(LETTERS)).json["dead_letters"] == []
    for notification_id in (failed, held):
        shown = (await gateway.get(f"/v1/notifications/{notification_id}")).json
        assert shown["status"] == "failed"
        assert shown["timeline"][-1]["detail"] == {"discarded": True, "by": "anonymous"}


async def test_a_discard_mends_nothing(gateway: Any) -> None:
    answer = await gateway.post(DISCARD, {"filter": {"all": True}, "rate": 5, "payload": {}})

    assert answer.status == 422
    assert answer.paths == ["rate", "payload"]


async def test_replays_are_counted(gateway: Any) -> None:
    def counted(text: bytes) -> float:
        name = 'notification_replays_total{channel="email"} '
        found = [line for line in text.decode().splitlines() if line.startswith(name)]
        return float(found[0].removeprefix(name)) if found else 0.0

    await dead(gateway.store)
    before = counted((await gateway.get("/metrics")).body)
    await gateway.post(REPLAY, {"filter": {"all": True}})
    after = counted((await gateway.get("/metrics")).body)

    assert after == before + 1
