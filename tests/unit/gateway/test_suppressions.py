"""Addresses that are not written to: over HTTP, and from what providers tell."""

from __future__ import annotations

from typing import Any

import pytest

from clarion.notification import Status
from clarion.store.base import Outcome, Verdict
from clarion_gateway.auth import new_key, parse_keys, parse_scopes
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_testing.signing import SendGridKey, dumped, sendgrid_event

ANN = {"channel": "email", "address": "ann@example.com"}
PATH = "/v1/suppressions"


async def listed(gateway: Any, query: str = "") -> list[dict[str, Any]]:
    answer = await gateway.get(PATH + query)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["suppressions"]
    return found


async def test_an_address_is_suppressed_once_and_until_it_ends(gateway: Any) -> None:
    first = await gateway.post(PATH, ANN)
    again = await gateway.post(PATH, {**ANN, "address": "Ann@Example.com"})
    (kept,) = await listed(gateway)
    ended = await gateway.request("DELETE", PATH, params=ANN)
    nothing = await gateway.request("DELETE", PATH, params=ANN)

    assert (first.status, again.status) == (201, 200)
    assert (kept["kind"], kept["reason"], kept["source"]) == ("wish", "suppressed", "anonymous")
    assert (ended.status, ended.json) == (200, {"ended": 1})
    assert nothing.status == 404
    assert await listed(gateway) == []


async def test_one_kind_ends_without_the_other(gateway: Any) -> None:
    for reason in ("unsubscribed", "invalid_recipient"):
        await gateway.post(PATH, {**ANN, "reason": reason})

    await gateway.request("DELETE", PATH, params={**ANN, "kind": "wish"})

    assert [(one["kind"], one["reason"]) for one in await listed(gateway)] == [
        ("fault", "invalid_recipient")
    ]


async def test_a_listing_is_narrowed_and_paged(gateway: Any) -> None:
    for number in range(5):
        await gateway.post(PATH, {"channel": "email", "address": f"user{number}@example.com"})
    await gateway.post(PATH, {"channel": "whatsapp", "address": "+14155550123"})

    page = (await gateway.get(f"{PATH}?channel=email&limit=3")).json
    rest = await listed(gateway, f"?channel=email&limit=3&cursor={page['next_cursor']}")

    assert len(page["suppressions"]) == 3
    assert [one["address"] for one in rest] == ["user3@example.com", "user4@example.com"]
    assert len(await listed(gateway, "?address=%2B14155550123")) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"channel": "email", "address": "nobody"}, "address"),
        ({"channel": "whatsapp", "address": "0123"}, "address"),
        ({"channel": "push", "address": ""}, "address"),
        ({"channel": "push", "address": "a\x00b"}, "address"),
        ({"channel": "pigeon", "address": "a"}, "channel"),
        ({**ANN, "reason": "timeout"}, "reason"),
        ({**ANN, "kind": "whim"}, "kind"),
        ({**ANN, "until": "tomorrow"}, "until"),
        ({"channel": "email"}, "address"),
    ],
)
async def test_what_is_wrong_is_named(gateway: Any, body: Any, path: str) -> None:
    answer = await gateway.post(PATH, body)

    assert answer.status == 422
    assert answer.paths == [path]


async def test_a_bad_cursor_is_named(gateway: Any) -> None:
    assert (await gateway.get(f"{PATH}?cursor=x")).paths == ["cursor"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_only_a_key_to_operate_may(start_gateway: Any, method: str) -> None:
    key, entry = new_key("shop", parse_scopes("send+read"))
    gateway = await start_gateway(keys=parse_keys(entry))

    answer = await gateway.request(method, PATH, headers={"Authorization": f"Bearer {key}"})

    assert answer.status == 403
    assert "operate" in answer.json["detail"]


async def test_a_hard_bounce_keeps_the_next_one_from_being_sent(start_gateway: Any) -> None:
    key = SendGridKey()
    gateway = await start_gateway(sendgrid_events=SendGridEvents(key.public), poll=3600)
    first = (await gateway.send(message_id="m1")).json["notifications"][0]["notification_id"]
    await gateway.store.claim(first, worker="w1", lease=60)
    await gateway.store.record(Outcome(first, 1, Status.SENT, "sendgrid", 1.0))
    body = dumped([sendgrid_event(first, "bounce", type="bounce")])
    await gateway.request("POST", "/webhooks/sendgrid", data=body, headers=key.headers(body))

    second = (await gateway.send(message_id="m2")).json["notifications"][0]["notification_id"]
    claim = await gateway.store.claim(second, worker="w1", lease=60, transactional=True)

    (kept,) = await listed(gateway)
    shown = (await gateway.get(f"/v1/notifications/{second}")).json
    assert (kept["kind"], kept["source"]) == ("fault", "sendgrid bounced")
    assert claim.verdict is Verdict.ENDED
    assert (shown["status"], shown["reason"]) == ("suppressed", "invalid_recipient")
    assert shown["attempts"] == []
