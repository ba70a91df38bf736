"""The access token: one fetch for all who wait, and what its failures mean."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from clarion.errors import Misconfigured, SendError, SettingsError, Transient
from clarion_push.providers.fcm_token import AccessToken, key_from_file, key_from_url
from clarion_testing.vendor import Vendor, vendor


@pytest.fixture
def token(key_file: Path) -> AccessToken:
    return AccessToken(key_from_file(str(key_file)))


def change(key_file: Path, **changes: object) -> None:
    key_file.write_text(json.dumps(json.loads(key_file.read_text()) | changes))


async def test_fifty_who_need_it_at_once_share_one_fetch(
    token: AccessToken, google: Vendor
) -> None:
    tokens = await asyncio.gather(*(token.get() for _ in range(50)))

    assert set(tokens) == {"token-1"}
    assert [request.path for request in google.requests] == ["/token"]


async def test_it_is_kept_while_it_is_good(token: AccessToken, google: Vendor) -> None:
    assert [await token.get(), await token.get()] == ["token-1", "token-1"]
    assert len(google.requests) == 1


async def test_a_token_about_to_end_is_replaced(token: AccessToken, google: Vendor) -> None:
    google.answers.append(web.json_response({"access_token": "short", "expires_in": 60}))

    assert [await token.get(), await token.get()] == ["short", "token-1"]


async def test_a_token_about_to_end_serves_while_google_is_down(
    token: AccessToken, google: Vendor
) -> None:
    google.answers.append(web.json_response({"access_token": "short", "expires_in": 60}))
    google.answers.append(web.json_response({"error": "invalid_grant"}, status=400))

    assert [await token.get(), await token.get()] == ["short", "short"]
    assert len(google.requests) == 2


async def test_a_dropped_token_is_fetched_again_once(token: AccessToken, google: Vendor) -> None:
    expired = await token.get()

    token.drop(expired)
    renewed = await token.get()
    token.drop(expired)  # a late answer about the old one

    assert renewed == "token-2"
    assert await token.get() == "token-2"
    assert len(google.requests) == 2


async def test_one_who_gives_up_leaves_the_fetch_to_the_others(
    token: AccessToken, google: Vendor
) -> None:
    impatient, patient = asyncio.create_task(token.get()), asyncio.create_task(token.get())
    await asyncio.sleep(0)  # both wait now

    impatient.cancel()

    assert await patient == "token-1"
    assert impatient.cancelled()
    assert len(google.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.json_response({"error": "invalid_grant"}, status=400), Misconfigured),
        (web.json_response({"error": "unauthorized_client"}, status=401), Misconfigured),
        (web.json_response({"expires_in": 3600}), Misconfigured),
        (web.json_response({"access_token": "t", "expires_in": "soon"}), Misconfigured),
        ("drop", Transient),
    ],
    ids=["invalid_grant", "unauthorized_client", "no token", "bad expiry", "drop"],
)
async def test_a_failed_fetch_has_its_error_for_all_who_wait(
    answer: web.Response | str, error: type[SendError], token: AccessToken, google: Vendor
) -> None:
    google.answers.append(answer)

    answers = await asyncio.gather(*(token.get() for _ in range(5)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {error}
    assert len(google.requests) == 1
    assert await token.get() == "token-1"


async def test_google_out_of_reach_is_transient(key_file: Path) -> None:
    change(key_file, token_uri="http://no-such-host.invalid/token")

    with pytest.raises(Transient, match="no access token"):
        await AccessToken(key_from_file(str(key_file))).get()


async def test_a_replaced_key_needs_no_restart(
    token: AccessToken, key_file: Path, private_key: str
) -> None:
    change(key_file, private_key="damaged")
    with pytest.raises(Misconfigured, match="not a service account key"):
        await token.get()

    change(key_file, private_key=private_key)

    assert await token.get() == "token-1"


async def test_the_sandboxes_key_is_fetched_when_it_is_there(key_file: Path) -> None:
    def key() -> web.Response:
        return web.Response(body=key_file.read_bytes())

    async with vendor(key) as sandbox:
        sandbox.answers += [web.Response(status=503), web.Response(text="not JSON")]
        token = AccessToken(key_from_url(f"{sandbox.url}/service-account.json"))
        for _ in range(2):
            with pytest.raises(Transient):
                await token.get()

        assert await token.get() == "token-1"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", '{"private_key": "x"}'])
def test_a_file_that_is_no_key_stops_the_start(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)

    with pytest.raises(SettingsError, match=r"FCM_SERVICE_ACCOUNT_FILE: .*not a service account"):
        key_from_file(str(path))


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        key_from_file(str(tmp_path / "none.json"))


def test_a_damaged_key_is_not_repeated(key_file: Path) -> None:
    change(key_file, private_key="a-secret-with-a-typo")

    with pytest.raises(SettingsError) as raised:
        key_from_file(str(key_file))

    assert "a-secret" not in str(raised.value)
