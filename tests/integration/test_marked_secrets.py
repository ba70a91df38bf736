"""Uniquely marked secrets, addresses and tokens go through every path; no output may hold one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from clarion_gateway.auth import new_key
from clarion_testing.postgres import Postgres
from clarion_testing.rabbitmq_nodes import RabbitMQ
from clarion_testing.sandbox import RunningSandbox, run_sandbox

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
EMAIL, PHONE = "marked.recipient@example.com", "+14155559876"
TOKEN = "MarkedDeviceMarkedDevi:APA91b" + "MarkedToken" * 12
PASSWORD = "MarkedPassw0rd"
SENDGRID_KEY = "SG.MarkedSendGridKey.MarkedSendGridSecret"
TWILIO_TOKEN = "0123456789abcdefMarkedTwilioTok"
WEBHOOK_SECRET = "whsec_TWFya2VkV2ViaG9va1NlY3JldE1hcmtlZFdlYmhvb2s="
HOOK = "MarkedHook"
MARKS = (EMAIL, PHONE, TOKEN, PASSWORD, SENDGRID_KEY, TWILIO_TOKEN, WEBHOOK_SECRET[6:], HOOK)
WORKERS = ("email", "whatsapp", "push")


class Installation:
    """The gateway and the workers as processes, and all that they ever said."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, session: aiohttp.ClientSession):
        self.key, self.entry = new_key("shop")
        self.said: list[str] = []
        self.urls: dict[str, str] = {}
        self._folder = folder
        self._sandbox = sandbox
        self._session = session
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, service: str, **settings: str) -> None:
        """Start a process whose settings hold marked secrets; return once it listens."""
        port = str(await _free_port())
        environment = {
            "PATH": os.environ["PATH"],
            "SECRETS_DIR": str(self._folder),
            "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
            "LOG_LEVEL": "DEBUG",
            "PORT": port,
            "API_KEYS": self.entry,
            # nobody listens there
            "CALLBACKS": f"shop http://127.0.0.1:1/{HOOK} {WEBHOOK_SECRET}",
            "SENDGRID_API_KEY": SENDGRID_KEY,
            "SENDGRID_BASE_URL": self._sandbox.url,
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "TWILIO_BASE_URL": self._sandbox.url,
            "TWILIO_WHATSAPP_FROM": "+14155550100",
            "EMAIL_FROM": "hello@clarion.test",
            "FCM_PROJECT_ID": "clarion-sandbox",
            "FCM_SERVICE_ACCOUNT_FILE": f"{self._sandbox.url}/service-account.json",
            "FCM_BASE_URL": self._sandbox.url,
            "RETRY_ATTEMPTS": "1",
            "RETRY_DELAY_MS": "1000",
            "DOUBT_GRACE_SECONDS": "0",
            "PROVIDER_TIMEOUT_SECONDS": "2",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"clarion_{service}"),
            env=environment | settings,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._processes.append(process)
        self._readers.append(asyncio.create_task(self._listen(process)))
        self.urls[service] = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(60):
            while await self.ask(service, "GET", "/health/live") != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def ask(self, service: str, method: str, path: str, body: object = None) -> int:
        """Send a request with the API key, keep the answer, and return its status."""
        headers = {"Authorization": f"Bearer {self.key}"} if path.startswith("/v1") else {}
        try:
            async with self._session.request(
                method, self.urls[service] + path, json=body, headers=headers
            ) as response:
                self.said += [await response.text(), str(response.headers)]
                return response.status
        except aiohttp.ClientConnectionError:
            return 0

    async def send(self, channel: str, **payload: object) -> str:
        """Send an event and return its notification's id."""
        body = event(channel, **payload)
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.urls['gateway']}/v1/notifications"
        async with self._session.post(url, json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == 202, answer
            return str(answer["notifications"][0]["notification_id"])

    async def final(self, identifier: str) -> dict[str, Any]:
        """Return a notification once it is sent or failed, without keeping the answer."""
        url = f"{self.urls['gateway']}/v1/notifications/{identifier}"
        async with asyncio.timeout(60):
            while True:
                headers = {"Authorization": f"Bearer {self.key}"}
                async with self._session.get(url, headers=headers) as response:
                    answer: dict[str, Any] = await response.json()
                if answer["status"] in {"sent", "failed"}:
                    return answer
                await asyncio.sleep(0.1)

    async def look_around(self) -> None:
        """Keep what every process tells whoever asks."""
        for service in self.urls:
            for path in ("/health", "/health/ready", "/metrics"):
                await self.ask(service, "GET", path)

    async def stop(self) -> str:
        """End every process, and return all that was said."""
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
        await asyncio.gather(*(process.wait() for process in self._processes), *self._readers)
        return "\n".join(self.said)

    async def close(self) -> None:
        """End what a failed test left."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes), *self._readers)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.said.append(line.decode())


def event(channel: str, **payload: object) -> dict[str, object]:
    recipients = {"email": {"email": EMAIL}, "whatsapp": {"phone": PHONE}}
    return {
        "message_id": os.urandom(8).hex(),
        "target_user_id": "u1",
        "channel": channel,
        "template_id": "welcome",
        "payload": {"user_name": "Ann"}
        | recipients.get(channel, {"device_token": TOKEN})
        | payload,
    }


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    async with run_sandbox() as sandbox, aiohttp.ClientSession() as session:
        installation = Installation(tmp_path, sandbox, session)
        yield installation
        await installation.close()


def assert_unmarked(said: str, *marks: str) -> None:
    assert len(said) > 1000
    for mark in marks:
        at = said.find(mark)
        assert at < 0, said[max(0, at - 300) : at + 300]


async def test_what_providers_say_of_a_recipient_and_a_key_stays_out_of_all_output(
    installation: Installation, rabbitmq: RabbitMQ, postgres: Postgres
) -> None:
    quoted = (
        f"refused {EMAIL}, {PHONE}, {TOKEN}, {SENDGRID_KEY}, {TWILIO_TOKEN}, {installation.key}"
    )
    bodies: dict[str, dict[str, Any]] = {
        "email": {"errors": [{"message": quoted}]},
        "whatsapp": {"code": 21211, "message": quoted},
        "push": {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": quoted}},
    }
    for service in ("gateway", *WORKERS):
        told = ",".join(f"{worker}=http://127.0.0.1:1" for worker in WORKERS)
        await installation.start(
            service, BROKER_URL=rabbitmq.url(service), DATABASE_URL=postgres.url, WORKERS=told
        )

    for action in ("status", "drop", "accept_then_drop"):
        rules = [
            {"channel": channel, "times": 1, "action": {"type": action}}
            | (
                {"action": {"type": "status", "code": 400, "body": body}}
                if action == "status"
                else {}
            )
            for channel, body in bodies.items()
        ]
        await installation._sandbox.fail(*rules)
        for worker in WORKERS:
            answer = await installation.final(await installation.send(worker))
            assert len(answer["attempts"]) >= 1
    await installation.look_around()

    async with asyncio.timeout(60):
        while "callback failed" not in "".join(installation.said):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    said = await installation.stop()
    assert said.count("notification failed") >= 2, said
    assert_unmarked(said, *MARKS, installation.key, urlsplit(rabbitmq.admin_url).password or "")


async def test_refused_requests_repeat_nothing(
    installation: Installation, rabbitmq: RabbitMQ, postgres: Postgres
) -> None:
    await installation.start(
        "gateway",
        BROKER_URL=rabbitmq.url(),
        DATABASE_URL=postgres.url,
        WORKERS="email=http://127.0.0.1:1",
    )
    bad: list[tuple[str, str, object]] = [
        ("POST", "/v1/notifications", event("email", email=f"{EMAIL} x")),
        ("POST", "/v1/notifications", event("whatsapp", phone=f"{PHONE} x")),
        ("POST", "/v1/notifications", event("push", device_token=f"{TOKEN}\n")),
        ("POST", "/v1/notifications", event("email") | {"priority": EMAIL, "locale": PHONE}),
        ("POST", "/v1/notifications", event("email", user_name=None, extra=[EMAIL])),
        ("POST", "/v1/notifications/batch", {"notifications": [EMAIL, {"payload": EMAIL}]}),
        ("POST", "/v1/templates/welcome/preview", {"channel": EMAIL, "payload": {"a": EMAIL}}),
        ("GET", f"/v1/notifications/{EMAIL}", None),
        ("GET", f"/v1/notifications?user=%00{EMAIL}&status={EMAIL}&cursor={EMAIL}", None),
        ("GET", f"/{EMAIL}?token={installation.key}", None),
        ("POST", "/webhooks/sendgrid", [{"email": EMAIL, "event": "delivered"}]),
        ("POST", f"/webhooks/twilio?to={EMAIL}", {"To": f"whatsapp:{PHONE}"}),
        ("GET", f"/v1/dead-letters?channel={EMAIL}&recipient={PHONE}", None),
        ("POST", "/v1/dead-letters/replay", {"filter": {"channel": EMAIL}}),
    ]

    for method, path, body in bad:
        assert await installation.ask("gateway", method, path, body) in {401, 403, 404, 422, 207}
    good = installation.key
    installation.key = f"{good}x"
    assert await installation.ask("gateway", "GET", "/v1/templates") == 401
    await installation.look_around()

    said = await installation.stop()
    assert_unmarked(said, *MARKS, good)


@pytest.mark.parametrize("away", ["absent", "refusing"])
async def test_a_broker_and_a_database_that_fail_tell_no_password(
    installation: Installation, rabbitmq: RabbitMQ, postgres: Postgres, away: str
) -> None:
    if away == "absent":
        broker = f"amqp://email:{PASSWORD}@127.0.0.1:{await _free_port()}/"
        database = f"postgresql://clarion:{PASSWORD}@127.0.0.1:{await _free_port()}/clarion"
    else:
        address = urlsplit(rabbitmq.admin_url)
        broker = f"amqp://email:{PASSWORD}@{address.hostname}:{address.port}/"
        server = urlsplit(postgres.url)
        database = f"postgresql://nobody:{PASSWORD}@{server.hostname}:{server.port}/nothing"
    for service in ("gateway", *WORKERS):
        told = ",".join(f"{name}={url}" for name, url in installation.urls.items())
        await installation.start(
            service,
            BROKER_URL=broker,
            DATABASE_URL=database,
            WORKERS=told if service == "gateway" and told else "email=http://127.0.0.1:1",
        )

    assert await installation.ask("gateway", "POST", "/v1/notifications", event("email")) == 503
    assert await installation.ask("gateway", "GET", "/v1/notifications") == 503
    await installation.look_around()

    said = await installation.stop()
    assert "connecting to the broker" in said or "not connected" in said, said
    assert_unmarked(said, *MARKS, installation.key)


@pytest.mark.parametrize(
    "settings",
    [
        {"BROKER_URL": f"redis://x:{PASSWORD}@h/"},
        {"BROKER_URL": f"amqp://x:{PASSWORD}@h:port/"},
        {"BROKER_URL": f"amqp://x:{PASSWORD}@h1:5672,h2:99999/"},
        {"BROKER_URL": f"amqp://x:{PASSWORD}@"},
        {"DATABASE_URL": f"mysql://x:{PASSWORD}@h/"},
        {"DATABASE_URL": f"postgresql://x:{PASSWORD}@h:port/"},
        {"DATABASE_URL": f"postgresql://x:{PASSWORD}@h/x?password={PASSWORD}"},
        {"API_KEYS": PASSWORD},
        {"API_KEYS": f"shop:{PASSWORD}"},
        {"PORT": PASSWORD},
        {"WORKERS": f"email=ftp://x:{PASSWORD}@h"},
    ],
)
async def test_a_wrong_setting_is_not_repeated(tmp_path: Path, settings: dict[str, str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SECRETS_DIR": str(tmp_path),
        "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clarion_gateway"),
        env=environment | settings,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )

    said, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1, said
    assert next(iter(settings)) in said.decode()
    assert PASSWORD not in said.decode()
    assert "Traceback" not in said.decode()
