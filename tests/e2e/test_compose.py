"""The composed containers, as a new user starts them: delivery, scaling, stopping."""

import asyncio
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
RECIPIENTS = {
    "email": {"email": "ann@example.com"},
    "whatsapp": {"phone": "+14155550123"},
    "push": {"device_token": "a-device-of-ann"},
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Compose:
    """One project of `docker compose`, on ports of its own."""

    def __init__(self) -> None:
        self.project = f"clarion-e2e-{uuid.uuid4().hex[:8]}"
        self.gateway_port, self.sandbox_port = free_port(), free_port()
        self.environment = os.environ | {
            "PORT": str(self.gateway_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "RABBITMQ_PORT": str(free_port()),
            "RABBITMQ_MANAGEMENT_PORT": str(free_port()),
            "POSTGRES_PORT": str(free_port()),
        }

    def __call__(self, *arguments: str, timeout: float = 300) -> str:
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"compose {arguments}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def gateway(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return _ask(method, f"http://127.0.0.1:{self.gateway_port}{path}", body)

    def sandbox(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return _ask(method, f"http://127.0.0.1:{self.sandbox_port}{path}", body)

    def send(self, channel: str, **payload: object) -> str:
        status, answer = self.gateway("POST", "/v1/notifications", event(channel, **payload))
        assert status == 202, answer
        identifier: str = answer["notifications"][0]["notification_id"]
        return identifier

    async def until(self, identifier: str, *statuses: str, seconds: float = 90) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                _, answer = self.gateway("GET", f"/v1/notifications/{identifier}")
                if answer["status"] in statuses:
                    return answer
                await asyncio.sleep(0.2)


def _ask(method: str, url: str, body: object) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def event(channel: str, **payload: object) -> dict[str, object]:
    return {
        "message_id": uuid.uuid4().hex,
        "target_user_id": "user_1",
        "channel": channel,
        "template_id": "welcome",
        "payload": {"user_name": "Ann"} | RECIPIENTS[channel] | payload,
    }


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    compose = Compose()
    try:
        compose("up", "--build", "--wait", "--wait-timeout", "300", timeout=1200)
        yield compose
    except BaseException:
        subprocess.run(
            ["docker", "compose", "--project-name", compose.project, "logs", "--tail", "30"],
            cwd=ROOT,
            env=compose.environment,
            check=False,
        )
        raise
    finally:
        compose("down", "--volumes", "--timeout", "30")


@pytest.mark.parametrize("channel", ["email", "whatsapp", "push"])
async def test_an_event_reaches_the_inbox(compose: Compose, channel: str) -> None:
    identifier = compose.send(channel)

    # FCM tells nothing later; of the others the sandbox's receipt comes by itself
    await compose.until(identifier, "sent" if channel == "push" else "delivered")

    _, messages = compose.sandbox("GET", f"/api/messages?channel={channel}")
    assert identifier in json.dumps(messages)


async def test_a_bad_address_fails_at_once_with_the_vendors_words(compose: Compose) -> None:
    identifier = compose.send("email", email="bad@sandbox.test")

    answer = await compose.until(identifier, "failed")

    assert answer["reason"] == "invalid_recipient"
    _, health = compose.gateway("GET", "/health")
    assert health["dead_letters"]["email"] >= 1


async def test_a_fault_that_passes_is_retried(compose: Compose) -> None:
    identifier = compose.send("email", email="flaky@sandbox.test")

    answer = await compose.until(identifier, "delivered")

    assert [attempt["status"] for attempt in answer["attempts"]] == ["retrying", "retrying", "sent"]


async def test_a_channel_scales_without_the_others(compose: Compose) -> None:
    compose("up", "--wait", "--no-recreate", "--scale", "email=3")

    async with asyncio.timeout(60):
        while True:
            _, health = compose.gateway("GET", "/health")
            counts = {name: len(w["instances"]) for name, w in health["workers"].items()}
            if counts == {"email": 3, "whatsapp": 1, "push": 1}:
                break
            await asyncio.sleep(0.5)

    assert health["status"] == "ok"


async def test_a_stop_while_sending_loses_nothing(compose: Compose) -> None:
    events = [event("email", email=f"user{number}@example.com") for number in range(300)]
    status, answer = compose.gateway("POST", "/v1/notifications/batch", {"notifications": events})
    assert status == 202

    compose("stop", "email", "whatsapp", "push")
    compose("up", "--wait", "--scale", "email=1")

    identifiers = [item["notifications"][0]["notification_id"] for item in answer["results"]]
    for identifier in identifiers:
        await compose.until(identifier, "delivered")
    for identifier in identifiers:
        _, calls = compose.sandbox("GET", f"/api/calls?notification_id={identifier}")
        assert '"accepted": 1' in json.dumps(calls), calls


def test_no_container_is_root_and_none_can_write_its_file_system(compose: Compose) -> None:
    for service in ("gateway", "email", "whatsapp", "push", "sandbox"):
        container = compose("ps", "--quiet", service).split()[0]
        described = subprocess.run(
            ["docker", "inspect", container], capture_output=True, text=True, check=True
        )
        (state,) = json.loads(described.stdout)

        assert state["Config"]["User"] == "10001:10001"
        assert state["HostConfig"]["ReadonlyRootfs"] is True
