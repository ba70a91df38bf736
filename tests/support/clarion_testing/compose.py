"""A project of `docker compose` on ports of its own, spoken to as its users do."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
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

ROOT = Path(__file__).parents[3]
RECIPIENTS = {
    "email": {"email": "ann@example.com"},
    "whatsapp": {"phone": "+14155550123"},
    "push": {"device_token": "a-device-of-ann"},
}


class Compose:
    """One project with some of its profiles; calling it runs a command of `docker compose`."""

    def __init__(self, *profiles: str) -> None:
        self.project = f"clarion-e2e-{uuid.uuid4().hex[:8]}"
        self.key = ""
        self.gateway_port, self.sandbox_port = _free_port(), _free_port()
        self.environment = os.environ | {
            "COMPOSE_PROFILES": ",".join(profiles),
            "PORT": str(self.gateway_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "RABBITMQ_PORT": str(_free_port()),
            "RABBITMQ_MANAGEMENT_PORT": str(_free_port()),
            "POSTGRES_PORT": str(_free_port()),
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

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self("ps", "--quiet", service).split()

    def gateway(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send the gateway a request, with the key if there is one."""
        return ask(method, f"http://127.0.0.1:{self.gateway_port}{path}", body, self.key)

    def sandbox(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send the sandbox a request."""
        return ask(method, f"http://127.0.0.1:{self.sandbox_port}{path}", body)

    def send(self, channel: str, **payload: object) -> str:
        """Return the id of a notification that the gateway accepted."""
        status, answer = self.gateway("POST", "/v1/notifications", event(channel, **payload))
        assert status == 202, answer
        identifier: str = answer["notifications"][0]["notification_id"]
        return identifier

    async def until(self, identifier: str, *statuses: str, seconds: float = 90) -> Any:
        """Return the notification once it has one of these statuses."""
        async with asyncio.timeout(seconds):
            while True:
                _, answer = self.gateway("GET", f"/v1/notifications/{identifier}")
                if answer["status"] in statuses:
                    return answer
                await asyncio.sleep(0.2)


@contextlib.contextmanager
def composed(*profiles: str, scale: str = "") -> Iterator[Compose]:
    """Start a project while the block runs; when it fails, show its last log lines."""
    compose = Compose(*profiles)
    scaled = ("--scale", scale) if scale else ()
    try:
        compose("up", "--build", "--wait", "--wait-timeout", "300", *scaled, timeout=1200)
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
        compose("down", "--volumes", "--timeout", "10")


def docker(*arguments: str) -> str:
    """Run a command of `docker` and return its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
    return done.stdout


def ask(method: str, url: str, body: object = None, key: str = "") -> tuple[int, Any]:
    """Return the status and the JSON of one request; 0 where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | (
        {"Authorization": f"Bearer {key}"} if key else {}
    )
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
    except (OSError, http.client.HTTPException):
        return 0, None


def event(channel: str, **payload: object) -> dict[str, object]:
    """Return an event that is right in all its parts."""
    return {
        "message_id": uuid.uuid4().hex,
        "target_user_id": "user_1",
        "channel": channel,
        "template_id": "welcome",
        "payload": {"user_name": "Ann"} | RECIPIENTS[channel] | payload,
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
