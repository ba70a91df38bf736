"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from functools import cache

import pytest
from playwright.async_api import Browser, async_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless browser of this test's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=ARGUMENTS, headless=True
        )
        yield browser
        await browser.close()


@cache
def chromium() -> str:
    """Return the path of Chromium; install Debian's where this process may. Fails otherwise."""
    found = _find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
            subprocess.run(command, check=True, capture_output=True, timeout=900)
        found = _find()
    if found is None:
        pytest.fail("no chromium or chromium-browser on the PATH: install one", pytrace=False)
    return found


def _find() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")
