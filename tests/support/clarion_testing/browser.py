"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import ctypes
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
    executable = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=ARGUMENTS, headless=True
        )
        yield browser
        await browser.close()


@cache
def chromium() -> str:
    """Return the path of Chromium; install what is missing if this process may, else fail."""
    missing = _missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", *missing]):
            subprocess.run(command, check=True, capture_output=True, timeout=900)
        missing = _missing()
    found = _find()
    if missing or found is None:
        pytest.fail(f"the tests of pages need {' and '.join(missing)}: install it", pytrace=False)
    return found


def _missing() -> list[str]:
    missing = [] if _find() else ["chromium"]
    try:
        # the program that drives the browser is linked against it; small systems lack it
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        missing.append("libatomic1")
    return missing


def _find() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")
