"""The vendors' published contracts, as the sandbox reads them."""

from pathlib import Path
from typing import Any

import pytest

from clarion_sandbox.contracts import Contracts, ContractsMissing
from clarion_testing.sandbox import RunningSandbox, contracts_dir, run_sandbox
from clarion_testing.sandbox_requests import CONTENT, Sender, mail, push, whatsapp

MAIL = mail()
NO_SENDER = {key: value for key, value in MAIL.items() if key != "from"}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return Contracts(folder())


def folder() -> Path:
    found = contracts_dir()
    if found is None:
        pytest.skip("the vendors' contracts are not here: set CONTRACTS_DIR to their folder")
    return found


@pytest.mark.parametrize(
    ("provider", "request_document"),
    [
        ("sendgrid", mail()),
        ("sendgrid", mail(custom_args={"nid": "n1"})),
        ("sendgrid", mail(headers={"List-Unsubscribe": "<https://example.com>"})),
        ("twilio", whatsapp()),
        ("twilio", whatsapp(Body=None, ContentSid=CONTENT, ContentVariables='{"1": "Ann"}')),
        ("twilio", whatsapp(ValidityPeriod="3600", SmartEncoded="true", MessageIntent="otp")),
        ("twilio", {**whatsapp(), "MediaUrl": ["https://example.com/a.png"]}),
        ("fcm", push()),
        ("fcm", push(token=None, fid="f")),
        ("fcm", push(android={"collapse_key": "k", "ttl": "3600s", "priority": "high"})),
        ("fcm", push(android={"collapseKey": "k", "ttl": "1.5s", "priority": "HIGH"})),
        ("fcm", push(apns={"payload": {"aps": {"badge": 1}}}, webpush={"headers": {"TTL": "60"}})),
        ("fcm", {**push(), "validate_only": True}),
    ],
)
def test_a_right_request_keeps_the_contract(
    contracts: Contracts, provider: str, request_document: object
) -> None:
    assert contracts.violations(provider, request_document) == []


@pytest.mark.parametrize(
    ("provider", "request_document", "violation"),
    [
        ("sendgrid", NO_SENDER, "from: is required"),
        ("sendgrid", {**MAIL, "prio": 1}, "prio: is not a field of this API"),
        (
            "sendgrid",
            mail(to="nobody"),
            "personalizations.0.to.0.email: 'nobody' is not a 'email'",
        ),
        ("sendgrid", mail(subject=3), "subject: 3 is not of type 'string'"),
        ("twilio", whatsapp(Body=None), "request: one of Body, MediaUrl and ContentSid"),
        ("twilio", whatsapp(From=None), "request: one of From and MessagingServiceSid"),
        (
            "twilio",
            whatsapp(ContentSid="HX1"),
            "ContentSid: 'HX1' does not match '^HX[0-9a-fA-F]{32}$'",
        ),
        ("twilio", whatsapp(ValidityPeriod="soon"), "ValidityPeriod: 'soon' does not match"),
        ("twilio", whatsapp(StatusCallback="x"), "StatusCallback: 'x' is not a 'uri'"),
        ("twilio", whatsapp(SendAt="tomorrow"), "SendAt: 'tomorrow' is not a 'date-time'"),
        ("fcm", push(data={"count": 3}), "message.data.count: 3 is not of type 'string'"),
        ("fcm", push(android={"ttl": 3600}), "message.android.ttl: 3600 is not of type 'string'"),
        (
            "fcm",
            push(android={"ttl": "3600"}),
            "message.android.ttl: '3600' is not a 'google-duration'",
        ),
        ("fcm", push(topic="news"), "message: exactly one of token, fid, topic and condition"),
        ("fcm", push(token=None), "message: exactly one of token, fid, topic and condition"),
        ("fcm", push(prio="high"), "message.prio: is not a field of this API"),
        (
            "fcm",
            push(android={"notification": {"notification_count": 2**31}}),
            "message.android.notification.notification_count: 2147483648 is not a 'int32'",
        ),
    ],
)
def test_a_violation_names_the_field(
    contracts: Contracts, provider: str, request_document: object, violation: str
) -> None:
    violations = contracts.violations(provider, request_document)

    assert any(found.startswith(violation) for found in violations), violations


@pytest.mark.parametrize(
    ("channel", "document", "field"),
    [
        ("email", mail(prio=1), "prio"),
        ("whatsapp", whatsapp(Prio="1"), "Prio"),
        ("push", push(android={"ttl": 3600}), "message.android.ttl"),
    ],
)
async def test_a_broken_contract_is_refused_in_the_vendors_shape_and_recorded(
    channel: str, document: Any, field: str
) -> None:
    async with run_sandbox(contracts=folder()) as sandbox:
        answer = await Sender(sandbox).over(channel, document)

        (rejection,) = await sandbox.rejections()
        assert answer.status == 400
        assert {"email": "errors", "whatsapp": "code", "push": "error"}[channel] in answer.document
        assert field in str(answer.document)
        assert any(one.startswith(f"{field}: ") for one in rejection["violations"])
        assert rejection["notification_id"] == "n1"
        assert (await sandbox.calls("n1"))["accepted"] == 0


async def test_without_contracts_the_built_in_checks_remain() -> None:
    async with run_sandbox() as sandbox:
        send = Sender(sandbox)

        unknown_field = await send.mail(mail(prio=1))
        bad_address = await send.mail(mail(to="nobody"))

        assert (unknown_field.status, bad_address.status) == (202, 400)
        assert (await overview(sandbox))["contracts"] == "not loaded"


async def test_the_page_is_told_that_contracts_are_loaded() -> None:
    async with run_sandbox(contracts=folder()) as sandbox:
        assert (await overview(sandbox))["contracts"] == "loaded"


def test_a_folder_without_the_contracts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractsMissing, match=rf"CONTRACTS_DIR: {tmp_path}/tsg_mail_v3.json"):
        Contracts(tmp_path)


async def overview(sandbox: RunningSandbox) -> dict[str, Any]:
    found: dict[str, Any] = await sandbox.get("/api/overview")
    return found
