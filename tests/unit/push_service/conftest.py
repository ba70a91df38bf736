"""A Firebase project on a local port: its key, its token endpoint and FCM."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from clarion_testing.vendor import Vendor, vendor


@pytest.fixture(scope="session")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
async def google() -> AsyncIterator[Vendor]:
    """The token endpoint: a new token for each request."""
    count = 0

    def answer() -> web.Response:
        nonlocal count
        count += 1
        return web.json_response({"access_token": f"token-{count}", "expires_in": 3600})

    async with vendor(answer) as served:
        yield served


@pytest.fixture
def key_file(google: Vendor, private_key: str, tmp_path: Path) -> Path:
    path = tmp_path / "service-account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "another-project",
                "private_key_id": "1",
                "private_key": private_key,
                "client_email": "push@clarion.test",
                "token_uri": f"{google.url}/token",
            }
        )
    )
    return path
