"""A worker as one process: start, signals, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TypeVar

import uvicorn
import uvloop
from loguru import logger

from clarion import logs
from clarion.brokers import open_broker
from clarion.brokers.base import Broker
from clarion.composing import Compose
from clarion.errors import BrokerUnavailable, ClarionError, SettingsError
from clarion.notification import Channel, Priority
from clarion.ops import WorkerHealth, create_app
from clarion.outcomes import Doubts
from clarion.patience import patiently
from clarion.provider import HttpTransport, Provider
from clarion.settings import WorkerSettings, load, secrets_of
from clarion.store import open_store
from clarion.store.base import Store
from clarion.templates import TemplateRepository
from clarion.worker import Worker

MessageT = TypeVar("MessageT")
SettingsT = TypeVar("SettingsT", bound=WorkerSettings)
OpenProvider = Callable[[SettingsT, HttpTransport, Store], Provider[MessageT]]

Beside = Callable[[SettingsT, HttpTransport, Store], contextlib.AbstractAsyncContextManager[None]]
"""What a worker's process does beside its messages, while the block runs."""


def run(
    channel: Channel,
    settings_class: type[SettingsT],
    compose: Compose[MessageT],
    open_provider: OpenProvider[SettingsT, MessageT],
    beside: Beside[SettingsT] | None = None,
) -> None:
    """Run the channel's worker until SIGTERM or SIGINT; exit 1 with one line if it cannot start."""
    logs.configure(channel)
    try:
        settings = load(settings_class)
        logs.configure(channel, settings.log_level, secrets=secrets_of(settings))
        uvloop.run(_serve(channel, settings, compose, open_provider, beside or _nothing))
    except ClarionError as error:
        sys.exit(f"clarion {channel}: {error}")


async def _serve(
    channel: Channel,
    settings: SettingsT,
    compose: Compose[MessageT],
    open_provider: OpenProvider[SettingsT, MessageT],
    beside: Beside[SettingsT],
) -> None:
    stop = stop_signal()
    listener = listen(settings.host, settings.port)
    transport = HttpTransport(timeout=settings.provider_timeout_seconds)
    store = open_store(settings.database_url.get_secret_value())
    broker = open_broker(settings.broker_url.get_secret_value())
    try:
        worker = build_worker(
            channel, settings, broker, store, compose, open_provider(settings, transport, store)
        )
        health = WorkerHealth(worker, broker, store)
        spare_the_collector()
        config = uvicorn.Config(create_app(health), log_config=None)
        async with serving(config, listener), beside(settings, transport, store):
            if await _until(stop, start_patiently(broker, worker)):
                logger.info("taking messages")
                await stop.wait()
            health.stopping = True
            logger.info("stopping")
            await worker.stop(settings.drain_seconds)
    finally:
        await broker.close()
        await store.close()
        await transport.close()


@contextlib.asynccontextmanager
async def _nothing(_settings: WorkerSettings, _: HttpTransport, __: Store) -> AsyncIterator[None]:
    yield


def build_worker(
    channel: Channel,
    settings: WorkerSettings,
    broker: Broker,
    store: Store,
    compose: Compose[MessageT],
    provider: Provider[MessageT],
) -> Worker[MessageT]:
    """Return a worker of these parts, not yet started."""
    return Worker(
        channel,
        name=f"{socket.gethostname()}:{os.getpid()}",
        broker=broker,
        store=store,
        templates=TemplateRepository(settings.templates_dir),
        compose=compose,
        provider=provider,
        policy=settings.retry_policy(),
        prefetch={
            Priority.HIGH: settings.prefetch_high,
            Priority.NORMAL: settings.prefetch_normal,
            Priority.LOW: settings.prefetch_low,
        },
        lease=settings.lease_seconds,
        doubts=Doubts(settings.on_doubt, settings.doubt_grace_seconds),
        circuit=settings.circuit_policy(),
        rate=settings.provider_rate,
    )


async def start_patiently(broker: Broker, worker: Worker[MessageT]) -> None:
    """Return once the worker takes messages, waiting for a broker that is not there yet.

    Raises `TopologyMismatch` when the broker is there and is not set up as it must be.
    """

    async def start() -> None:
        await broker.connect()
        await worker.start()

    await patiently(start, BrokerUnavailable, "connecting to the broker")


def listen(host: str, port: int, variable: str = "PORT") -> socket.socket:
    """Return a listening socket. Raises `SettingsError` naming the variable when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # from here on a client waits for the server to start, instead of being refused
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"{variable}: cannot listen on {host}:{port} ({error.strerror}); "
            "stop what uses it or choose another port"
        ) from error
    return listener


def spare_the_collector() -> None:
    """Leave what the start has made out of every garbage collection from now on.

    Those objects live as long as the process, and to walk them after every few hundred
    allocations was a fifth of a worker's CPU. What a message leaves in cycles is still collected,
    but seldom: it is next to nothing, and each collection walks all that is merely waiting, a tenth
    of the CPU of a gateway that holds thousands of notifications. 50,000 objects are 5 to 10 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own order of stopping."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(config: uvicorn.Config, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on `listener` while the block runs."""
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Return whether `work` ended before the stop was asked for; raises what it raises."""
    working = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
        return False
    working.result()
    return True
