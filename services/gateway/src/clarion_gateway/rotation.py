"""API keys, and where applications are called, that change while the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from loguru import logger

from clarion.errors import SettingsError
from clarion_gateway.auth import ApiKeys
from clarion_gateway.callback_urls import CallbackUrls

EVERY_SECONDS = 2.0

Signature = tuple[tuple[int, int, int], ...]


class Rotation:
    """Reads both again at SIGHUP, and when one of `files` changed.

    What cannot be read, or holds no key where keys were asked for, changes nothing.
    """

    def __init__(
        self,
        keys: ApiKeys,
        read: Callable[[], ApiKeys],
        urls: CallbackUrls,
        read_urls: Callable[[], CallbackUrls],
        files: tuple[Path, ...],
        every: float = EVERY_SECONDS,
    ) -> None:
        self._keys = keys
        self._read = read
        self._urls = urls
        self._read_urls = read_urls
        self._files = files
        self._every = every
        self._seen = self._look()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch while the block runs."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, asked.set)
        task = asyncio.create_task(self._watch(asked))
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self, asked: asyncio.Event) -> None:
        while True:
            try:
                await asyncio.wait_for(asked.wait(), self._every)
            except TimeoutError:
                if self._look() == self._seen:
                    continue
            asked.clear()
            # before reading: a change meanwhile is a change to see next time
            self._seen = self._look()
            self._reload_keys()
            self._reload_urls()

    def _reload_urls(self) -> None:
        try:
            new = self._read_urls()
        except SettingsError as error:
            logger.error("the callbacks stay as they were: {}", error)
            return
        self._urls.replace(new)
        logger.bind(names=new.names).info("the callbacks were read again")

    def _reload_keys(self) -> None:
        try:
            new = self._read()
        except SettingsError as error:
            logger.error("the API keys stay as they were: {}", error)
            return
        if self._keys.required and not new.required:
            logger.error(
                "the API keys stay as they were: API_KEYS is empty, which would let in all"
            )
            return
        self._keys.replace(new)
        logger.bind(names=new.names).info("the API keys were read again")

    def _look(self) -> Signature:
        found = []
        for file in self._files:
            try:
                stat = file.stat()
            except OSError:
                continue
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)
