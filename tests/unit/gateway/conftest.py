"""A gateway on a free loopback port, over SQLite and the memory broker."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from clarion.brokers.base import Message
from clarion.brokers.memory import MemoryBroker
from clarion.errors import BrokerError, BrokerUnavailable, QueueFull, Unroutable
from clarion.notification import Channel, Lane, Notification
from clarion.runner import listen, serving
from clarion.store import migrate, open_store
from clarion.store.callbacks import CallbackStore
from clarion.templates import TemplateRepository
from clarion_gateway import server
from clarion_gateway.app import create_app
from clarion_gateway.auth import ApiKeys, new_key, parse_keys, parse_scopes
from clarion_gateway.limits import Limits
from clarion_gateway.probes import InstanceHealth, Probe
from clarion_gateway.publisher import Publisher

EVENT: dict[str, Any] = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


class TestBroker(MemoryBroker):
    """The memory broker with a record of what was published, and faults to switch on."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Notification] = []
        self.down = False
        self.unbound: set[Lane] = set()
        self.full: set[Lane] = set()
        self.alarm: str | None = None

    @property
    def connected(self) -> bool:
        return super().connected and not self.down

    @property
    def blocked(self) -> str | None:
        return self.alarm

    async def connect(self) -> None:
        if self.down:
            raise BrokerUnavailable("the test switched it off")
        await super().connect()

    async def publish_all(self, messages: Sequence[Message]) -> list[BrokerError | None]:
        return [await self._publish(message) for message in messages]

    async def _publish(self, message: Message) -> BrokerError | None:
        lane = message.lane
        if self.down:
            return BrokerUnavailable("the test switched it off")
        if lane in self.unbound:
            return Unroutable(f"no queue is bound for {lane.routing_key}")
        if lane in self.full:
            return QueueFull(f"{lane.routing_key} is full")
        if self.alarm:
            return BrokerUnavailable(f"blocked: {self.alarm}")
        [error] = await super().publish_all([message])
        if error is None:
            self.published.append(Notification.model_validate_json(message.body))
        return error


@dataclass
class Gateway:
    """A running gateway and what it runs on."""

    url: str
    session: aiohttp.ClientSession
    store: CallbackStore
    broker: TestBroker
    publisher: Publisher
    headers: dict[str, str] = field(default_factory=dict)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request and read its answer whole."""
        headers = self.headers | options.pop("headers", {})
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response.status, response.headers, await response.read(), response)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: object, **options: Any) -> Answer:
        return await self.request("POST", path, json=body, **options)

    async def send(self, **changes: Any) -> Answer:
        """POST the event with these fields changed."""
        return await self.post("/v1/notifications", EVENT | changes)

    async def send_as(self, key: str, **changes: Any) -> Answer:
        """POST the event with these fields changed, with this API key."""
        headers = {"Authorization": f"Bearer {key}"}
        return await self.post("/v1/notifications", EVENT | changes, headers=headers)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    response: aiohttp.ClientResponse

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def paths(self) -> list[str]:
        """The paths of the fields that a problem names."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return [error["path"] for error in self.json["errors"]]


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database_url(empty_database: Path, tmp_path: Path) -> str:
    shutil.copy(empty_database, tmp_path / "clarion.db")
    return f"sqlite:///{tmp_path / 'clarion.db'}"


@pytest.fixture(scope="session")
def templates() -> TemplateRepository:
    return TemplateRepository(Path("shared/templates"))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[CallbackStore]:
    store = open_store(database_url, grace=0.05)
    yield store
    await store.close()


@pytest.fixture
def broker() -> TestBroker:
    return TestBroker()


async def one_healthy_worker() -> list[InstanceHealth]:
    return [InstanceHealth(instance="w1", status="ok")]


HEALTHY: dict[Channel, Probe] = dict.fromkeys(Channel, one_healthy_worker)


@pytest.fixture
async def start_gateway(
    store: CallbackStore, broker: TestBroker, templates: TemplateRepository
) -> AsyncIterator[StartGateway]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(
            *,
            store: CallbackStore = store,
            keys: ApiKeys | None = None,
            limits: Limits | None = None,
            probes: Mapping[Channel, Probe] = HEALTHY,
            poll: float = 0.05,
            templates: Any = templates,
            **options: Any,
        ) -> Gateway:
            publisher = Publisher(store, broker, poll=poll, lease=0.2)
            app = create_app(
                store=store,
                broker=broker,
                templates=templates,
                keys=keys or ApiKeys(),
                probes=probes,
                limits=limits,
                publisher=publisher,
                **options,
            )
            listener = listen("127.0.0.1", 0)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            await stack.enter_async_context(serving(server.config(app), listener))
            return Gateway(url, session, store, broker, publisher)

        yield start
    await broker.close()


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway()


@pytest.fixture
async def absent_store(unused_tcp_port: int) -> AsyncIterator[CallbackStore]:
    """A store whose database is not there."""
    store = open_store(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/none")
    yield store
    await store.close()


@pytest.fixture
async def silent_store() -> AsyncIterator[CallbackStore]:
    """A store whose database takes connections and never says a word."""
    open_sockets: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: open_sockets.append(writer), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    store = open_store(f"postgresql://u:p@127.0.0.1:{port}/none")
    yield store
    await store.close()
    server.close()
    for writer in open_sockets:
        writer.close()


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 15.0) -> None:
    """Return once the condition holds; fail when it does not come to hold."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
def key_ring() -> tuple[ApiKeys, dict[str, str]]:
    """The keys of two producers, `shop` and `billing`, and of an `operator`."""
    made = {name: new_key(name) for name in ("shop", "billing")}
    made["operator"] = new_key("operator", parse_scopes("read+operate"))
    entries = " ".join(entry for _, entry in made.values())
    return parse_keys(entries), {name: key for name, (key, _) in made.items()}
