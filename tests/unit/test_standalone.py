"""Standalone: the process that `make run` starts."""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from clarion.runner import listen
from clarion.store import migrate
from clarion_standalone.settings import StandaloneSettings
from clarion_standalone.system import url_of
from clarion_testing.listening import listening

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "c2Vj" * 8


class Standalone:
    """The process, on ports and data of its own."""

    def __init__(self, data: Path) -> None:
        self.environment = os.environ | {
            "PORT": str(_free_port()),
            "SANDBOX_PORT": str(_free_port()),
            "DATA_DIR": str(data),
            "RETRY_DELAY_MS": "1000",
        }

    async def start(self, **settings: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "clarion_standalone",
            cwd=ROOT,
            env=self.environment | settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ready(self, process: asyncio.subprocess.Process) -> None:
        """Return once it has said how to use it."""
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"Ctrl-C stops it" not in await process.stdout.readline():
                assert process.returncode is None

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.environment['PORT']}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        return json.loads(
            await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).read())
        )


def _free_port() -> int:
    with listen("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def standalone(tmp_path: Path) -> Standalone:
    return Standalone(tmp_path / "data")


def event(email: str) -> dict[str, Any]:
    return {
        "message_id": "m1",
        "target_user_id": "u1",
        "channel": "email",
        "template_id": "welcome",
        "payload": {"user_name": "Ann", "email": email},
    }


async def stop(process: asyncio.subprocess.Process) -> str:
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return errors.decode()


async def test_what_a_restart_interrupts_goes_on_and_comes_to_an_end(
    standalone: Standalone,
) -> None:
    process = await standalone.start()
    await standalone.ready(process)
    answer = await standalone.ask("POST", "/v1/notifications", event("flaky@sandbox.test"))
    path = f"/v1/notifications/{answer['notifications'][0]['notification_id']}"
    deadline = time.monotonic() + 30
    while (await standalone.ask("GET", path))["status"] != "retrying":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

    errors = await stop(process)
    process = await standalone.start()
    await standalone.ready(process)
    while (end := await standalone.ask("GET", path))["status"] != "delivered":
        assert time.monotonic() < deadline + 30
        await asyncio.sleep(0.1)
    await stop(process)

    assert errors == ""
    assert end["attempts"][0]["status"] == "retrying"


async def test_an_application_is_called_with_what_became_of_its_notification(
    standalone: Standalone,
) -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        heard.put_nowait(Webhook(SECRET).verify(await request.read(), dict(request.headers)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)

    async with listening(app) as url:
        process = await standalone.start(CALLBACKS=f"anonymous {url}/ {SECRET}")
        await standalone.ready(process)
        await standalone.ask("POST", "/v1/notifications", event("ann@example.com"))
        told = [await heard.get()]
        while told[-1]["status"] != "delivered":
            told.append(await heard.get())
        errors = await stop(process)

    assert [each["sequence"] for each in told] == list(range(1, len(told) + 1))
    assert {each["message_id"] for each in told} == {"m1"}
    assert errors == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CALLBACKS", "shop"),
        ("PORT", "http"),
        ("DATA_DIR", "/proc/nowhere"),
        ("DATA_DIR", "/proc/self"),
        ("TEMPLATES_DIR", "/nowhere"),
        ("RETRY_ATTEMPTS", "many"),
        ("EMAIL_FROM", "nobody"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_one_line(
    standalone: Standalone, name: str, value: str
) -> None:
    process = await standalone.start(**{name: value})
    async with asyncio.timeout(60):
        _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().startswith(f"clarion: {name}: ")
    assert errors.decode().count("\n") == 1


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT"])
async def test_a_taken_port_stops_the_start_with_one_line(
    standalone: Standalone, name: str
) -> None:
    with listen("127.0.0.1", 0) as taken:
        process = await standalone.start(**{name: str(taken.getsockname()[1])})
        async with asyncio.timeout(60):
            _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().startswith(f"clarion: {name}: cannot listen on 127.0.0.1:")
    assert errors.decode().count("\n") == 1


async def test_without_keys_it_does_not_listen_for_the_whole_network(
    standalone: Standalone,
) -> None:
    process = await standalone.start(HOST="0.0.0.0")  # noqa: S104  what is refused
    async with asyncio.timeout(60):
        _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().startswith(
        "clarion: API_KEYS: set at least one key to listen on 0.0.0.0"
    )


def test_an_ipv6_address_is_told_in_brackets() -> None:
    with listen("::1", 0) as listener:
        url = url_of(listener)

        assert url == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_folder_of_any_name_can_hold_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "50%20 off? #1"
    folder.mkdir()

    migrate(StandaloneSettings(data_dir=folder).store_url)

    assert (folder / "clarion.db").is_file()


async def test_channels_that_hang_are_drained_at_the_same_time(standalone: Standalone) -> None:
    # longer than one drain, shorter than two: a second one in turn would find nothing in flight
    standalone.environment["PROVIDER_TIMEOUT_SECONDS"] = "7.5"
    process = await standalone.start()
    await standalone.ready(process)
    event = {
        "message_id": "m1",
        "target_user_id": "u1",
        "channels": ["email", "whatsapp", "push"],
        "template_id": "welcome",
        "payload": {
            "user_name": "Ann",
            "email": "hang@sandbox.test",
            "phone": "+15005550014",
            "device_token": "sandbox-hang",
        },
    }
    accepted = (await standalone.ask("POST", "/v1/notifications", event))["notifications"]
    deadline = time.monotonic() + 30
    for each in accepted:
        path = f"/v1/notifications/{each['notification_id']}"
        while (await standalone.ask("GET", path))["status"] != "sending":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        output, _ = await process.communicate()

    assert output.count(b"stopping with 1 messages in flight") == 3
