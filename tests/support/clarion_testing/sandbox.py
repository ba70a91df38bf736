"""A sandbox on a free loopback port, in the test's own event loop."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from clarion.runner import listen, serving
from clarion_sandbox import server
from clarion_sandbox.app import create_app


class RunningSandbox:
    """What a test does with a sandbox: look into it, and tell it to fail."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def messages(self, **filters: str) -> list[dict[str, Any]]:
        """Return the accepted messages, newest first; filters: channel, to, limit."""
        found: list[dict[str, Any]] = await self.get("/api/messages", **filters)
        return found

    async def calls(self, notification_id: str) -> dict[str, Any]:
        """Return the provider calls for one notification; with no call, the counts are 0."""
        found = await self.get("/api/calls", notification_id=notification_id)
        none = {"notification_id": notification_id, "calls": 0, "accepted": 0, "entries": []}
        record: dict[str, Any] = found[0] if found else none
        return record

    async def summary(self) -> dict[str, Any]:
        """Return the totals over all provider calls."""
        totals: dict[str, Any] = await self.get("/api/calls/summary")
        return totals

    async def rejections(self) -> list[dict[str, Any]]:
        """Return the requests that broke a vendor's rule or contract, newest first."""
        found: list[dict[str, Any]] = await self.get("/api/rejections")
        return found

    async def fail(self, *rules: dict[str, Any]) -> None:
        """Put these fault rules in force, in place of the former ones."""
        async with self.session.put(f"{self.url}/api/faults", json=list(rules)) as response:
            assert response.status == 200, await response.text()

    async def clear(self) -> None:
        """Forget the messages, the calls and the fault rules."""
        for path in ("/api/messages", "/api/calls", "/api/faults"):
            async with self.session.delete(self.url + path) as response:
                assert response.status in {200, 204}, await response.text()

    async def service_account(self) -> dict[str, str]:
        """Return a service account whose token endpoint is this sandbox."""
        account: dict[str, str] = await self.get("/service-account.json")
        return account

    async def service_account_file(self, folder: Path) -> Path:
        """Write the service account to a file in `folder`."""
        path = folder / "service-account.json"
        path.write_text(json.dumps(await self.service_account()))
        return path

    async def get(self, path: str, **query: str) -> Any:
        """Return the JSON document at a path of the sandbox."""
        async with self.session.get(self.url + path, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()


def contracts_dir() -> Path | None:
    """Return the vendors' contracts: CONTRACTS_DIR, or the folder beside the checkout."""
    named = os.environ.get("CONTRACTS_DIR")
    root = Path(__file__).resolve().parents[3]
    folder = Path(named) if named else root.parent / "shared" / "contracts"
    return folder if folder.is_dir() else None


@asynccontextmanager
async def run_sandbox(
    *, contracts: Path | None = None, host: str = "127.0.0.1", **options: Any
) -> AsyncIterator[RunningSandbox]:
    """Run a sandbox on a free port until the block ends."""
    listener = listen(host, 0)
    listener.listen()  # the first request waits until the server takes it
    app = create_app(contracts_dir=contracts, **options)
    async with serving(server.config(app), listener), aiohttp.ClientSession() as session:
        yield RunningSandbox(f"http://{host}:{listener.getsockname()[1]}", session)


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """A sandbox that checks against the vendors' contracts where their folder is there."""
    async with run_sandbox(contracts=contracts_dir()) as running:
        yield running
