"""The signatures and payloads that the vendors publish: what they sign is what we take.

The vectors are those of the SDKs' own tests (sendgrid-python's test_eventwebhook.py and
twilio-python's test_request_validator.py), the payloads those of the documentation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clarion.errors import SettingsError
from clarion.receipt import Fact
from clarion.vendors.twilio_receipts import FACTS
from clarion_gateway.problems import Problem
from clarion_gateway.providers import sendgrid
from clarion_gateway.providers.sendgrid import SendGridEvents
from clarion_gateway.providers.twilio import TwilioCallbacks
from clarion_testing.signing import dumped, encoded

PUBLIC_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw"
    "+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
TIMESTAMP = "1600112502"
HEADERS = {
    sendgrid.SIGNATURE: "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQ"
    "AbPIqHh89M15TluLtEZtM=",
    sendgrid.TIMESTAMP: TIMESTAMP,
}
# the line break at the end is signed with the rest
PAYLOAD = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":'
    b'"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":'
    b'"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":'
    b'"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)
ARMOURED = f"-----BEGIN PUBLIC KEY-----\n{PUBLIC_KEY}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("key", [PUBLIC_KEY, f" {PUBLIC_KEY}\n", ARMOURED])
def test_sendgrids_vector_is_genuine(key: str) -> None:
    SendGridEvents(key, now=lambda: float(TIMESTAMP)).verify(HEADERS, PAYLOAD)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (HEADERS, PAYLOAD.rstrip()),
        (HEADERS, b"payload"),
        (
            HEADERS
            | {
                sendgrid.SIGNATURE: "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8x"
                "onZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="
            },
            PAYLOAD,
        ),
        (HEADERS | {sendgrid.TIMESTAMP: "1600112503"}, PAYLOAD),
    ],
)
def test_sendgrids_vector_is_forged_when_anything_changes(
    headers: dict[str, str], body: bytes
) -> None:
    with pytest.raises(Problem) as refusal:
        SendGridEvents(PUBLIC_KEY, now=lambda: float(TIMESTAMP)).verify(headers, body)

    assert refusal.value.status == 403


@pytest.mark.parametrize("key", ["", "no key", "AAAA", PUBLIC_KEY[:-8]])
def test_a_key_that_is_none_is_named_at_the_start(key: str) -> None:
    with pytest.raises(SettingsError, match="SENDGRID_WEBHOOK_PUBLIC_KEY"):
        SendGridEvents(key)


# -- Twilio: https://mycompany.com/myapp.php?foo=1&bar=2 with the token 12345

FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
DOUBLED = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")]


@pytest.mark.parametrize(
    ("public_url", "form", "signature"),
    [
        ("https://mycompany.com", FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com/", FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:1234", FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com", FORM, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # with :443
        ("http://mycompany.com:1234", FORM, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        ("http://mycompany.com", FORM, "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # with :80
        ("https://mycompany.com", DOUBLED, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ],
)
def test_twilios_vectors_are_genuine(
    public_url: str, form: list[tuple[str, str]], signature: str
) -> None:
    TwilioCallbacks("12345", public_url).verify(
        "/myapp.php", "foo=1&bar=2", {"x-twilio-signature": signature}, encoded(form)
    )


@pytest.mark.parametrize(
    ("query", "form"),
    [("foo=1&bar=3", FORM), ("", FORM), ("foo=1&bar=2", FORM[:-1]), ("foo=1&bar=2", [])],
)
def test_twilios_vector_is_forged_when_anything_changes(
    query: str, form: list[tuple[str, str]]
) -> None:
    with pytest.raises(Problem) as refusal:
        TwilioCallbacks("12345", "https://mycompany.com").verify(
            "/myapp.php",
            query,
            {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
            encoded(form),
        )

    assert refusal.value.status == 403


# -- payloads, with our two arguments among the fields, where SendGrid puts them

COMMON = {
    "email": "example@test.com",
    "timestamp": 1513299569,
    "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
    "category": "cat facts",
    "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
    "nid": "notif_1",
    "att": "2",
}
EXAMPLES: list[tuple[dict[str, Any], Fact]] = [
    ({"event": "processed"}, Fact.PROCESSED),
    ({"event": "deferred", "response": "400 try again later", "attempt": "5"}, Fact.DEFERRED),
    ({"event": "delivered", "response": "250 OK"}, Fact.DELIVERED),
    ({"event": "open", "useragent": "Mozilla/4.0", "ip": "255.255.255.255"}, Fact.OPENED),
    ({"event": "click", "url": "http://www.sendgrid.com/"}, Fact.CLICKED),
    (
        {"event": "bounce", "reason": "500 unknown recipient", "status": "5.0.0", "type": "bounce"},
        Fact.BOUNCED,
    ),
    ({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"}, Fact.UNDELIVERED),
    ({"event": "spamreport"}, Fact.COMPLAINED),
    ({"event": "unsubscribe"}, Fact.UNSUBSCRIBED),
    ({"event": "group_unsubscribe", "asm_group_id": 10}, Fact.UNSUBSCRIBED),
    ({"event": "group_resubscribe", "asm_group_id": 10}, Fact.RESUBSCRIBED),
]


def test_sendgrids_example_payload_is_read_whole() -> None:
    entries = [
        COMMON | fields | {"sg_event_id": f"id{n}"} for n, (fields, _) in enumerate(EXAMPLES)
    ]

    received = sendgrid.read(dumped(entries))

    assert not received.ignored
    assert [receipt.fact for receipt in received.receipts] == [fact for _, fact in EXAMPLES]
    assert {receipt.attempt for receipt in received.receipts} == {2}
    assert {receipt.provider_message_id for receipt in received.receipts} == {"14c5d75ce93"}
    assert received.receipts[0].at == datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)
    assert received.receipts[5].text == "500 unknown recipient"


def test_an_event_about_the_account_is_counted_and_nothing_else() -> None:
    received = sendgrid.read(
        dumped([{"event": "account_status_change", "sg_event_id": "x", "timestamp": 1709142428}])
    )

    assert received.receipts == []
    assert received.ignored == {"unknown_type": 1}


def test_every_status_of_twilios_message_resource_is_known_or_cannot_come() -> None:
    documented = {
        *("queued", "sending", "sent", "failed", "delivered", "undelivered", "receiving"),
        *("received", "accepted", "scheduled", "read", "partially_delivered", "canceled"),
    }

    # of inbound messages, and of those in several parts
    assert documented - set(FACTS) == {"receiving", "received", "partially_delivered"}
