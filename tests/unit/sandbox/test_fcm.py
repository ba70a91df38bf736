"""FCM's answers, over a real socket."""

import json
import time
from typing import Any

import pytest

from clarion_sandbox.oauth import new_token
from clarion_sandbox.vendor import VendorRequest
from clarion_sandbox.vendors.fcm import Fcm
from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import Sender, push

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def error_code(document: Any) -> str:
    (detail,) = (one for one in document["error"]["details"] if one["@type"] == FCM_ERROR)
    return str(detail["errorCode"])


async def test_a_message_is_accepted_with_its_name(send: Sender) -> None:
    answer = await send.push(push())

    assert answer.status == 200
    assert answer.document["name"].startswith("projects/p/messages/")


async def test_an_accepted_message_is_in_the_inbox(sandbox: RunningSandbox, send: Sender) -> None:
    document = push(nid="n7", att=2, android={"ttl": "60s"})

    answer = await send.push(document)

    (message,) = await sandbox.messages()
    assert message["channel"] == "push"
    assert (message["to"], message["target"]) == ("a-device", "token")
    assert (message["notification_id"], message["attempt"]) == ("n7", 2)
    assert (message["title"], message["body"]) == ("Welcome", "Hello Ann")
    assert message["data"] == {"nid": "n7", "att": "2"}
    assert message["android"] == {"ttl": "60s"}
    assert message["provider_message_id"] == answer.document["name"]


@pytest.mark.parametrize(
    ("target", "to"),
    [
        ({"fid": "an-installation"}, "an-installation"),
        ({"topic": "news"}, "topic:news"),
        ({"condition": "'a' in topics"}, "condition:'a' in topics"),
    ],
)
async def test_every_kind_of_target_is_taken(
    sandbox: RunningSandbox, send: Sender, target: dict[str, str], to: str
) -> None:
    document = push()
    del document["message"]["token"]
    document["message"].update(target)

    answer = await send.push(document)

    assert answer.status == 200
    assert [message["to"] for message in await sandbox.messages()] == [to]


async def test_a_message_to_be_checked_only_goes_nowhere(
    sandbox: RunningSandbox, send: Sender
) -> None:
    answer = await send.push({**push(), "validate_only": True})

    assert answer.status == 200
    assert await sandbox.messages() == []


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("ya29.of-somebody-else", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (new_token(time.time()) + "0", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (new_token(time.time()) + "ä", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (new_token(time.time() - 3601), "ACCESS_TOKEN_EXPIRED"),
    ],
)
async def test_a_token_that_is_not_ours_is_unauthenticated(
    send: Sender, token: str, reason: str
) -> None:
    answer = await send.push(push(), headers={"Authorization": f"Bearer {token}"})

    assert answer.status == 401
    assert answer.document["error"]["status"] == "UNAUTHENTICATED"
    assert answer.document["error"]["details"][0]["reason"] == reason


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (push(token=None), "message"),
        (push(topic="news"), "message"),
        (push(token=3), "message.token"),
        (push(token=""), "message.token"),
        (push(token="not a token"), "message.token"),
        (push(token=None, topic="/topics/news"), "message.topic"),
        (push(data={"count": 3}), "message.data.count"),
        (push(data={"google.x": "1"}), "message.data.google.x"),
        (push(data={"from": "1"}), "message.data.from"),
        (push(data=["x"]), "message.data"),
        (push(data={"text": "x" * 4096}), "message"),
        (push(token=None, topic="news", data={"text": "x" * 2048}), "message"),
    ],
)
def test_a_broken_rule_is_answered_with_its_field(document: dict[str, Any], field: str) -> None:
    answer = Fcm().refusal(VendorRequest({"project": "p"}, {}, document))

    assert answer is not None
    assert answer.status == 400
    error = json.loads(answer.body)
    assert error["error"]["status"] == "INVALID_ARGUMENT"
    assert error_code(error) == "INVALID_ARGUMENT"
    (violation,) = error["error"]["details"][1]["fieldViolations"]
    assert violation["field"] == field


async def test_a_refused_message_is_recorded_and_not_in_the_inbox(
    sandbox: RunningSandbox, send: Sender
) -> None:
    answer = await send.push(push(topic="news"))

    assert answer.status == 400
    assert await sandbox.messages() == []
    (rejection,) = await sandbox.rejections()
    assert (rejection["channel"], rejection["notification_id"]) == ("push", "n1")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"message": 3}'])
async def test_a_body_without_a_message_is_an_invalid_argument(send: Sender, body: bytes) -> None:
    answer = await send.post("/v1/projects/p/messages:send", data=body)

    assert answer.status == 400
    assert error_code(answer.document) == "INVALID_ARGUMENT"
