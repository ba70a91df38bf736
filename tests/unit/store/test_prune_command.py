"""`python -m clarion.store prune`, and the sweep that a gateway does by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clarion.notification import Status
from clarion.settings import RetentionSettings
from clarion.store import migrate, open_store
from clarion.store.__main__ import main
from clarion.store.base import Pruned, Retention
from clarion.store.retention import retention_of, sweeping
from clarion_testing.store_contract import brought_to


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'clarion.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    migrate(url)
    return url


def test_prune_says_how_many_it_deleted(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        store = open_store(url)
        await brought_to(store, Status.SENT)
        await store.close()

    asyncio.run(fill())
    monkeypatch.setenv("RETENTION_DAYS", "0.0000001")

    assert main(["prune"]) == 0
    assert capsys.readouterr().out == "deleted 1 notifications\n"


def test_prune_refuses_to_run_where_everything_is_kept(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "0")

    assert main(["prune"]) == 1
    assert "RETENTION_DAYS" in capsys.readouterr().err


def test_the_settings_are_days() -> None:
    assert retention_of(RetentionSettings(retention_days=2, dead_retention_days=3)) == Retention(
        finished=2 * 86_400.0, dead=3 * 86_400.0
    )
    assert retention_of(RetentionSettings(retention_days=0)) is None


async def test_a_gateway_sweeps_while_it_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, swept = open_store(url), asyncio.Event()
    prune = store.prune

    async def watched(start: str, keep: Retention, limit: int) -> Pruned:
        pruned = await prune(start, keep, limit)
        swept.set()
        return pruned

    monkeypatch.setattr(store, "prune", watched)
    notification_id = await brought_to(store, Status.SENT)
    async with sweeping(store, Retention(0.0, 0.0), every=0.01):
        async with asyncio.timeout(10):
            while await store.get(notification_id) is not None:
                swept.clear()
                await swept.wait()
    await store.close()
