"""What every store must do with addresses that are not written to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clarion.notification import Channel, Reason, Status
from clarion.receipt import Fact
from clarion.store.base import Store, Verdict
from clarion.suppression import Kind, Suppression
from clarion_testing.store_contract import (
    LEASE,
    Address,
    accepted,
    brought_to,
    outcome,
    status_of,
)
from clarion_testing.store_receipts import receipt

ADA = "ada@example.test"


def suppression(**changes: Any) -> Suppression:
    """Return an operator's suppression of the one that the contract writes to."""
    fields: dict[str, Any] = {
        "channel": Channel.EMAIL,
        "address": ADA,
        "kind": Kind.WISH,
        "reason": Reason.SUPPRESSED,
        "source": "operator",
        "created_at": datetime.now(UTC),
    }
    return Suppression(**(fields | changes))


async def kept(store: Store) -> list[tuple[str, Kind, Reason, str]]:
    """Return what is kept, without its moment."""
    page, _ = await store.suppressions(limit=100)
    return [(one.address, one.kind, one.reason, one.source) for one in page]


class SuppressionContract:
    """Holds for every store; the fixtures are those of `StoreContract`."""

    async def test_one_to_a_suppressed_address_ends_unsent_and_says_why(self, store: Store) -> None:
        await store.suppress(suppression(reason=Reason.UNSUBSCRIBED))
        notification_id = await accepted(store)

        claim = await store.claim(notification_id, worker="w1", lease=LEASE)
        again = await store.claim(notification_id, worker="w1", lease=LEASE)

        history = await store.get(notification_id)
        assert history is not None
        assert (claim.verdict, claim.status) == (Verdict.ENDED, Status.SUPPRESSED)
        assert claim.reason is Reason.UNSUBSCRIBED
        assert again.verdict is Verdict.FINISHED
        assert (history.record.status, history.record.attempt) == (Status.SUPPRESSED, 0)
        assert history.record.reason is Reason.UNSUBSCRIBED
        assert history.record.dead_at is None
        last = history.timeline[-1]
        assert (last.status, last.detail) == (Status.SUPPRESSED, {"reason": "unsubscribed"})

    @pytest.mark.parametrize(
        ("kind", "transactional", "verdict"),
        [
            (Kind.WISH, False, Verdict.ENDED),
            (Kind.WISH, True, Verdict.CLAIMED),
            (Kind.FAULT, False, Verdict.ENDED),
            (Kind.FAULT, True, Verdict.ENDED),
        ],
    )
    async def test_transactional_passes_a_wish_and_never_a_fault(
        self, store: Store, kind: Kind, transactional: bool, verdict: Verdict
    ) -> None:
        await store.suppress(suppression(kind=kind))
        notification_id = await accepted(store)

        claim = await store.claim(
            notification_id, worker="w1", lease=LEASE, transactional=transactional
        )

        assert claim.verdict is verdict

    async def test_a_fault_is_told_before_a_wish(self, store: Store) -> None:
        await store.suppress(suppression(kind=Kind.WISH, reason=Reason.SPAM))
        await store.suppress(suppression(kind=Kind.FAULT, reason=Reason.UNREACHABLE))

        claim = await store.claim(await accepted(store), worker="w1", lease=LEASE)

        assert claim.reason is Reason.UNREACHABLE

    async def test_another_address_or_channel_is_written_to(self, store: Store) -> None:
        await store.suppress(suppression(address="bob@example.test"))
        await store.suppress(suppression(channel=Channel.PUSH))

        claim = await store.claim(await accepted(store), worker="w1", lease=LEASE)

        assert claim.verdict is Verdict.CLAIMED

    async def test_the_case_counts_for_tokens_and_not_for_emails(self, store: Store) -> None:
        await store.suppress(suppression(address="ADA@Example.Test"))
        await store.suppress(suppression(channel=Channel.PUSH, address="TokeN"))

        email = await store.claim(
            await accepted(store, "m1", recipient="Ada@EXAMPLE.test"), worker="w1", lease=LEASE
        )
        token = await store.claim(
            await accepted(store, "m2", channel=Channel.PUSH, recipient="token"),
            worker="w1",
            lease=LEASE,
        )
        same = await store.claim(
            await accepted(store, "m3", channel=Channel.PUSH, recipient="TokeN"),
            worker="w1",
            lease=LEASE,
        )

        assert email.verdict is Verdict.ENDED
        assert token.verdict is Verdict.CLAIMED
        assert same.verdict is Verdict.ENDED

    async def test_what_may_have_been_sent_fails_and_is_for_people_to_see(
        self, store: Store
    ) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=0.0)
        await store.suppress(suppression(reason=Reason.SPAM))

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        history = await store.get(notification_id)
        assert history is not None
        assert (claim.verdict, claim.status) == (Verdict.ENDED, Status.FAILED)
        assert history.record.dead_at is not None
        assert [attempt.status for attempt in history.attempts] == [Status.IN_DOUBT]

    async def test_one_that_waits_for_its_retry_is_left_until_then(self, store: Store) -> None:
        notification_id = await accepted(store)
        await store.claim(notification_id, worker="w1", lease=LEASE)
        await store.record(outcome(notification_id, 1, Status.RETRYING, retry_in=LEASE))
        await store.suppress(suppression())

        claim = await store.claim(notification_id, worker="w2", lease=LEASE)

        assert claim.verdict is Verdict.LEASED
        assert await status_of(store, notification_id) is Status.RETRYING

    # -- where they come from

    async def test_a_hard_bounce_is_a_fault_and_a_complaint_a_wish(self, store: Store) -> None:
        notification_id = await brought_to(store, Status.SENT)

        await store.note_receipts(
            [
                receipt(notification_id, Fact.BOUNCED, suppresses=Kind.FAULT),
                receipt(notification_id, Fact.COMPLAINED, suppresses=Kind.WISH, reason=Reason.SPAM),
            ]
        )

        assert await kept(store) == [
            (ADA, Kind.FAULT, Reason.INVALID_RECIPIENT, "fake bounced"),
            (ADA, Kind.WISH, Reason.SPAM, "fake complained"),
        ]

    async def test_many_receipts_about_one_address_suppress_it_once(self, store: Store) -> None:
        ids = [await brought_to(store, Status.SENT, f"m{number}") for number in range(5)]

        await store.note_receipts(
            [
                receipt(each, Fact.UNSUBSCRIBED, suppresses=Kind.WISH, reason=Reason.UNSUBSCRIBED)
                for each in ids
            ]
        )

        assert len(await kept(store)) == 1

    async def test_who_subscribes_again_is_written_to_but_not_at_a_faulty_address(
        self, store: Store
    ) -> None:
        notification_id = await brought_to(store, Status.SENT)
        await store.suppress(suppression(kind=Kind.WISH))
        await store.suppress(suppression(kind=Kind.FAULT))

        await store.note_receipts([receipt(notification_id, Fact.RESUBSCRIBED)])

        assert [kind for _, kind, _, _ in await kept(store)] == [Kind.FAULT]

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            (Reason.UNSUBSCRIBED, Kind.WISH),
            (Reason.BLOCKED, Kind.WISH),
            (Reason.UNREACHABLE, Kind.FAULT),
            (Reason.TOKEN_UNREGISTERED, Kind.FAULT),
            (Reason.INVALID_RECIPIENT, None),
            (Reason.PROVIDER_REJECTED, None),
        ],
    )
    async def test_an_answer_that_is_for_good_suppresses(
        self, store: Store, reason: Reason, kind: Kind | None
    ) -> None:
        notification_id = await brought_to(store, Status.SENDING)

        await store.record(outcome(notification_id, 1, Status.FAILED, reason=reason))

        expected = [] if kind is None else [(ADA, kind, reason, "fake 503")]
        assert await kept(store) == expected

    # -- by hand

    async def test_the_same_again_changes_nothing(self, store: Store) -> None:
        first = await store.suppress(suppression(source="first"))
        again = await store.suppress(suppression(source="again"))

        assert (first, again) == (True, False)
        assert [source for *_, source in await kept(store)] == ["first"]

    @pytest.mark.parametrize(
        ("kind", "ended", "left"),
        [(None, 2, []), (Kind.WISH, 1, [Kind.FAULT]), (Kind.FAULT, 1, [Kind.WISH])],
    )
    async def test_ending_one_or_both(
        self, store: Store, kind: Kind | None, ended: int, left: list[Kind]
    ) -> None:
        for each in Kind:
            await store.suppress(suppression(kind=each))

        assert await store.unsuppress(Channel.EMAIL, ADA.upper(), kind) == ended
        assert [one for _, one, _, _ in await kept(store)] == left
        assert await store.unsuppress(Channel.EMAIL, "nobody@example.test") == 0

    async def test_pages_hold_every_one_once(self, store: Store, address: Address) -> None:
        for number in range(7):
            await store.suppress(suppression(address=f"user{number}@example.test"))
            await store.suppress(suppression(channel=Channel.PUSH, address=f"token{number}"))

        seen: list[str] = []
        cursor = None
        while True:
            page, cursor = await store.suppressions(channel=Channel.EMAIL, limit=3, cursor=cursor)
            seen += [one.address for one in page]
            if cursor is None:
                break

        assert seen == [f"user{number}@example.test" for number in range(7)]
        found, _ = await store.suppressions(address="USER3@example.test", limit=10)
        assert [one.address for one in found] == ["user3@example.test"]

    @pytest.mark.parametrize("cursor", ["x", "", "W10=", "WzEsMiwzXQ=="])
    async def test_a_cursor_of_no_page_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="not a cursor"):
            await store.suppressions(limit=10, cursor=cursor)
