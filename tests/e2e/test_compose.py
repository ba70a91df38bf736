"""The composed containers, as a new user starts them: delivery, scaling, stopping."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from clarion_gateway.auth import new_key
from clarion_testing.compose import Compose, composed, docker, event

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    with composed() as compose:
        yield compose


@pytest.mark.parametrize("channel", ["email", "whatsapp", "push"])
async def test_an_event_reaches_the_inbox(compose: Compose, channel: str) -> None:
    identifier = compose.send(channel)

    # FCM tells nothing later; of the others the sandbox's receipt comes by itself
    await compose.until(identifier, "sent" if channel == "push" else "delivered")

    _, messages = compose.sandbox("GET", f"/api/messages?channel={channel}")
    assert identifier in json.dumps(messages)


async def test_a_bad_address_fails_at_once_with_the_vendors_words(compose: Compose) -> None:
    identifier = compose.send("email", email="bad@sandbox.test")

    answer = await compose.until(identifier, "failed")

    assert answer["reason"] == "invalid_recipient"
    _, health = compose.gateway("GET", "/health")
    assert health["dead_letters"]["email"] >= 1


async def test_a_fault_that_passes_is_retried(compose: Compose) -> None:
    identifier = compose.send("email", email="flaky@sandbox.test")

    answer = await compose.until(identifier, "delivered")

    assert [attempt["status"] for attempt in answer["attempts"]] == ["retrying", "retrying", "sent"]


async def test_a_channel_scales_without_the_others(compose: Compose) -> None:
    compose("up", "--wait", "--no-recreate", "--scale", "email=3")

    async with asyncio.timeout(60):
        while True:
            _, health = compose.gateway("GET", "/health")
            counts = {name: len(w["instances"]) for name, w in health["workers"].items()}
            if counts == {"email": 3, "whatsapp": 1, "push": 1}:
                break
            await asyncio.sleep(0.5)

    assert health["status"] == "ok"


async def test_a_stop_while_sending_loses_nothing(compose: Compose) -> None:
    events = [event("email", email=f"user{number}@example.com") for number in range(300)]
    status, answer = compose.gateway("POST", "/v1/notifications/batch", {"notifications": events})
    assert status == 202

    compose("stop", "email", "whatsapp", "push")
    # the sandbox that counts the calls must be the same one
    compose("up", "--wait", "--no-recreate", "--scale", "email=1")

    identifiers = [item["notifications"][0]["notification_id"] for item in answer["results"]]
    for identifier in identifiers:
        await compose.until(identifier, "delivered")
    for identifier in identifiers:
        _, calls = compose.sandbox("GET", f"/api/calls?notification_id={identifier}")
        assert '"accepted": 1' in json.dumps(calls), calls


def test_no_container_is_root_and_none_can_write_its_file_system(compose: Compose) -> None:
    for service in ("gateway", "email", "whatsapp", "push", "sandbox"):
        container = compose.containers(service)[0]
        (state,) = json.loads(docker("inspect", container))

        assert state["Config"]["User"] == "10001:10001"
        assert state["HostConfig"]["ReadonlyRootfs"] is True


async def test_keys_change_without_a_restart(compose: Compose) -> None:
    (started,) = compose.containers("gateway")
    assert compose.gateway("GET", "/v1/templates")[0] == 200
    key, entry = new_key("shop")

    compose.environment["API_KEYS"] = entry
    compose("run", "--rm", "--no-deps", "credentials")

    async with asyncio.timeout(30):
        while compose.gateway("GET", "/v1/templates")[0] != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    compose.key = key
    assert compose.gateway("GET", "/v1/templates")[0] == 200
    assert compose.containers("gateway") == [started]
