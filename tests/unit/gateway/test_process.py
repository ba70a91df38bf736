"""`python -m clarion_gateway`, as a process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from clarion_gateway.auth import new_key
from clarion_testing.listening import listening

COMMAND = (sys.executable, "-m", "clarion_gateway")
ROOT = Path.cwd()
WEBHOOK_SECRET = "whsec_" + "c2Vj" * 8
EVENT = {
    "message_id": "m1",
    "target_user_id": "u1",
    "channel": "email",
    "template_id": "welcome",
    "payload": {"user_name": "Ann", "email": "ann@example.com"},
}


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "BROKER_URL": "memory://",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'clarion.db'}",
        "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
        "SECRETS_DIR": str(tmp_path / "none"),
        "WORKERS": "email=http://127.0.0.1:1",
        "PORT": "0",
    } | changes


def run(tmp_path: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(tmp_path, **changes),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_new_key_is_printed_once_with_its_entry(tmp_path: Path) -> None:
    result = run(tmp_path, "keys", "new", "shop")

    words = result.stdout.split()
    key = next(word for word in words if word.startswith("clarion_"))
    assert f"shop:{hashlib.sha256(key.encode()).hexdigest()}" in words
    assert result.returncode == 0


def test_a_new_key_is_made_for_the_scopes_that_are_asked_for(tmp_path: Path) -> None:
    result = run(tmp_path, "keys", "new", "ops", "--scopes", "read+operate")
    refused = run(tmp_path, "keys", "new", "ops", "--scopes", "admin")

    assert result.stdout.rstrip().endswith(":read+operate")
    assert refused.returncode == 1
    assert refused.stderr == (
        "clarion gateway: 'admin' is not a scope; there are send, read, operate\n"
    )


async def test_keys_change_while_it_runs(process: Any, tmp_path: Path, until: Any) -> None:
    (old, old_entry), (new, new_entry) = new_key("shop"), new_key("shop")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "api_keys").write_text(old_entry)
    _, url = await process(SECRETS_DIR=str(secrets))

    async with aiohttp.ClientSession() as session:

        async def status(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.get(url + "/v1/templates", headers=headers) as answer:
                return answer.status

        async def new_is_let_in() -> bool:
            return await status(new) == 200

        async def old_is_refused() -> bool:
            return await status(old) == 401

        assert (await status(old), await status(new)) == (200, 401)

        (secrets / "api_keys").write_text(f"{old_entry},{new_entry}")
        await until(new_is_let_in, 30)
        assert await status(old) == 200

        (secrets / "api_keys").write_text(new_entry)
        await until(old_is_refused, 30)
        assert await status(new) == 200


async def test_where_applications_are_called_changes_while_it_runs(
    process: Any, tmp_path: Path, until: Any
) -> None:
    key, entry = new_key("shop")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    heard: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/{version}", hear)
    async with listening(app) as hooks:
        (secrets / "api_keys").write_text(entry)
        (secrets / "callbacks").write_text(f"shop {hooks}/old {WEBHOOK_SECRET}")
        running, url = await process(SECRETS_DIR=str(secrets))

        async def changed(message_id: str) -> None:
            headers = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                body = EVENT | {"message_id": message_id}
                async with session.post(url + "/v1/notifications", json=body) as answer:
                    (sent,) = (await answer.json())["notifications"]
                path = f"/v1/notifications/{sent['notification_id']}/cancel"
                async with session.post(url + path) as answer:
                    assert answer.status == 200

        async def says(words: str) -> None:
            async for raw in running.stdout:
                if words in raw.decode():
                    return

        await changed("m1")
        await until(lambda: heard == ["/old"], 30)
        (secrets / "callbacks").write_text("nonsense")
        await says("the callbacks stay as they were: CALLBACKS: entry 1")
        (secrets / "callbacks").write_text(f"shop {hooks}/new {WEBHOOK_SECRET}")
        await says("the callbacks were read again")
        await changed("m2")
        await until(lambda: heard == ["/old", "/new"], 30)


@pytest.mark.parametrize("broken", ["", "nonsense"])
async def test_keys_that_cannot_be_read_change_nothing(
    process: Any, tmp_path: Path, broken: str
) -> None:
    key, entry = new_key("shop")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "api_keys").write_text(entry)
    running, url = await process(SECRETS_DIR=str(secrets))

    (secrets / "api_keys").write_text(broken)
    running.send_signal(signal.SIGHUP)
    async for raw in running.stdout:
        line = json.loads(raw)
        if line["level"] == "error":
            break

    assert line["message"].startswith("the API keys stay as they were: API_KEYS")
    async with aiohttp.ClientSession() as session:
        for headers, expected in (({}, 401), ({"Authorization": f"Bearer {key}"}, 200)):
            async with session.get(url + "/v1/templates", headers=headers) as answer:
                assert answer.status == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"HOST": "0.0.0.0"}, "API_KEYS"),  # noqa: S104
        ({"API_KEYS": "nonsense"}, "API_KEYS"),
        ({"CALLBACKS": "nonsense"}, "CALLBACKS"),
        ({"PORT": "http"}, "PORT"),
        ({"AUTH": "maybe"}, "AUTH"),
        ({"RATE_LIMIT": "-1"}, "RATE_LIMIT"),
        ({"ACCESS_LOG": "maybe"}, "ACCESS_LOG"),
        ({"BROKER_URL": "redis://x"}, "BROKER_URL"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"WORKERS": "email"}, "WORKERS"),
        ({"TEMPLATES_DIR": "/nowhere"}, "TEMPLATES_DIR"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    result = run(tmp_path, **changes)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert named in line


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(tmp_path, PORT=str(taken.getsockname()[1]))

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "PORT" in line


@pytest.fixture
async def process(
    tmp_path: Path, database_url: str
) -> AsyncIterator[Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str]]]]:
    started: list[asyncio.subprocess.Process] = []

    async def start(**changes: str) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=environment(tmp_path, **({"DATABASE_URL": database_url} | changes)),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        async for raw in process.stdout:
            line: dict[str, Any] = json.loads(raw)
            if line["message"] == "serving":
                return process, f"http://127.0.0.1:{line['context']['port']}"
        raise AssertionError("it ended before it served")

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(process: Any, number: signal.Signals) -> None:
    running, url = await process()
    async with aiohttp.ClientSession() as session, session.get(url + "/health/ready") as answer:
        assert answer.status == 200
        running.send_signal(number)
        _, errors = await running.communicate()

    assert running.returncode == 0
    assert errors == b""


async def test_without_its_broker_and_database_it_starts_and_says_so(
    process: Any, unused_tcp_port_factory: Any
) -> None:
    broker, database = unused_tcp_port_factory(), unused_tcp_port_factory()
    running, url = await process(
        BROKER_URL=f"amqp://gateway:x@127.0.0.1:{broker}/",
        DATABASE_URL=f"postgresql://x:x@127.0.0.1:{database}/x",
    )

    async with aiohttp.ClientSession() as session:
        async with session.get(url + "/health") as health:
            report = await health.json()
        async with session.get(url + "/health/live") as live:
            alive = live.status
    running.terminate()
    _, errors = await running.communicate()

    assert (health.status, alive) == (503, 200)
    assert report["checks"]["broker"]["status"] == report["checks"]["store"]["status"] == "down"
    assert running.returncode == 0
    assert b"Traceback" not in errors
