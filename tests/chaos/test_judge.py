"""The judge can fail: it is shown forged evidence, and must find each breach."""

from __future__ import annotations

import pytest

from clarion.notification import Channel, Notification, Status, new_notification_id
from clarion.store import open_store
from clarion.store.base import Intake, Outcome
from clarion_testing.chaos.evidence import stories
from clarion_testing.chaos.judge import Call, Story, judge
from clarion_testing.postgres import Postgres
from clarion_testing.sandbox import RunningSandbox
from clarion_testing.sandbox_requests import Sender, mail

TAKEN, REFUSED = True, False


def story(
    status: str | None,
    attempts: dict[int, str],
    *calls: tuple[int, bool],
    on_doubt: str = "resend",
) -> Story:
    return Story("n1", on_doubt, status, attempts, tuple(Call(*call) for call in calls))


KEPT = {
    "sent at once": story("sent", {1: "sent"}, (1, TAKEN)),
    "refused, then sent": story("sent", {1: "retrying", 2: "sent"}, (1, REFUSED), (2, TAKEN)),
    "sent again after a doubt": story(
        "sent", {1: "in_doubt", 2: "retrying", 3: "sent"}, (1, TAKEN), (2, REFUSED), (3, TAKEN)
    ),
    "a crash before the call": story("sent", {1: "in_doubt", 2: "sent"}, (2, TAKEN)),
    "held after a call": story("in_doubt", {1: "in_doubt"}, (1, TAKEN), on_doubt="hold"),
    "held after no call": story("in_doubt", {1: "in_doubt"}, on_doubt="hold"),
    "held, and settled by a receipt": story(
        "delivered", {1: "in_doubt"}, (1, TAKEN), on_doubt="hold"
    ),
}

LOST = {
    "no row": story(None, {}),
    "never sent": story("queued", {}),
    "left in an attempt": story("sending", {1: "in_doubt"}, (1, TAKEN)),
    "left in doubt, though it is to be sent again": story("in_doubt", {1: "in_doubt"}, (1, TAKEN)),
    "given up": story("failed", {1: "failed"}, (1, REFUSED)),
    "said to be sent, never called": story("sent", {1: "sent"}),
    "said to be sent, and refused": story("sent", {1: "sent"}, (1, REFUSED)),
    "said to be sent by another attempt": story(
        "sent", {1: "in_doubt", 2: "sent"}, (1, TAKEN), (2, REFUSED)
    ),
}

DOUBLED = {
    "sent again after it was sent": story("sent", {1: "sent", 2: "sent"}, (1, TAKEN), (2, TAKEN)),
    "taken by an attempt said to be refused": story(
        "sent", {1: "retrying", 2: "sent"}, (1, TAKEN), (2, TAKEN)
    ),
    "two calls of one attempt": story("sent", {1: "sent"}, (1, TAKEN), (1, TAKEN)),
    "a doubt that came after the second call": story(
        "sent", {1: "retrying", 2: "in_doubt", 3: "sent"}, (1, TAKEN), (3, TAKEN)
    ),
    "a call that no timeline shows": story("sent", {2: "sent"}, (1, REFUSED), (2, TAKEN)),
    "held, and called again": story(
        "sent", {1: "in_doubt", 2: "sent"}, (1, REFUSED), (2, TAKEN), on_doubt="hold"
    ),
    "held, and taken twice": story(
        "sent", {1: "in_doubt", 2: "sent"}, (1, TAKEN), (2, TAKEN), on_doubt="hold"
    ),
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_a_kept_promise_is_no_breach(kept: Story) -> None:
    assert judge([kept]).breaches == ()


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_notification_is_found(lost: Story) -> None:
    verdict = judge([KEPT["sent at once"], lost])

    assert verdict.lost == ("n1",)
    assert verdict.breaches


@pytest.mark.parametrize("doubled", DOUBLED.values(), ids=DOUBLED)
def test_a_silent_second_sending_is_found(doubled: Story) -> None:
    verdict = judge([KEPT["sent at once"], doubled])

    assert verdict.doubled == ("n1",)
    assert verdict.breaches


def test_a_second_sending_after_a_doubt_is_counted_as_announced() -> None:
    verdict = judge(KEPT.values())

    assert len(verdict.announced) == 1
    assert len(verdict.held) == 2


async def test_a_call_forged_into_the_providers_log_is_found(
    postgres: Postgres, sandbox: RunningSandbox
) -> None:
    identifier = await _sent(postgres)
    assert (await Sender(sandbox).mail(mail(nid=identifier, att=1))).status == 202
    before = judge(await stories(postgres.url, sandbox.url, {identifier: "resend"}))

    assert (await Sender(sandbox).mail(mail(nid=identifier, att=2))).status == 202
    after = judge(await stories(postgres.url, sandbox.url, {identifier: "resend"}))

    assert before.breaches == ()
    assert after.doubled == (identifier,)


async def test_a_notification_that_only_its_client_knows_is_lost(
    postgres: Postgres, sandbox: RunningSandbox
) -> None:
    verdict = judge(await stories(postgres.url, sandbox.url, {"notif_forged": "resend"}))

    assert verdict.lost == ("notif_forged",)


async def _sent(postgres: Postgres) -> str:
    """Leave a notification on record as sent by its first attempt."""
    notification = Notification(
        notification_id=new_notification_id(),
        message_id="m1",
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient="ann@example.com",
        payload={},
    )
    identifier = notification.notification_id
    store = open_store(postgres.url)
    await store.accept(Intake("test", "m1", "h1", (notification,), Status.QUEUED))
    await store.claim(identifier, worker="w1", lease=60)
    assert await store.record(Outcome(identifier, 1, Status.SENT, "sendgrid", 1.0))
    await store.close()
    return identifier
