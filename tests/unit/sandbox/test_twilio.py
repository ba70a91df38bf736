"""Twilio's answers, over a real socket."""

import json
import re
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import pytest

from clarion_sandbox.vendor import VendorRequest
from clarion_sandbox.vendors.twilio import Twilio
from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import ACCOUNT, BASIC, CONTENT, Sender, whatsapp


async def test_a_message_is_created_with_the_whole_resource(send: Sender) -> None:
    answer = await send.whatsapp(whatsapp())

    assert answer.status == 201
    resource = answer.document
    assert re.fullmatch("SM[0-9a-f]{32}", resource["sid"])
    assert resource["status"] == "queued"
    assert resource["to"] == "whatsapp:+14155550123"
    assert resource["from"] == "whatsapp:+14155550199"
    assert resource["error_code"] is None
    assert resource["account_sid"] == ACCOUNT
    assert parsedate_to_datetime(resource["date_created"]).tzinfo is not None
    assert resource["uri"].endswith(f"/Messages/{resource['sid']}.json")


async def test_a_created_message_is_in_the_inbox(sandbox: RunningSandbox, send: Sender) -> None:
    answer = await send.whatsapp(whatsapp(nid="n7", att=3))

    (message,) = await sandbox.messages()
    assert message["channel"] == "whatsapp"
    assert message["to"] == "+14155550123"
    assert (message["notification_id"], message["attempt"]) == ("n7", 3)
    assert message["body"] == "Hello Ann"
    assert message["provider_message_id"] == answer.document["sid"]


async def test_a_template_is_kept_with_its_variables(sandbox: RunningSandbox, send: Sender) -> None:
    await send.whatsapp(whatsapp(Body=None, ContentSid=CONTENT, ContentVariables='{"1": "Ann"}'))

    (message,) = await sandbox.messages()
    assert message["content_sid"] == CONTENT
    assert message["content_variables"] == {"1": "Ann"}


async def test_media_are_counted(send: Sender) -> None:
    answer = await send.whatsapp(whatsapp(MediaUrl="https://example.com/a.png"))

    assert answer.document["num_media"] == "1"
    assert answer.document["sid"].startswith("MM")


@pytest.mark.parametrize(
    "value", ["", "Bearer x", "Basic !!", "Basic " + "QUM6YmFk", "Basic " + "QUM6"]
)
async def test_bad_credentials_are_refused_in_twilios_words(send: Sender, value: str) -> None:
    answer = await send.whatsapp(whatsapp(), headers={"Authorization": value})

    assert answer.status == 401
    assert answer.document["code"] == 20003
    assert answer.document["message"] == "Authenticate"


async def test_an_account_that_is_none_is_not_found(send: Sender) -> None:
    answer = await send.post(
        "/2010-04-01/Accounts/AC1/Messages.json", headers=BASIC, data=whatsapp()
    )

    assert (answer.status, answer.document["code"]) == (404, 20404)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (whatsapp(To=None), 21604),
        (whatsapp(To="+14155550123"), 21211),
        (whatsapp(to="12"), 21211),
        (whatsapp(From=None), 21603),
        (whatsapp(From="+14155550199"), 63007),
        (whatsapp(From="whatsapp:example"), 21212),
        (whatsapp(From=None, MessagingServiceSid="MG1"), 21701),
        (whatsapp(Body=None), 21602),
        (whatsapp(Body=""), 21602),
        (whatsapp(Body="x" * 1601), 21617),
        (whatsapp(MediaUrl="file:///etc/passwd"), 21620),
        (whatsapp(Body=None, ContentSid="HX1"), 21655),
        (whatsapp(ContentSid=CONTENT, ContentVariables="{"), 21656),
        (whatsapp(ContentSid=CONTENT, ContentVariables='["Ann"]'), 21656),
        (whatsapp(ContentSid=CONTENT, ContentVariables='{"1": 4711}'), 21656),
        (whatsapp(ContentSid=CONTENT, ContentVariables='{"1": ""}'), 63013),
        (whatsapp(ContentSid=CONTENT, ContentVariables='{"1": null}'), 63013),
        (whatsapp(StatusCallback="not a url"), 21609),
    ],
)
def test_a_broken_rule_is_answered_with_its_code(form: dict[str, str], code: int) -> None:
    document = Twilio().read(urlencode(form).encode())

    answer = Twilio().refusal(VendorRequest({"sid": ACCOUNT}, {}, document))

    assert answer is not None
    assert answer.status == 400
    error = json.loads(answer.body)
    assert (error["code"], error["status"]) == (code, 400)
    assert error["more_info"] == f"https://www.twilio.com/docs/errors/{code}"


async def test_a_refused_message_is_recorded_and_not_in_the_inbox(
    sandbox: RunningSandbox, send: Sender
) -> None:
    answer = await send.whatsapp(whatsapp(to="12"))

    assert (answer.status, answer.document["code"]) == (400, 21211)
    assert await sandbox.messages() == []
    (rejection,) = await sandbox.rejections()
    assert (rejection["to"], rejection["notification_id"]) == ("12", "n1")


async def test_a_body_of_1600_characters_is_accepted(send: Sender) -> None:
    answer = await send.whatsapp(whatsapp(Body="ä" * 1600))

    assert answer.status == 201


async def test_a_body_that_is_no_form_is_refused(send: Sender) -> None:
    answer = await send.whatsapp(b"\xff\xfe")

    assert (answer.status, answer.document["code"]) == (400, 20001)
