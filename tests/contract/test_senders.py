"""What our senders really put on the wire, held against the vendors' own contracts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clarion.errors import BadMessage, BadRecipient
from clarion.notification import Channel, Notification, Priority, new_notification_id
from clarion.provider import Attempt, HttpTransport
from clarion_email.content import compose as compose_email
from clarion_email.providers.sendgrid import SendGrid
from clarion_push.content import compose as compose_push
from clarion_push.providers.fcm import Fcm
from clarion_push.providers.fcm_token import AccessToken
from clarion_testing import contracts
from clarion_testing.vendor import Vendor, vendor
from clarion_whatsapp.content import Form
from clarion_whatsapp.content import compose as compose_whatsapp
from clarion_whatsapp.providers.twilio import Twilio

# the server and the session are made once and serve every example; each reads its own request
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEMPLATES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
WORDS = st.text(max_size=300)
DEADLINES = st.none() | st.integers(1_500_000_000, 4_000_000_000).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
LINE = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=200
).filter(str.strip)


@pytest.fixture
async def api() -> AsyncIterator[Vendor]:
    async with vendor(lambda: web.json_response({})) as served:
        yield served


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport()
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def mail_schema() -> Draft202012Validator:
    return contracts.sendgrid_mail()


@pytest.fixture(scope="module")
def message_schema() -> Draft202012Validator:
    return contracts.twilio_message()


@pytest.fixture(scope="module")
def push_schema() -> Draft202012Validator:
    return contracts.fcm_send()


class FixedToken(AccessToken):
    """A token that nobody has to fetch: it is no part of the contract."""

    def __init__(self) -> None:
        pass

    async def get(self) -> str:
        return "token"


def notification(
    channel: Channel,
    recipient: str,
    template: str,
    priority: Priority,
    payload: dict[str, Any],
    expires_at: datetime | None = None,
) -> Notification:
    return Notification(
        notification_id=new_notification_id(),
        message_id="m1",
        target_user_id="u1",
        channel=channel,
        template_id=template,
        recipient=recipient,
        payload=payload,
        priority=priority,
        expires_at=expires_at,
    )


def parts(*optional: str) -> st.SearchStrategy[dict[str, str]]:
    """Return rendered parts of which at least one is there."""
    texts = WORDS.filter(str.strip)
    return st.fixed_dictionaries({}, optional=dict.fromkeys(optional, texts)).filter(bool)


def assert_valid(schema: Draft202012Validator, request: object) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in schema.iter_errors(request)]

    assert problems == []


@EXAMPLES
@given(
    recipient=st.emails(),
    reply_to=st.none() | st.emails(),
    template=TEMPLATES,
    priority=st.sampled_from(Priority),
    subject=LINE,
    bodies=parts("text", "html"),
    number=st.integers(1, 1000),
)
async def test_every_email_satisfies_sendgrids_contract(
    mail_schema: Draft202012Validator,
    api: Vendor,
    transport: HttpTransport,
    recipient: str,
    reply_to: str | None,
    template: str,
    priority: Priority,
    subject: str,
    bodies: dict[str, str],
    number: int,
) -> None:
    sendgrid = SendGrid(
        transport, "SG.key", sender="a@clarion.test", sender_name="Clarion", base_url=api.url
    )
    payload = {} if reply_to is None else {"reply_to": reply_to}
    asked = notification(Channel.EMAIL, recipient, template, priority, payload)
    try:
        message = compose_email(asked, {"subject": subject, **bodies})
    except (BadMessage, BadRecipient):
        assume(False)

    await sendgrid.send(message, Attempt(asked.notification_id, number))

    request = json.loads(api.requests[-1].body)
    assert_valid(mail_schema, request)
    assert len(request["categories"]) == len(set(request["categories"])) <= 10
    assert all(
        isinstance(arg, str) for arg in request["personalizations"][0]["custom_args"].values()
    )


@EXAMPLES
@given(
    recipient=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
    template=TEMPLATES,
    prefer=st.sampled_from(Form),
    text=st.none() | st.text(min_size=1, max_size=1600).filter(str.strip),
    sid=st.from_regex(r"HX[0-9a-fA-F]{32}", fullmatch=True),
    variables=st.dictionaries(
        st.integers(1, 100).map(str), st.text(min_size=1, max_size=50).filter(str.strip)
    ),
    service=st.none() | st.from_regex(r"MG[0-9a-fA-F]{32}", fullmatch=True),
    expires_at=DEADLINES,
)
async def test_every_whatsapp_message_satisfies_twilios_contract(
    message_schema: Draft202012Validator,
    api: Vendor,
    transport: HttpTransport,
    recipient: str,
    template: str,
    prefer: Form,
    text: str | None,
    sid: str,
    variables: dict[str, str],
    service: str | None,
    expires_at: datetime | None,
) -> None:
    twilio = Twilio(
        transport,
        "AC" + "0" * 32,
        "token",
        sender="whatsapp:+14155238886",
        messaging_service_sid=service,
        prefer=prefer,
        public_url="https://clarion.test",
        base_url=api.url,
    )
    content = json.dumps({"content_sid": sid, "content_variables": variables})
    asked = notification(Channel.WHATSAPP, recipient, template, Priority.NORMAL, {}, expires_at)
    rendered = {"content.json": content} | ({} if text is None else {"text": text})

    await twilio.send(compose_whatsapp(asked, rendered), Attempt(asked.notification_id, 1))

    fields = parse_qs(api.requests[-1].body.decode(), keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values())
    form = {name: values[0] for name, values in fields.items()}
    # a form knows texts only
    numbers = {name: int(form[name]) for name in ("ValidityPeriod",) if name in form}
    assert_valid(message_schema, form | numbers)
    # what the contract leaves unsaid: one content, one sender, variables only with their template
    assert len(form.keys() & {"Body", "ContentSid"}) == 1
    assert len(form.keys() & {"From", "MessagingServiceSid"}) == 1
    assert "ContentSid" in form or "ContentVariables" not in form
    assert json.loads(form.get("ContentVariables", "{}")) in ({}, variables)
    assert all(1 <= number <= 36_000 for number in numbers.values())
    assert bool(numbers) is (expires_at is not None)


@EXAMPLES
@given(
    target=st.one_of(
        st.fixed_dictionaries({"device_token": LINE}),
        st.fixed_dictionaries({"topic": LINE}),
        st.fixed_dictionaries({"condition": LINE}),
    ),
    template=TEMPLATES,
    priority=st.sampled_from(Priority),
    texts=parts("title", "body"),
    data=st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5),
    visible=st.booleans(),
    expires_at=DEADLINES,
)
async def test_every_push_satisfies_fcms_contract(
    push_schema: Draft202012Validator,
    api: Vendor,
    transport: HttpTransport,
    target: dict[str, str],
    template: str,
    priority: Priority,
    texts: dict[str, str],
    data: dict[str, str],
    visible: bool,
    expires_at: datetime | None,
) -> None:
    fcm = Fcm(transport, FixedToken(), "clarion", base_url=api.url)
    asked = notification(Channel.PUSH, "x", template, priority, target, expires_at)
    rendered = (texts if visible else {}) | {"data.json": json.dumps(data)}
    try:
        message = compose_push(asked, rendered)
    except (BadMessage, BadRecipient):
        assume(False)

    await fcm.send(message, Attempt(asked.notification_id, 1))

    request = contracts.camel(json.loads(api.requests[-1].body))
    assert_valid(push_schema, request)
    assert len(request["message"].keys() & {"token", "topic", "condition", "fid"}) == 1
    assert request["message"]["data"] == data | {"nid": asked.notification_id, "att": "1"}


@pytest.mark.parametrize(
    ("schema", "request_"),
    [
        ("sendgrid_mail", {"personalizations": [{"to": [{"email": "a@b.test"}]}], "prio": 1}),
        ("sendgrid_mail", {"personalizations": [{"to": [{"mail": "a@b.test"}]}]}),
        ("twilio_message", {"To": "whatsapp:+14155550123", "ContentSid": "HX1"}),
        ("twilio_message", {"Body": "no recipient"}),
        ("fcm_send", {"message": {"token": "d", "data": {"n": 1}}}),
        ("fcm_send", {"message": {"token": "d", "prio": "high"}}),
        ("fcm_send", {"message": {"android": {"priority": "high"}}}),
    ],
)
def test_the_contracts_refuse_what_is_wrong(schema: str, request_: object) -> None:
    validator: Draft202012Validator = getattr(contracts, schema)()

    assert not validator.is_valid(request_)
