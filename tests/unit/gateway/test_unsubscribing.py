"""Unsubscribing with one click, by a link that only we can have made."""

from __future__ import annotations

from typing import Any

import pytest

from clarion.notification import Channel
from clarion.unsubscribe import UnsubscribeLinks

ADDRESS = "ann+news@example.com"
LINKS = UnsubscribeLinks("the secret of this test", "https://clarion.example.com/")
TOKEN = LINKS.url(Channel.EMAIL, ADDRESS).rpartition("/")[2]


@pytest.fixture
async def gateway(start_gateway: Any) -> Any:
    return await start_gateway(unsubscribe_links=UnsubscribeLinks("the secret of this test"))


async def kept(gateway: Any) -> list[Any]:
    page, _ = await gateway.store.suppressions(limit=10)
    return [(one.channel, one.address, one.kind, one.reason, one.source) for one in page]


def test_a_link_leads_to_the_gateway_and_back_to_its_recipient() -> None:
    url = LINKS.url(Channel.EMAIL, ADDRESS)

    assert url.startswith("https://clarion.example.com/unsubscribe/")
    assert LINKS.read(TOKEN) == (Channel.EMAIL, ADDRESS)


@pytest.mark.parametrize(
    "token", ["", "x", TOKEN[:-1], TOKEN[1:], TOKEN.swapcase(), f"{TOKEN}AAAA", "A" * 60, "\xe9"]
)
def test_another_token_is_nobodys(token: str) -> None:
    assert LINKS.read(token) is None


def test_another_secret_makes_other_links() -> None:
    assert UnsubscribeLinks("another secret of it").read(TOKEN) is None


async def test_a_post_unsubscribes_at_once_and_again_without_harm(gateway: Any) -> None:
    form = {"List-Unsubscribe": "One-Click"}

    answers = [await gateway.request("POST", f"/unsubscribe/{TOKEN}", data=form) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert await kept(gateway) == [("email", ADDRESS, "wish", "unsubscribed", "one-click")]


async def test_a_get_only_asks(gateway: Any) -> None:
    answer = await gateway.get(f"/unsubscribe/{TOKEN}")

    assert answer.status == 200
    assert b'<form method="post">' in answer.body
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert await kept(gateway) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_forged_link_is_404(gateway: Any, method: str) -> None:
    answer = await gateway.request(method, f"/unsubscribe/{TOKEN[:-2]}AA")

    assert answer.status == 404
    assert await kept(gateway) == []


async def test_without_a_secret_no_link_is_ours(start_gateway: Any) -> None:
    bare = await start_gateway()

    assert (await bare.get(f"/unsubscribe/{TOKEN}")).status == 404
