"""`python -m clarion_sandbox` as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from clarion.settings import load
from clarion_sandbox.settings import SandboxSettings


async def start(folder: Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "clarion_sandbox",
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    process = await start(tmp_path, PORT="0")
    assert process.stdout is not None
    line = json.loads(await process.stdout.readline())
    url = f"http://127.0.0.1:{line['context']['port']}"

    async with aiohttp.ClientSession() as session, session.get(f"{url}/health/ready") as response:
        assert response.status == 200
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    assert line["context"]["contracts"] == "not loaded"


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]

    process = await start(tmp_path, PORT=str(port))
    _, error = await process.communicate()
    taken.close()

    assert process.returncode == 1
    assert error.decode().startswith(f"clarion sandbox: PORT: cannot listen on 127.0.0.1:{port}")
    assert error.count(b"\n") == 1


async def test_a_folder_without_contracts_is_one_clear_line(tmp_path: Path) -> None:
    process = await start(tmp_path, PORT="0", CONTRACTS_DIR=str(tmp_path))
    _, error = await process.communicate()

    assert process.returncode == 1
    assert b"CONTRACTS_DIR" in error
    assert error.count(b"\n") == 1


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        ({}, 8025),
        ({"PORT": "1"}, 1),
        ({"SANDBOX_PORT": "2"}, 2),
        ({"PORT": "1", "SANDBOX_PORT": "2"}, 2),
    ],
)
def test_its_own_variable_for_the_port_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], port: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "SANDBOX_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert load(SandboxSettings).port == port
