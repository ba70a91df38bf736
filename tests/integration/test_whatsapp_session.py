"""Free text by WhatsApp, from the POST to the reader who writes back."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.system import TEMPLATES, System, event, running_system


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """The templates that come with Clarion, and one that is text alone."""
    folder = tmp_path / "templates"
    shutil.copytree(TEMPLATES, folder)
    (folder / "note").mkdir()
    (folder / "note" / "whatsapp.text.mako").write_text("A note for ${user_name}.\n")
    return folder


@pytest.fixture
async def system(rabbitmq: RabbitMQ, postgres: Postgres, templates: Path) -> AsyncIterator[System]:
    async with running_system(
        rabbitmq,
        postgres.url,
        receipts=True,
        templates=templates,
        whatsapp_window="enforce",
    ) as system:
        yield system


def note(**payload: object) -> dict[str, Any]:
    return {**event("whatsapp", **payload), "template_id": "note"}


async def write_back(system: System, text: str) -> None:
    """Let the reader of the newest message answer it."""
    newest = (await system.inbox("whatsapp"))[0]["id"]
    url = f"{system.sandbox}/api/messages/{newest}/replies"
    assert await system.ask("POST", url, {"text": text}) == (200, {"status": 200, "error": None})


async def test_text_goes_once_the_person_has_written(system: System) -> None:
    before = await system.until(await system.send(note()), "failed")
    await system.until(await system.send(event("whatsapp")), "delivered")
    await write_back(system, "Hi!")
    after = await system.until(await system.send(note()), "delivered")

    sent = await system.inbox("whatsapp")
    assert (before["reason"], await system.calls(before["notification_id"])) == (
        "outside_window",
        [],
    )
    assert "content_sid" in before["provider_text"]
    assert after["reason"] is None
    # the first found the window closed, and went as the template's content
    assert [bool(one["content_sid"]) for one in sent] == [False, True]
    assert sent[0]["body"] == "A note for Ann."


async def test_stop_comes_before_the_window_and_start_ends_it(system: System) -> None:
    await system.until(await system.send(event("whatsapp")), "delivered")
    await write_back(system, "Stop.")
    stopped = await system.until(await system.send(note()), "suppressed")
    await write_back(system, "START")
    started = await system.until(await system.send(note()), "delivered")

    assert stopped["reason"] == "unsubscribed"
    assert await system.calls(stopped["notification_id"]) == []
    assert len(await system.calls(started["notification_id"])) == 1


async def test_a_code_of_twilios_tells_the_same_when_it_comes_late(
    rabbitmq: RabbitMQ, postgres: Postgres, templates: Path
) -> None:
    async with running_system(rabbitmq, postgres.url, receipts=True, templates=templates) as system:
        at_once = await system.until(await system.send(note(phone="+15005550020")), "failed")
        late = await system.until(await system.send(note(phone="+15005550021")), "undelivered")
        both = await system.until(
            await system.send(event("whatsapp", phone="+15005550020")), "delivered"
        )

        assert (at_once["reason"], at_once["provider_code"]) == ("outside_window", "63016")
        assert (late["reason"], late["provider_code"]) == ("outside_window", "63016")
        # refused as text, and then sent as the template's content
        assert [call["status"] for call in await system.calls(both["notification_id"])] == [
            400,
            201,
        ]
