"""What Twilio told nobody of it is asked for: on PostgreSQL and SQLite, over HTTP."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from pydantic import SecretStr

from clarion.notification import Channel, Reason, Status
from clarion.provider import Attempt, HttpTransport
from clarion.receipt import Fact
from clarion.store import migrate, open_store
from clarion.store.base import NotificationHistory, Store
from clarion.store.dialogue import Silent
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.sandbox import RunningSandbox, run_sandbox
from clarion_testing.store_contract import LEASE, Address, accepted, outcome
from clarion_testing.store_dialogue import grow_old, make_due
from clarion_testing.system import event, running_system
from clarion_testing.vendor import Vendor, vendor
from clarion_whatsapp.content import WhatsAppMessage
from clarion_whatsapp.providers.twilio import Twilio
from clarion_whatsapp.providers.twilio_inquiries import TwilioInquiries
from clarion_whatsapp.reconciler import BATCH, Reconciler, reconciling
from clarion_whatsapp.settings import WhatsAppSettings

ACCOUNT = "AC" + "0" * 32
TOKEN = "a-token-that-nobody-may-see"
HOUR = 3600.0
SILENT = "+15005550019"
"""Of what is sent there no receipt comes; Twilio, when asked, says that it was delivered."""


@pytest.fixture(params=["postgresql", "sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return Address(postgres.url, postgres.execute)
    path = tmp_path / "clarion.db"
    migrate(f"sqlite:///{path}")

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return Address(f"sqlite:///{path}", execute)


@pytest.fixture
async def store(address: Address) -> AsyncIterator[Store]:
    opened = open_store(address.url)
    yield opened
    await opened.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    # with a place for events, so that its messages go on by themselves
    async with run_sandbox(
        secret="what it signs with", events_url="http://127.0.0.1:1/"
    ) as running:
        yield running


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    def delivered() -> web.Response:
        return web.json_response({"status": "delivered", "error_code": None})

    async with vendor(delivered) as served:
        yield served


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport(timeout=2)
    yield opened
    await opened.close()


def reconciler(
    store: Store, transport: HttpTransport, base_url: str, **options: float
) -> Reconciler:
    inquiries = TwilioInquiries(transport, ACCOUNT, TOKEN, base_url=base_url)
    return Reconciler(store, inquiries, after=HOUR, **{"rate": 1000.0, **options})


async def sent(
    store: Store, address: Address, *, sid: str = "SM1", number: str = SILENT, age: float = 2 * HOUR
) -> str:
    """Return the id of what Twilio took so many seconds ago, under a SID."""
    notification_id = await accepted(store, f"m-{sid}", channel=Channel.WHATSAPP, recipient=number)
    await store.claim(notification_id, worker="w1", lease=LEASE)
    told = outcome(notification_id, 1, Status.SENT, provider="twilio", provider_message_id=sid)
    assert await store.record(told)
    grow_old(address, notification_id, age)
    return notification_id


async def posted(
    store: Store, address: Address, transport: HttpTransport, sandbox: RunningSandbox, number: str
) -> str:
    """Return the id of what the sandbox took two hours ago."""
    provider = Twilio(
        transport, ACCOUNT, TOKEN, sender="whatsapp:+14155238886", base_url=sandbox.url
    )
    answer = await provider.send(WhatsAppMessage(number, "Hello", None), Attempt("n1", 1))
    assert answer.provider_message_id is not None
    return await sent(store, address, sid=answer.provider_message_id, number=number)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110  it is another task's list
            await asyncio.sleep(0.01)


async def history(store: Store, notification_id: str) -> NotificationHistory:
    found = await store.get(notification_id)
    assert found is not None
    return found


def counted() -> Counter[str]:
    """Return how many inquiries ended how, since the process began."""
    return Counter(
        {
            result: int(
                REGISTRY.get_sample_value(
                    "notification_inquiries_total", {"provider": "twilio", "result": result}
                )
                or 0
            )
            for result in ("settled", "unchanged", "unknown", "failed")
        }
    )


async def test_what_arrived_unheard_of_becomes_delivered(
    store: Store, address: Address, transport: HttpTransport, sandbox: RunningSandbox
) -> None:
    notification_id = await posted(store, address, transport, sandbox, SILENT)
    before = counted()

    await reconciler(store, transport, sandbox.url).round()

    now = await history(store, notification_id)
    assert now.record.status is Status.DELIVERED
    assert Fact.DELIVERED in {one.status for one in now.timeline}
    assert counted() - before == Counter(settled=1)


async def test_a_code_means_what_it_means_in_a_callback(
    store: Store, address: Address, transport: HttpTransport, sandbox: RunningSandbox
) -> None:
    notification_id = await posted(store, address, transport, sandbox, "+15005550017")

    await reconciler(store, transport, sandbox.url).round()

    record = (await history(store, notification_id)).record
    assert (record.status, record.reason, record.provider_code) == (
        Status.UNDELIVERED,
        Reason.UNREACHABLE,
        "63024",
    )
    page, _ = await store.suppressions(limit=10)
    assert [one.address for one in page] == ["+15005550017"]


async def test_the_callback_that_comes_after_all_changes_nothing(
    store: Store, address: Address, transport: HttpTransport, api: Vendor
) -> None:
    notification_id = await sent(store, address)
    await reconciler(store, transport, api.url).round()
    told = (await history(store, notification_id)).timeline

    inquiries = TwilioInquiries(transport, ACCOUNT, TOKEN, base_url=api.url)
    (again,) = await store.note_receipts(
        [receipt for receipt in [await inquiries.ask(Silent(notification_id, 1, "SM1"))] if receipt]
    )

    assert again == "duplicate"
    assert (await history(store, notification_id)).timeline == told


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "of_next_year"])
async def test_one_that_is_still_on_its_way_stays_sent_and_is_asked_about_later(
    store: Store, address: Address, transport: HttpTransport, api: Vendor, status: str
) -> None:
    notification_id = await sent(store, address)
    api.answers.append(web.json_response({"status": status}))
    asking = reconciler(store, transport, api.url)

    await asking.round()
    await asking.round()
    first = len(api.requests)
    make_due(address)
    await asking.round()

    assert first == 1
    assert (await history(store, notification_id)).record.status is Status.DELIVERED


async def test_the_request_is_twilios(
    store: Store, address: Address, transport: HttpTransport, api: Vendor
) -> None:
    await sent(store, address, sid="SM/../x")

    await reconciler(store, transport, api.url).round()

    (request,) = api.requests
    assert (request.method, request.path) == (
        "GET",
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages/SM%2F..%2Fx.json",
    )
    assert request.headers["Authorization"].startswith("Basic ")


async def test_what_twilio_does_not_know_is_never_asked_about_again(
    store: Store, address: Address, transport: HttpTransport, sandbox: RunningSandbox
) -> None:
    notification_id = await sent(store, address, sid="SM" + "9" * 32)
    before = counted()
    asking = reconciler(store, transport, sandbox.url)

    await asking.round()
    make_due(address)
    await asking.round()

    assert counted() - before == Counter(unknown=1)
    assert (await history(store, notification_id)).record.status is Status.SENT


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (web.Response(status=503), 60.0),
        (web.Response(status=429, headers={"Retry-After": "7"}), 60.0),
        (web.Response(status=429, headers={"Retry-After": "1800"}), 1800.0),
        (web.Response(status=401), 60.0),
        (web.Response(text="<html>"), 60.0),
        ("hang", 60.0),
    ],
)
async def test_a_provider_that_does_not_answer_is_left_alone_for_a_while(
    store: Store,
    address: Address,
    transport: HttpTransport,
    api: Vendor,
    answer: Any,
    pause: float,
) -> None:
    ids = [await sent(store, address, sid=f"SM{number}") for number in range(3)]
    # a response can be written once, and this runs on both databases
    fresh = answer if isinstance(answer, str) else _copy(answer)
    api.answers.append(fresh)
    before = counted()
    asking = reconciler(store, transport, api.url)

    waits = await asking.round()
    nothing_is_due = await asking.round()
    made_of_it = len(api.requests)
    make_due(address)
    await asking.round()

    assert (waits, made_of_it) == (pause, 1)
    assert nothing_is_due > 0
    assert counted() - before == Counter(failed=1, settled=3)
    statuses = [(await history(store, each)).record.status for each in ids]
    assert statuses == [Status.DELIVERED] * 3


async def test_the_pause_doubles_while_nothing_is_answered(
    store: Store, address: Address, transport: HttpTransport, api: Vendor
) -> None:
    await sent(store, address)
    asking = reconciler(store, transport, api.url, pause=10.0)
    waits = []

    for _ in range(3):
        api.answers.append(web.Response(status=500))
        waits.append(await asking.round())
        make_due(address)
    await asking.round()

    assert waits == [10.0, 20.0, 40.0]


async def test_several_workers_ask_about_each_message_once(
    address: Address, transport: HttpTransport, api: Vendor
) -> None:
    stores = [open_store(address.url) for _ in range(3)]
    try:
        many = BATCH + 10
        for number in range(many):
            await sent(stores[0], address, sid=f"SM{number}")
        asking = [reconciler(each, transport, api.url) for each in stores]

        await asyncio.gather(*(each.round() for each in asking))
        while await asking[0].round() == 0.0:
            pass
        await asking[0].round()
    finally:
        for each in stores:
            await each.close()

    asked = Counter(request.path for request in api.requests)
    assert len(asked) == many
    assert set(asked.values()) == {1}


async def test_a_worker_that_stops_gives_back_what_it_has_not_asked(
    store: Store, address: Address, transport: HttpTransport, api: Vendor
) -> None:
    for number in range(3):
        await sent(store, address, sid=f"SM{number}")
    api.answers.append("hang")
    asking = asyncio.create_task(reconciler(store, transport, api.url).round())
    await until(lambda: bool(api.requests))

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await reconciler(store, transport, api.url).round()

    assert len(api.requests) == 1 + 3


async def test_zero_seconds_ask_nothing(store: Store, address: Address, api: Vendor) -> None:
    await sent(store, address)
    settings = WhatsAppSettings(
        twilio_base_url=api.url, twilio_auth_token=SecretStr(TOKEN), reconcile_after_seconds=0
    )
    transport = HttpTransport(timeout=2)

    async with reconciling(settings, transport, store):
        await asyncio.sleep(0)
    await transport.close()

    assert api.requests == []


async def test_a_running_worker_settles_what_it_sent(
    rabbitmq: RabbitMQ, postgres: Postgres
) -> None:
    async with running_system(
        rabbitmq, postgres.url, receipts=True, reconcile_after_seconds=0.5
    ) as system:
        answer = await system.until(await system.send(event("whatsapp", phone=SILENT)), "delivered")

    assert len([one for one in answer["timeline"] if one["status"] == "sent"]) == 1


def _copy(answer: web.Response) -> web.Response:
    headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
