"""The templates that come with Clarion, with any value in any variable."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.notification import Channel, Notification
from clarion.templates import TemplateRepository
from clarion_testing.garbage import no_garbage

Notify = Callable[..., Notification]

REPOSITORY = TemplateRepository(Path(__file__).parents[3] / "shared" / "templates")

PAYLOADS: dict[str, dict[str, Any]] = {
    "welcome": {"user_name": "John Doe"},
    "otp": {"code": "482913", "expires_minutes": 10},
    "order_shipped": {
        "user_name": "John Doe",
        "order_id": "SO-10442",
        "carrier": "DHL",
        "tracking_url": "https://example.com/t?a=1&b=2",
        "items": [{"name": "Kettle", "quantity": 2}, {"name": "Tea"}],
    },
}
ALL = [(name, channel) for name in PAYLOADS for channel in Channel]

text = st.text(st.characters(exclude_categories=["Cs"]))
one_line = text.map(lambda value: " ".join(value.splitlines()))


def values(of: st.SearchStrategy[str], template_id: str) -> st.SearchStrategy[dict[str, Any]]:
    plain = {name: of for name in PAYLOADS[template_id] if name != "items"}
    if template_id == "order_shipped":
        items = st.lists(st.fixed_dictionaries({"name": text, "quantity": text}), max_size=2)
        return st.fixed_dictionaries({**plain, "items": items})
    return st.fixed_dictionaries(plain, optional={"start_url": text})


def build(
    channel: Channel, template_id: str, payload: dict[str, Any], locale: str | None = None
) -> Notification:
    return Notification(
        notification_id="notif_1",
        message_id="m1",
        target_user_id="u1",
        channel=channel,
        template_id=template_id,
        recipient="someone",
        payload=payload,
        locale=locale,
    )


def bland(value: Any) -> Any:
    """Return the payload with an x for every text that is not empty."""
    if isinstance(value, dict):
        return {key: bland(item) for key, item in value.items()}
    if isinstance(value, list):
        return [bland(item) for item in value]
    return "x" if value else value


def has_link(payload: dict[str, Any]) -> bool:
    links = (payload.get(name, "") for name in ("start_url", "tracking_url"))
    return any(link.startswith(("http://", "https://")) for link in links)


class Tags(HTMLParser):
    """Keeps the tags, their attributes' names and the links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.links: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_three_templates_ship_in_all_channels() -> None:
    assert REPOSITORY.names() == sorted(PAYLOADS)
    for name in PAYLOADS:
        assert {
            channel: list(parts) for channel, parts in REPOSITORY.describe(name).channels.items()
        } == {
            Channel.EMAIL: ["subject", "html", "text"],
            Channel.WHATSAPP: ["text", "content.json"],
            Channel.PUSH: ["title", "body", "data.json"],
        }


def test_the_event_of_the_contract_needs_nothing_more() -> None:
    payload = {"user_name": "John Doe", "email": "john@example.com"}

    notification = build(Channel.EMAIL, "welcome", payload)

    assert REPOSITORY.check(notification) == []
    assert REPOSITORY.render(notification)["subject"] == "Welcome, John Doe"


@pytest.mark.parametrize("channel", list(Channel))
def test_welcome_speaks_brazilian_portuguese_in_all_channels(channel: Channel) -> None:
    english = REPOSITORY.render(build(channel, "welcome", PAYLOADS["welcome"]))
    portuguese = REPOSITORY.render(build(channel, "welcome", PAYLOADS["welcome"], "pt-BR"))

    assert {part for part in english if english[part] == portuguese[part]} <= {"data.json"}


@pytest.mark.parametrize("template_id", PAYLOADS)
def test_an_email_is_well_formed_and_fits_the_clients(template_id: str) -> None:
    html = REPOSITORY.render(build(Channel.EMAIL, template_id, PAYLOADS[template_id]))["html"]

    assert html.startswith("<!DOCTYPE html>\n")
    assert Tags(html).open == []
    assert 'lang="en"' in html
    assert len(html.encode()) < 100_000  # Gmail clips a message at 102 kB


@pytest.mark.parametrize(("template_id", "channel"), ALL)
def test_a_rendering_leaves_nothing_to_the_garbage_collector(
    template_id: str, channel: Channel
) -> None:
    notification = build(channel, template_id, PAYLOADS[template_id])
    REPOSITORY.render(notification)  # fills what is kept from then on
    with no_garbage():
        REPOSITORY.render(notification)


def test_the_items_of_an_order_are_listed() -> None:
    parts = REPOSITORY.render(build(Channel.EMAIL, "order_shipped", PAYLOADS["order_shipped"]))

    assert "- 2 x Kettle\n- 1 x Tea\n" in parts["text"]
    assert "Kettle" in parts["html"]
    assert 'href="https://example.com/t?a=1&amp;b=2"' in parts["html"]


def test_an_address_that_is_not_of_the_web_is_no_link() -> None:
    payload = PAYLOADS["order_shipped"] | {"tracking_url": "javascript:alert(1)"}

    html = REPOSITORY.render(build(Channel.EMAIL, "order_shipped", payload))["html"]

    assert Tags(html).links == []


@pytest.mark.parametrize(("template_id", "channel"), ALL)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_value_renders_and_stays_where_it_belongs(
    template_id: str, channel: Channel, data: st.DataObject
) -> None:
    strategy = values(one_line if channel is Channel.EMAIL else text, template_id)
    payload = data.draw(strategy)
    locale = data.draw(st.sampled_from([None, "pt-BR"]))
    notification = build(channel, template_id, payload, locale)
    plain = REPOSITORY.render(build(channel, template_id, bland(payload), locale))

    assert REPOSITORY.check(notification) == []
    parts = REPOSITORY.render(notification)

    assert parts.keys() == plain.keys()
    if "html" in parts and not has_link(payload):
        assert parts["html"].count("<") == plain["html"].count("<")
        assert Tags(parts["html"]).tags == Tags(plain["html"]).tags
    if "subject" in parts:
        assert len(parts["subject"].splitlines()) == 1
    for part in ("data.json", "content.json"):
        if part in parts:
            assert json.loads(parts[part]).keys() == json.loads(plain[part]).keys()


@settings(max_examples=60, deadline=None)
@given(payload=values(text, "order_shipped"))
def test_json_parts_carry_any_value_unchanged(payload: dict[str, Any]) -> None:
    push = REPOSITORY.render(build(Channel.PUSH, "order_shipped", payload))
    whatsapp = REPOSITORY.render(build(Channel.WHATSAPP, "order_shipped", payload))

    assert json.loads(push["data.json"]) == {
        "type": "order_shipped",
        "order_id": payload["order_id"],
        "tracking_url": payload["tracking_url"],
    }
    assert json.loads(whatsapp["content.json"])["content_variables"] == {
        "1": payload["user_name"],
        "2": payload["order_id"],
        "3": payload["carrier"],
        "4": payload["tracking_url"],
    }
