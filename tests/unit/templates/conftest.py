from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clarion.notification import Channel, Notification
from clarion.templates import TemplateRepository

Write = Callable[[dict[str, str]], Path]
Build = Callable[[dict[str, str]], TemplateRepository]
Notify = Callable[..., Notification]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below a templates folder and return the folder."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / "templates" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return tmp_path / "templates"

    return make


@pytest.fixture
def build(write: Write) -> Build:
    """Return the repository of the given files."""
    return lambda files: TemplateRepository(write(files))


@pytest.fixture
def notify() -> Notify:
    """Return a notification with the given payload."""

    def make(
        channel: str, payload: dict[str, Any], template_id: str = "hello", locale: str | None = None
    ) -> Notification:
        return Notification(
            notification_id="notif_1",
            message_id="m1",
            target_user_id="u1",
            channel=Channel(channel),
            template_id=template_id,
            recipient="someone",
            payload=payload,
            locale=locale,
        )

    return make
