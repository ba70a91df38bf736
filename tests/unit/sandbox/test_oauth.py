"""The token endpoint, asked by Google's own client."""

import asyncio
import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from clarion_sandbox.oauth import GRANT, InvalidGrant, check_assertion, service_account
from clarion_testing.sandbox import RunningSandbox, run_sandbox
from clarion_testing.sandbox_requests import Sender

SCOPES = ["https://www.googleapis.com/auth/firebase.messaging"]


def assertion(header: dict[str, Any], **claims: Any) -> str:
    now = int(time.time())
    complete = {"iss": "me", "aud": "x", "iat": now, "exp": now + 3600, **claims}
    parts = [json.dumps(part).encode() for part in (header, complete)] + [b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def refreshed(account: dict[str, str]) -> Any:
    make: Any = Credentials.from_service_account_info  # untyped in google-auth
    credentials = make(account, scopes=SCOPES)
    await asyncio.to_thread(credentials.refresh, Request())
    return credentials


async def test_googles_client_gets_a_token_that_fcm_takes(
    sandbox: RunningSandbox, send: Sender
) -> None:
    credentials = await refreshed(await sandbox.service_account())

    answer = await send.push(
        {"message": {"token": "a-device"}},
        headers={"Authorization": f"Bearer {credentials.token}"},
    )

    assert answer.status == 200
    assert not credentials.expired


async def test_the_service_account_points_at_the_sandbox_that_made_it(
    sandbox: RunningSandbox,
) -> None:
    account = await sandbox.service_account()

    assert account["type"] == "service_account"
    assert account["token_uri"] == f"{sandbox.url}/token"


async def test_a_signature_under_another_key_is_refused(sandbox: RunningSandbox) -> None:
    account = await sandbox.service_account()
    other = {**account, "private_key": foreign_key()}

    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        await refreshed(other)


async def test_a_key_of_another_sandbox_still_gets_a_token(sandbox: RunningSandbox) -> None:
    account = await sandbox.service_account()
    restarted = {**account, "private_key": foreign_key(), "private_key_id": "of-a-former-process"}

    credentials = await refreshed(restarted)

    assert credentials.token


async def test_a_token_outlives_a_restart(sandbox: RunningSandbox) -> None:
    credentials = await refreshed(await sandbox.service_account())

    async with run_sandbox() as restarted:
        answer = await Sender(restarted).push(
            {"message": {"token": "a-device"}},
            headers={"Authorization": f"Bearer {credentials.token}"},
        )

    assert answer.status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": GRANT}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": "a.b.c"}, "invalid_grant"),
    ],
)
async def test_a_wrong_token_request_is_refused_as_oauth_says(
    send: Sender, form: dict[str, str], error: str
) -> None:
    answer = await send.post("/token", data=form)

    assert answer.status == 400
    assert answer.document["error"] == error
    assert answer.document["error_description"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "three parts"),
        ("x" * 20_000, "three parts"),
        ("!.!.!", "base64url|not a JSON object"),
        (assertion({"alg": "HS256"}), "RS256"),
        (assertion({"alg": "RS256"}, iss=None), "lacks iss"),
        (assertion({"alg": "RS256"}, exp="soon"), "whole seconds"),
        (assertion({"alg": "RS256"}, exp=1), "short-lived"),
        (assertion({"alg": "RS256"}, iat=4_000_000_000), "short-lived"),
    ],
)
def test_a_wrong_assertion_is_an_invalid_grant(text: str, reason: str) -> None:
    with pytest.raises(InvalidGrant, match=reason):
        check_assertion(text, time.time())


def test_the_key_is_made_once() -> None:
    first = service_account("http://127.0.0.1:1")
    second = service_account("http://127.0.0.1:2/")

    assert first["private_key"] == second["private_key"]
    assert second["token_uri"] == "http://127.0.0.1:2/token"


def foreign_key() -> str:
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )
