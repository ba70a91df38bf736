"""FastAPI in front of Celery: the event is validated, then `delay()` hands it to the broker."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.celery_tasks import send_email

app = FastAPI()


class Event(BaseModel):
    """A notification to send."""

    message_id: str
    target_user_id: str
    channel: Literal["email", "whatsapp", "push"]
    template_id: str
    payload: dict[str, Any]
    priority: Literal["high", "normal", "low"] = "normal"


class Batch(BaseModel):
    """Several of them."""

    notifications: list[Event]


# `def`, as delay() blocks: FastAPI runs these in threads
@app.post("/v1/notifications", status_code=202)
def send(event: Event) -> dict[str, int]:
    """Accept one event."""
    send_email.delay(event.model_dump())
    return {"accepted": 1}


@app.post("/v1/notifications/batch", status_code=202)
def send_batch(batch: Batch) -> dict[str, int]:
    """Accept many events."""
    for event in batch.notifications:
        send_email.delay(event.model_dump())
    return {"accepted": len(batch.notifications)}


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Answer."""
    return {}
