"""Applications are called with each event: signed, in order, again where it failed, for a day."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from clarion.notification import Status
from clarion.receipt import Fact
from clarion.retry import RetryPolicy
from clarion.store.base import Store
from clarion.store.callbacks import Callback, CallbackStore
from clarion_gateway.auth import ApiKeys
from clarion_gateway.callback_urls import CallbackUrl, CallbackUrls
from clarion_gateway.caller import Caller, signed
from clarion_testing.listening import listening
from clarion_testing.store_contract import LEASE, event, notification, outcome
from clarion_testing.store_receipts import receipt

Until = Callable[..., Awaitable[None]]
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"t" * 32).decode()
SOON = RetryPolicy(attempts=10_000, delay=0.05, cap=0.05)


class Application:
    """An application's own server: what it was POSTed, and what it answers."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 204
        self.headers: dict[str, str] = {}
        self.hanging = 0
        self.hang = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append((dict(request.headers), body))
        if self.hang:
            self.hanging += 1
            await asyncio.Event().wait()
        status = self.answer(json.loads(body))
        return web.Response(status=status, headers=self.headers)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.calls]

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(each["message_id"], each["sequence"]) for each in self.events]


@asynccontextmanager
async def serve() -> AsyncIterator[Application]:
    application = Application()
    app = web.Application()
    app.router.add_post("/hooks", application.handle)
    async with listening(app, shutdown_timeout=0.1) as url:
        application.url = f"{url}/hooks"
        yield application


@pytest.fixture
async def shop() -> AsyncIterator[Application]:
    async with serve() as application:
        yield application


@pytest.fixture
async def other() -> AsyncIterator[Application]:
    async with serve() as application:
        yield application


@pytest.fixture
async def call(store: CallbackStore) -> AsyncIterator[Callable[..., Awaitable[Caller]]]:
    """Start calling applications; what is given changes how."""
    started: list[Caller] = []
    async with aiohttp.ClientSession() as session:

        async def start(urls: CallbackUrls, **options: Any) -> Caller:
            given: dict[str, Any] = {"poll": 0.02, "retries": SOON} | options
            caller = Caller(store, urls, session, **given)
            await caller.start()
            started.append(caller)
            return caller

        yield start
        for caller in started:
            await caller.stop(0.1)


def to(application: Application, name: str = "shop", *secrets: str) -> CallbackUrl:
    return CallbackUrl(name, application.url, secrets or (SECRET,))


async def changed(store: Store, message_id: str, producer: str = "shop") -> str:
    """Bring a notification to delivered; it changes twice."""
    made = notification(message_id)
    await store.accept(event(message_id, made, producer=producer))
    await store.claim(made.notification_id, worker="w", lease=LEASE)
    await store.record(outcome(made.notification_id, 1, Status.SENT))
    await store.note_receipts([receipt(made.notification_id, Fact.DELIVERED)])
    return made.notification_id


async def relay(store: CallbackStore, *names: str) -> None:
    async with store.telling(1000, calling=names or ["shop"]):
        pass


async def left(store: CallbackStore, dead: bool | None = None) -> list[Callback]:
    found, _ = await store.find_callbacks(producer=None, dead=dead, limit=1000)
    return found


async def test_an_application_is_called_in_order_and_signed(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    notification_id = await changed(store, "m1")
    await relay(store)

    await call(CallbackUrls([to(shop, "shop", SECRET, OLD_SECRET)]))
    await until(lambda: len(shop.calls) == 2)

    assert shop.told == [("m1", 1), ("m1", 2)]
    for headers, body in shop.calls:
        for secret in (SECRET, OLD_SECRET):
            told = Webhook(secret).verify(body, headers)
            assert headers["webhook-id"] == told["id"]
        assert headers["Content-Type"] == "application/json"
        assert told["notification_id"] == notification_id

    async def forgotten() -> bool:
        return await left(store) == []

    await until(forgotten)


def test_the_signature_is_that_of_the_specification() -> None:
    # the vector with which the reference libraries of Standard Webhooks are tested
    headers = signed(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        '{"test": 2432232314}',
        datetime.fromtimestamp(1614265330, UTC),
    )

    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [500, 404, 302, 429])
async def test_what_an_application_does_not_take_it_gets_again_before_the_next(
    store: CallbackStore, shop: Application, call: Any, until: Until, status: int
) -> None:
    await changed(store, "m1")
    await relay(store)
    shop.answer = lambda _: status if len(shop.calls) < 3 else 200
    shop.headers = {"Location": "/elsewhere"}

    await call(CallbackUrls([to(shop)]))
    await until(lambda: len(shop.calls) == 4)

    assert shop.told == [("m1", 1)] * 3 + [("m1", 2)]
    assert len({headers["webhook-id"] for headers, _ in shop.calls[:3]}) == 1


async def test_a_notification_that_fails_holds_up_no_other(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    await changed(store, "m1")
    await changed(store, "m2")
    await relay(store)
    shop.answer = lambda told: 500 if told["message_id"] == "m1" else 200

    await call(CallbackUrls([to(shop)]))
    await until(lambda: shop.told.count(("m1", 1)) >= 3 and ("m2", 2) in shop.told)

    assert ("m1", 2) not in shop.told


async def test_after_a_day_it_is_given_up_and_the_next_goes_on(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    await changed(store, "m1")
    await relay(store)
    shop.answer = lambda told: 503 if told["sequence"] == 1 else 200

    await call(CallbackUrls([to(shop)]), give_up_after=0.3)
    await until(lambda: ("m1", 2) in shop.told)
    (dead,) = await left(store, dead=True)

    assert shop.told.count(("m1", 1)) > 1
    assert (dead.sequence, dead.last_error) == (1, "answered 503")


async def test_a_410_is_final(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    await changed(store, "m1")
    await relay(store)
    shop.answer = lambda _: 410

    async def both_dead() -> bool:
        return len(await left(store, dead=True)) == 2

    await call(CallbackUrls([to(shop)]))
    await until(both_dead)

    assert shop.told == [("m1", 1), ("m1", 2)]


async def test_retry_after_is_heeded(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    await changed(store, "m1")
    await relay(store)
    shop.answer = lambda _: 503
    shop.headers = {"Retry-After": "600"}

    async def failed() -> bool:
        return any(each.last_error for each in await left(store))

    await call(CallbackUrls([to(shop)]))
    await until(failed)
    first, second = await left(store)

    assert (first.due_at - datetime.now(UTC)).total_seconds() > 500
    assert (second.due_at - datetime.now(UTC)).total_seconds() > 500


async def test_an_application_that_hangs_holds_up_no_other(
    store: CallbackStore, shop: Application, other: Application, call: Any, until: Until
) -> None:
    for number in range(40):
        await changed(store, f"m{number}")
    await changed(store, "m1", producer="billing")
    await relay(store, "shop", "billing")
    shop.hang = True

    await call(CallbackUrls([to(shop), to(other, "billing")]))
    await until(lambda: len(other.calls) == 2 and shop.hanging == 16)

    assert len(shop.calls) == 16


async def test_an_application_that_hangs_is_called_again(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    await changed(store, "m1")
    await relay(store)
    shop.hang = True

    await call(CallbackUrls([to(shop)]), timeout=0.1)
    await until(lambda: len(shop.calls) >= 2)

    assert {sequence for _, sequence in shop.told} == {1}
    assert (await left(store))[0].last_error == "no answer within 0.1 seconds"


async def test_an_application_that_is_away_is_called_when_it_is_back(
    store: CallbackStore, shop: Application, call: Any, until: Until, unused_tcp_port: int
) -> None:
    await changed(store, "m1")
    await relay(store)
    urls = CallbackUrls([CallbackUrl("shop", f"http://127.0.0.1:{unused_tcp_port}/", (SECRET,))])

    async def failed() -> bool:
        return any(each.last_error for each in await left(store))

    await call(urls)
    await until(failed)
    found = (await left(store))[0].last_error
    urls.replace(CallbackUrls([to(shop)]))
    await until(lambda: len(shop.calls) == 2)

    assert found == "not reached: ClientConnectorError"


async def test_two_gateways_call_once(
    store: CallbackStore, shop: Application, call: Any, until: Until
) -> None:
    for number in range(30):
        await changed(store, f"m{number}")
    await relay(store)

    async def all_made() -> bool:
        return await left(store) == []

    await call(CallbackUrls([to(shop)]))
    await call(CallbackUrls([to(shop)]))
    await until(all_made)

    assert len(shop.told) == 60
    assert len(set(shop.told)) == 60
    for number in range(30):
        assert [step for name, step in shop.told if name == f"m{number}"] == [1, 2]


# -- through the gateway


@pytest.fixture
async def calling(
    start_gateway: Any, store: CallbackStore, shop: Application, key_ring: Any
) -> AsyncIterator[Any]:
    keys: ApiKeys = key_ring[0]
    urls = CallbackUrls([to(shop)])
    async with aiohttp.ClientSession() as session:
        caller = Caller(store, urls, session, poll=0.05, retries=SOON, give_up_after=0.0)
        yield await start_gateway(keys=keys, callback_urls=urls, caller=caller, status_events=False)


def bearer(key_ring: Any, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key_ring[1][name]}"}


async def test_a_gateway_calls_and_what_it_gave_up_is_listed_and_replayed(
    calling: Any, shop: Application, key_ring: Any, until: Until
) -> None:
    shop.answer = lambda _: 500
    sent = await calling.send_as(key_ring[1]["shop"])
    notification_id = sent.json["notifications"][0]["notification_id"]
    cancel = f"/v1/notifications/{notification_id}/cancel"
    await calling.post(cancel, {}, headers=bearer(key_ring, "shop"))
    operator = bearer(key_ring, "operator")

    async def given_up() -> bool:
        answer = await calling.get("/v1/callbacks?state=dead", headers=operator)
        return bool(answer.json["callbacks"])

    await until(given_up)
    mine = await calling.get("/v1/callbacks", headers=bearer(key_ring, "shop"))
    others = await calling.get("/v1/callbacks", headers=bearer(key_ring, "billing"))
    asked = await calling.get("/v1/callbacks?key=shop", headers=bearer(key_ring, "billing"))
    shop.answer = lambda _: 200
    replay = "/v1/callbacks/replay"
    refused = await calling.post(replay, {"key": "shop"}, headers=bearer(key_ring, "shop"))
    (dead,) = mine.json["callbacks"]
    replayed = await calling.post(replay, {"ids": [dead["event_id"]]}, headers=operator)

    async def empty() -> bool:
        answer = await calling.get("/v1/callbacks", headers=operator)
        return not answer.json["callbacks"]

    await until(empty)
    assert dead["notification_id"] == notification_id
    assert (dead["state"], dead["key"], dead["last_error"]) == ("dead", "shop", "answered 500")
    assert (others.json["callbacks"], asked.json["callbacks"]) == ([], [])
    assert refused.status == 403
    assert replayed.json == {"replayed": 1, "more": False}
    assert shop.events[-1]["type"] == "notification.cancelled"
    # the exchange is told nothing where the setting says so
    assert not calling.broker.told


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": ["evt_x"]}, {"key": "shop", "ids": ["evt_a_1"]}, {"all": 1}]
)
async def test_a_replay_that_means_nothing_is_refused(gateway: Any, body: Any) -> None:
    answer = await gateway.post("/v1/callbacks/replay", body)

    assert answer.status == 422


async def test_a_cursor_of_no_listing_is_refused(gateway: Any) -> None:
    answer = await gateway.get("/v1/callbacks?cursor=x")

    assert answer.status == 422
    assert answer.paths == ["cursor"]
