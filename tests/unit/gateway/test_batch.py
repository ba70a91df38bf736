"""POST /v1/notifications/batch."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from clarion.errors import StoreUnavailable
from clarion.store.base import Store
from clarion_gateway import models
from clarion_gateway.limits import Limits

BATCH = "/v1/notifications/batch"


def event(message_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "target_user_id": "u1",
        "channel": "email",
        "template_id": "welcome",
        "payload": {"user_name": "Ann", "email": "ann@example.com"},
    } | changes


async def test_all_accepted_is_202_and_all_published(
    gateway: Any, until: Callable[..., Awaitable[None]]
) -> None:
    answer = await gateway.post(BATCH, {"notifications": [event(f"m{n}") for n in range(200)]})

    assert answer.status == 202
    assert [result["index"] for result in answer.json["results"]] == list(range(200))
    await until(lambda: len(gateway.broker.published) == 200)


async def test_all_repeated_is_200(gateway: Any) -> None:
    batch = {"notifications": [event("m1"), event("m2")]}
    await gateway.post(BATCH, batch)

    answer = await gateway.post(BATCH, batch)

    assert answer.status == 200
    assert all(r["notifications"][0]["duplicate"] for r in answer.json["results"])


async def test_a_bad_item_does_not_harm_its_neighbours(gateway: Any) -> None:
    await gateway.post(BATCH, {"notifications": [event("old")]})

    answer = await gateway.post(
        BATCH,
        {
            "notifications": [
                event("m1"),
                event("m2", channel="pigeon"),
                "not an event",
                event("m3", template_id="nothing"),
                event("old"),
                event("old", priority="low"),
                event("m4"),
            ]
        },
    )

    assert answer.status == 207
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 422, 422, 422, 200, 409, 202]
    assert results[1]["problem"]["errors"][0]["path"] == "channel"
    assert results[3]["problem"]["errors"][0]["path"] == "template_id"
    models.BatchResults.model_validate(answer.json)


async def test_the_same_event_twice_in_a_batch_is_one_notification(gateway: Any) -> None:
    answer = await gateway.post(BATCH, {"notifications": [event("m1"), event("m1")]})

    assert answer.status == 207
    results = answer.json["results"]
    assert sorted(result["status"] for result in results) == [200, 202]
    first, second = (result["notifications"][0]["notification_id"] for result in results)
    assert first == second


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "notifications"),
        ({}, "notifications"),
        ({"notifications": []}, "notifications"),
        ({"notifications": {}}, "notifications"),
        ({"notifications": [1] * 1001}, "notifications"),
        ({"notifications": [event("m1")], "more": 1}, "more"),
    ],
)
async def test_a_malformed_batch_is_refused_whole(gateway: Any, body: object, path: str) -> None:
    answer = await gateway.post(BATCH, body)

    assert answer.status == 422
    assert answer.paths == [path]


async def test_a_batch_that_is_not_json_is_a_400_with_the_position(gateway: Any) -> None:
    answer = await gateway.request(
        "POST", BATCH, data=b'{"notifications": [}', headers={"Content-Type": "application/json"}
    )

    assert answer.status == 400
    assert "line 1 column 20" in answer.json["detail"]


async def test_a_batch_that_fans_out_too_far_is_cut_off_there(start_gateway: Any) -> None:
    gateway = await start_gateway(limits=Limits(batch_notifications=3))
    payload = {"user_name": "Ann", "device_tokens": ["a", "b", "c", "d"]}

    answer = await gateway.post(
        BATCH, {"notifications": [event("m1"), event("m2", channel="push", payload=payload)]}
    )

    assert [result["status"] for result in answer.json["results"]] == [202, 413]


async def test_a_batch_that_cannot_be_stored_is_a_503_as_a_whole(
    start_gateway: Any, absent_store: Store
) -> None:
    gateway = await start_gateway(store=absent_store)

    answer = await gateway.post(BATCH, {"notifications": [event("m1"), event("m2")]})

    assert answer.status == 503
    assert "Retry-After" in answer.headers


async def test_an_event_that_cannot_be_looked_up_is_refused_alone(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*arguments: Any, **options: Any) -> Any:
        raise StoreUnavailable("gone")

    # only an event that comes late is looked up: it may be a repeat of one that was in time
    monkeypatch.setattr(gateway.store, "find", away)
    late = event("m2", expires_at="2020-01-01T00:00:00Z")

    answer = await gateway.post(BATCH, {"notifications": [event("m1"), late, event("m3")]})

    assert answer.status == 207
    assert [result["status"] for result in answer.json["results"]] == [202, 503, 202]


async def test_results_have_the_shape_of_their_model(gateway: Any) -> None:
    answer = await gateway.post(BATCH, {"notifications": [event("m1"), event("m2", channel=1)]})

    model = models.BatchResults.model_validate(answer.json)
    dumped = json.loads(model.model_dump_json(exclude_none=True))
    assert dumped == answer.json
