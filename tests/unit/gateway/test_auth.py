"""API keys: who may send, and where a gateway may run without them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from clarion.errors import SettingsError
from clarion_gateway.auth import ApiKeys, new_key, parse_keys, parse_scopes, require_keys
from clarion_gateway.problems import Problem

DIGEST = hashlib.sha256(b"secret").hexdigest()
OTHER = hashlib.sha256(b"another secret").hexdigest()


async def test_a_known_key_is_let_in(start_gateway: Any, key_ring: tuple[Any, Any]) -> None:
    keys, secrets = key_ring
    gateway = await start_gateway(keys=keys)

    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {secrets['shop']}"}
        assert (await gateway.get("/v1/templates", headers=headers)).status == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic c2hvcDp4", "clarion_x", "Bearer \xff"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/notifications"),
        ("POST", "/v1/notifications/batch"),
        ("GET", "/v1/notifications"),
        ("GET", "/v1/notifications/notif_0"),
        ("GET", "/v1/templates"),
        ("GET", "/v1/templates/otp"),
        ("POST", "/v1/templates/otp/preview"),
    ],
)
async def test_without_a_known_key_all_of_v1_is_a_401(
    keyed_gateway: Any, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await keyed_gateway.request(method, path, headers=headers)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.fixture
async def keyed_gateway(start_gateway: Any, key_ring: tuple[Any, Any]) -> Any:
    return await start_gateway(keys=key_ring[0])


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"]
)
async def test_operations_need_no_key(keyed_gateway: Any, path: str) -> None:
    assert (await keyed_gateway.get(path)).status == 200


@pytest.mark.parametrize("separator", [",", " ", "\n", ", ", "\r\n,\n"])
def test_entries_may_be_separated_as_one_likes(separator: str) -> None:
    (first, one), (second, two) = new_key("one"), new_key("two")

    keys = parse_keys(f" {one}{separator}{two}\n")

    assert keys.identify(f"Bearer {first}").name == "one"
    assert keys.identify(f"Bearer {second}").name == "two"


def test_a_digest_may_be_in_capitals() -> None:
    keys = parse_keys(f"shop:{DIGEST.upper()}")

    assert keys.identify("Bearer secret").name == "shop"


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        "shop:secret",
        f"shop:{DIGEST}0",
        f"a b:{DIGEST}",
        f":{DIGEST}",
        "shop:",
        f"shop:{OTHER}:",
        f"shop:{OTHER}:admin",
        f"shop:{OTHER}:send+",
        f"shop:{OTHER}:Send",
        f"shop:{OTHER}:send:read",
    ],
)
def test_a_wrong_entry_is_named_by_its_place_only(text: str) -> None:
    with pytest.raises(SettingsError, match="API_KEYS: entry") as caught:
        parse_keys(f"first:{DIGEST},{text}")

    assert "secret" not in str(caught.value)


def test_a_key_is_there_once() -> None:
    with pytest.raises(SettingsError, match="entry 2 is a key that is there already"):
        parse_keys(f"shop:{DIGEST},billing:{DIGEST}:operate")


def test_an_old_and_a_new_key_of_one_name_work_side_by_side() -> None:
    keys = parse_keys(f"shop:{DIGEST},shop:{OTHER}:send")

    assert keys.identify("Bearer secret").name == "shop"
    assert keys.identify("Bearer another secret").name == "shop"
    assert keys.identify("Bearer another secret").scopes == {"send"}


def test_an_entry_without_scopes_is_to_send_and_read() -> None:
    assert parse_keys(f"shop:{DIGEST}").identify("Bearer secret").scopes == {"send", "read"}


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("send", {("POST", "/v1/notifications"), ("POST", "/v1/notifications/batch")}),
        (
            "read",
            {
                ("GET", "/v1/notifications"),
                ("GET", "/v1/notifications/notif_0"),
                ("GET", "/v1/templates"),
                ("GET", "/v1/templates/otp"),
                ("POST", "/v1/templates/otp/preview"),
            },
        ),
    ],
)
async def test_a_key_opens_what_its_scopes_name_and_a_403_names_the_missing_one(
    start_gateway: Any, scope: str, allowed: set[tuple[str, str]]
) -> None:
    key, entry = new_key("shop", parse_scopes(scope))
    gateway = await start_gateway(keys=parse_keys(entry))
    gateway.headers = {"Authorization": f"Bearer {key}"}
    document = (await gateway.get("/openapi.json")).json

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/webhooks/"):
                continue  # a provider's signature opens these
            needed = operation.get("security", [{"apiKey": [scope]}])[0]["apiKey"][0]
            filled = path.replace("{notification_id}", "notif_0").replace("{template_id}", "otp")
            answer = await gateway.request(method.upper(), filled)
            if needed == scope:
                assert answer.status not in {401, 403}, (method, path)
                allowed.discard((method.upper(), filled))
            else:
                assert answer.status == 403, (method, path)
                assert f"the scope {needed}" in answer.json["detail"]
                challenge = answer.headers["WWW-Authenticate"]
                assert challenge.endswith(f'error="insufficient_scope", scope="{needed}"')
    assert not allowed


async def test_a_key_to_operate_sees_every_producers_notifications(
    start_gateway: Any, key_ring: tuple[Any, dict[str, str]]
) -> None:
    keys, secrets = key_ring
    gateway = await start_gateway(keys=keys)
    sent = await gateway.send_as(secrets["shop"])
    path = f"/v1/notifications/{sent.json['notifications'][0]['notification_id']}"
    gateway.headers = {"Authorization": f"Bearer {secrets['operator']}"}

    assert (await gateway.get(path)).json["producer"] == "shop"
    assert len((await gateway.get("/v1/notifications")).json["notifications"]) == 1
    assert (await gateway.send()).status == 403


def test_keys_are_all_different_and_their_entries_hold_no_key() -> None:
    made = [new_key("shop") for _ in range(100)]

    assert len({key for key, _ in made}) == 100
    assert all(key.startswith("clarion_") and len(key) == 51 for key, _ in made)
    assert not any(key in entry for key, entry in made)


def test_a_new_keys_entry_names_its_scopes_unless_they_are_the_usual_ones() -> None:
    _, usual = new_key("shop")
    key, entry = new_key("ops", parse_scopes("operate+read"))

    assert usual.count(":") == 1
    assert entry.endswith(":read+operate")
    assert parse_keys(entry).identify(f"Bearer {key}").scopes == {"read", "operate"}


def test_an_unknown_scope_is_named() -> None:
    with pytest.raises(SettingsError, match="'admin' is not a scope; there are send, read"):
        parse_scopes("send+admin")


def test_a_key_needs_a_usable_name() -> None:
    with pytest.raises(SettingsError, match="name"):
        new_key("my shop")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_keys_are_not_needed(host: str) -> None:
    assert not require_keys(ApiKeys(), host=host, auth="keys").required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway", ""])  # noqa: S104
def test_on_a_network_keys_are_needed(host: str) -> None:
    with pytest.raises(SettingsError, match=r"API_KEYS: .*AUTH=off"):
        require_keys(ApiKeys(), host=host, auth="keys")

    assert not require_keys(ApiKeys(), host=host, auth="off").required
    assert require_keys(parse_keys(f"shop:{DIGEST}"), host=host, auth="keys").required


def test_keys_that_are_set_are_asked_for_even_with_auth_off() -> None:
    keys = require_keys(parse_keys(f"shop:{DIGEST}"), host="127.0.0.1", auth="off")

    with pytest.raises(Problem):
        keys.identify(None)
