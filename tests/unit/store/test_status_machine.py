"""Any order of writes, from any number of processes, moves a notification only as allowed.

A small model says what each write must answer; the real store must agree, step by step.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from clarion.notification import (
    FINAL,
    TRANSITIONS,
    Channel,
    Notification,
    OnDoubt,
    Reason,
    Status,
    new_notification_id,
)
from clarion.receipt import Fact, Receipt
from clarion.store import migrate
from clarion.store.base import Claim, Intake, Outcome, ReceiptResult, Verdict
from clarion.store.database import Database
from clarion.store.intake import BEGINNINGS
from clarion.store.letters import DeadLetterStore, Replay
from clarion.store.sql import SqlStore
from clarion_testing.marking import mark_queued

Result = TypeVar("Result")

TOLD = {
    Fact.PROCESSED: Status.SENT,
    Fact.DELIVERED: Status.DELIVERED,
    Fact.BOUNCED: Status.BOUNCED,
    Fact.UNDELIVERED: Status.UNDELIVERED,
}
CLAIMABLE = {Status.ACCEPTED, Status.QUEUED, Status.RETRYING, Status.IN_DOUBT, Status.SENDING}
LONG = 1000.0  # seconds: no lease of a test ends by itself
PAST = "2000-01-01 00:00:00.000"
Ending = tuple[Status, Reason | None, float | None]
ENDINGS: list[Ending] = [
    (Status.SENT, None, None),
    (Status.RETRYING, Reason.PROVIDER_DOWN, LONG),
    (Status.IN_DOUBT, Reason.TIMEOUT, LONG),
    (Status.IN_DOUBT, Reason.TIMEOUT, None),
    (Status.FAILED, Reason.RETRIES_EXHAUSTED, None),
]


@dataclass
class Model:
    """What the store must know of one notification."""

    intake: Intake
    status: Status
    on_doubt: OnDoubt
    attempt: int = 0
    failures: int = 0
    waits: bool = False  # for a lease, or for its next attempt
    claimed_by: str | None = None
    replay_no: int = 0
    dead: bool = False  # waits for people
    told: bool = False  # by a receipt, which was faster than the worker's record
    expired: bool = False
    attempts: dict[int, tuple[Status, Reason | None]] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether it is left to a receipt or an operator."""
        return self.status is Status.IN_DOUBT and self.on_doubt is OnDoubt.HOLD

    def doubt(self) -> None:
        """A lease ran out: the attempt may have reached the provider."""
        self.attempts[self.attempt] = (Status.IN_DOUBT, Reason.CRASHED)
        self.failures += 1

    def claim(self, grace: float, replay_no: int) -> Verdict:
        """Change as the first of the workers that ask does, and say what it is told."""
        if replay_no < self.replay_no:
            return Verdict.FINISHED
        if self.status not in CLAIMABLE or self.held or self.waits:
            return self.refusal()
        doubtful = self.status in (Status.SENDING, Status.IN_DOUBT)
        if crashed := self.status is Status.SENDING:
            self.doubt()
        if crashed and self.on_doubt is OnDoubt.HOLD:
            self.status, self.dead = Status.IN_DOUBT, True
            return Verdict.ENDED
        if self.expired:
            self.status, self.dead = (Status.FAILED if doubtful else Status.EXPIRED), doubtful
            return Verdict.ENDED
        self.waits, self.dead = True, False
        if crashed and grace:
            self.status = Status.IN_DOUBT
            return Verdict.LEASED
        self.attempt += 1
        self.status = Status.SENDING
        return Verdict.CLAIMED

    def refusal(self) -> Verdict:
        """Say what a worker is told that may not have it."""
        finished = self.status in FINAL or self.held or self.status is Status.SCHEDULED
        return Verdict.FINISHED if finished else Verdict.LEASED


class StatusMachine(RuleBasedStateMachine):
    """The store under any sequence of what gateways, publishers, workers and time may do."""

    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="clarion-machine-"))
        path = self.folder / "clarion.db"
        shutil.copy(_migrated(), path)
        self.runner = asyncio.Runner()
        self.store = self.run(_opened(f"sqlite:///{path}"))
        # beside the store, and in no transaction of its own
        self.looker = sqlite3.connect(path, isolation_level=None)
        self.models: dict[str, Model] = {}
        self.claims = itertools.count(1)
        self.seen: dict[str, Status] = {}

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.looker.close()
        self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    # -- the gateway -----------------------------------------------------------------------------

    # few, so that most of a run happens to the same ones
    @precondition(lambda self: len(self.models) < 2)
    @rule(target=ids, status=st.sampled_from(BEGINNINGS), on_doubt=st.sampled_from(OnDoubt))
    def accept(self, status: Status, on_doubt: OnDoubt) -> str:
        intake = _intake(status, on_doubt)
        answer = self.run(self.store.accept(intake))
        identifier = intake.notifications[0].notification_id
        self.models[identifier] = Model(intake, status, on_doubt)
        assert [each.notification_id for each in answer] == [identifier]
        assert not answer[0].duplicate
        return identifier

    @rule(identifier=ids)
    def accept_again(self, identifier: str) -> None:
        model = self.models[identifier]
        answer = self.run(self.store.accept(model.intake))
        assert answer[0].duplicate
        assert (answer[0].notification_id, answer[0].status) == (identifier, model.status)

    @rule(identifier=ids, stale=st.booleans())
    def mark_queued(self, identifier: str, stale: bool) -> None:
        """The broker confirmed it, perhaps before it was replayed."""
        model = self.models[identifier]
        replay_no = max(model.replay_no - stale, 0)
        expected = model.status is Status.ACCEPTED and replay_no == model.replay_no
        assert self.run(mark_queued(self.store, identifier, replay_no=replay_no)) is expected
        if expected:
            model.status = Status.QUEUED

    @rule()
    def take_due(self) -> None:
        """A publisher looks at the store, when every wait of its neighbours is over."""
        self.looker.execute("UPDATE notifications SET publish_at = ?", (PAST,))
        due = {each.notification_id for each in self.run(self.store.take_due(1000, LONG))}
        again = self.run(self.store.take_due(1000, LONG))
        waiting = {Status.SCHEDULED, Status.ACCEPTED}
        assert due == {each for each, model in self.models.items() if model.status in waiting}
        assert again == []
        for identifier in due:
            self.models[identifier].status = Status.ACCEPTED

    @rule(identifier=ids)
    def cancel(self, identifier: str) -> None:
        model = self.models[identifier]
        expected = Status.CANCELLED in TRANSITIONS[model.status]
        assert self.run(self.store.cancel(identifier, "an operator")) is expected
        if expected:
            model.status, model.waits = Status.CANCELLED, False

    @rule(identifier=ids, stale=st.booleans())
    def replay(self, identifier: str, stale: bool) -> None:
        """An operator has a dead letter sent again, if it is the one that was looked at."""
        model = self.models[identifier]
        order = Replay(identifier, model.replay_no - stale)
        [due] = self.run(self.store.replay([order], by="an operator"))
        assert (due is not None) is (model.dead and not stale)
        if due is not None:
            model.status, model.waits, model.dead = Status.ACCEPTED, False, False
            model.replay_no, model.failures, model.told = model.replay_no + 1, 0, False
            self.seen[identifier] = Status.ACCEPTED

    @rule(identifier=ids)
    def discard(self, identifier: str) -> None:
        model = self.models[identifier]
        history = self.run(self.store.get(identifier))
        assert history is not None
        assert self.run(self.store.discard([history.record], by="an operator")) == [model.dead]
        if model.dead:
            model.status, model.dead = Status.FAILED, False

    # -- the workers -----------------------------------------------------------------------------

    @rule(
        identifier=ids,
        workers=st.integers(1, 3),
        grace=st.sampled_from([0.0, LONG]),
        late=st.booleans(),
        stale=st.booleans(),
    )
    def claim(self, identifier: str, workers: int, grace: float, late: bool, stale: bool) -> None:
        """Several workers ask at once; at most one may call the provider.

        They may hold a message that was published before a replay.
        """
        if late:
            self.time_passes(identifier)
        model = self.models[identifier]
        replay_no = max(model.replay_no - stale, 0)
        verdict = model.claim(grace, replay_no)
        names = [f"claim {next(self.claims)}" for _ in range(workers)]
        answers = self.run(self._claim_at_once(identifier, names, grace, replay_no))
        verdicts = [each.verdict for each in answers]
        assert verdicts.count(Verdict.CLAIMED) == (verdict is Verdict.CLAIMED)
        outdated = replay_no < model.replay_no
        others = [verdict if outdated else model.refusal()] if workers > 1 else []
        assert set(verdicts) == {verdict, *others}
        for name, won in zip(names, answers, strict=True):
            if won.verdict is Verdict.CLAIMED:
                model.claimed_by = name
                assert (won.attempt, won.failures) == (model.attempt, model.failures)

    @rule(identifier=ids, late=st.booleans())
    def claim_again(self, identifier: str, late: bool) -> None:
        """A worker was never told of its claim, however long ago that was, and asks once more."""
        if late:
            self.time_passes(identifier)
        model = self.models[identifier]
        if model.claimed_by is None:
            return
        found = model.status is Status.SENDING
        verdict = Verdict.CLAIMED if found else model.claim(0.0, model.replay_no)
        model.waits = model.waits or found
        [answer] = self.run(
            self._claim_at_once(identifier, [model.claimed_by], 0.0, model.replay_no)
        )
        assert answer.verdict is verdict
        if verdict is Verdict.CLAIMED:
            assert (answer.attempt, answer.failures) == (model.attempt, model.failures)

    async def _claim_at_once(
        self, identifier: str, names: list[str], grace: float, replay_no: int
    ) -> list[Claim]:
        asked = (
            self.store.claim(identifier, worker=name, lease=LONG, grace=grace, replay_no=replay_no)
            for name in names
        )
        return await asyncio.gather(*asked)

    @rule(
        identifier=ids, ending=st.sampled_from(ENDINGS), back=st.integers(0, 2), late=st.booleans()
    )
    def record(self, identifier: str, ending: Ending, back: int, late: bool) -> None:
        """A worker records its attempt: in time, again, or long after another took over."""
        if late:
            self.time_passes(identifier)
        model = self.models[identifier]
        number = max(model.attempt - back, 1)
        status, reason, retry_in = ending
        outcome = Outcome(identifier, number, status, "p", 1.0, reason=reason, retry_in=retry_in)
        stands = self.run(self.store.record(outcome))
        if number == model.attempt and (model.status is Status.SENDING or model.told):
            model.failures += status is not Status.SENT
            model.attempts[number] = (status, reason)
            if not model.told:  # else the receipt's word stands
                model.status, model.waits = status, retry_in is not None
                model.dead = outcome.gives_up
            model.told = False
        assert stands is (model.attempts.get(number) == (status, reason))

    @rule(identifier=ids, late=st.booleans())
    def give_up(self, identifier: str, late: bool) -> None:
        if late:
            self.time_passes(identifier)
        model = self.models[identifier]
        under_way = model.status is Status.SENDING and model.waits
        expected = Status.FAILED in TRANSITIONS[model.status] and not (under_way or model.held)
        given_up = self.run(self.store.give_up(identifier, Reason.TEMPLATE_ERROR, "no name"))
        assert given_up is expected
        if expected:
            if model.status is Status.SENDING:
                model.doubt()
            model.status, model.waits, model.dead = Status.FAILED, False, True

    # -- the provider ----------------------------------------------------------------------------

    @rule(identifier=ids, fact=st.sampled_from(list(TOLD)), back=st.integers(0, 1))
    def receipt(self, identifier: str, fact: Fact, back: int) -> None:
        """A receipt comes, for this attempt or the one before, at any time.

        Which of several decides is told elsewhere; here it moves the row as its answer says.
        """
        model = self.models[identifier]
        key, number = uuid.uuid4().hex, max(model.attempt - back, 1)
        receipt = Receipt(key, "p", identifier, number, fact, datetime.now(UTC))
        [result] = self.run(self.store.note_receipts([receipt]))
        if result is ReceiptResult.MOVED:
            model.told = model.told or model.status is Status.SENDING
            model.status, model.waits, model.dead = TOLD[fact], False, False
            self.seen[identifier] = TOLD[fact]
        assert self.run(self.store.note_receipts([receipt])) == [ReceiptResult.DUPLICATE]

    # -- time ------------------------------------------------------------------------------------

    def time_passes(self, identifier: str) -> None:
        """A lease, or the wait for the next attempt, is over."""
        self.looker.execute(
            "UPDATE notifications SET lease_until = ? WHERE id = ? AND lease_until IS NOT NULL",
            (PAST, identifier),
        )
        self.models[identifier].waits = False

    @rule(identifier=ids)
    def deadline_passes(self, identifier: str) -> None:
        self.looker.execute(
            "UPDATE notifications SET expires_at = ? WHERE id = ?", (PAST, identifier)
        )
        self.models[identifier].expired = True

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def the_store_agrees(self) -> None:
        attempts: dict[str, dict[int, tuple[str, str | None]]] = {each: {} for each in self.models}
        for identifier, number, *ending in self.looker.execute(
            "SELECT notification_id, attempt, status, reason FROM attempts"
        ):
            attempts[identifier][number] = (ending[0], ending[1])
        rows = self.looker.execute("SELECT id, status, attempt, failures FROM notifications")
        found = {row[0]: (*row[1:], attempts[row[0]]) for row in rows}
        assert found == {
            identifier: (model.status, model.attempt, model.failures, model.attempts)
            for identifier, model in self.models.items()
        }

    @invariant()
    def every_move_is_allowed(self) -> None:
        for identifier, text in self.looker.execute("SELECT id, status FROM notifications"):
            after, before = Status(text), self.seen.get(identifier)
            assert before in (None, after) or after in TRANSITIONS[before]
            assert before not in FINAL or before is after
            self.seen[identifier] = after


@functools.lru_cache(maxsize=1)
def _migrated() -> Path:
    """Return a database with our schema, to copy: migrating takes longer than a whole run."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-machine-"))
    atexit.register(shutil.rmtree, folder)
    migrate(f"sqlite:///{folder}/empty.db")
    return folder / "empty.db"


async def _opened(url: str) -> DeadLetterStore:
    # a busy machine may take long to answer, which is no outage
    return SqlStore(Database(url, deadline=60.0))


def _intake(status: Status, on_doubt: OnDoubt) -> Intake:
    identifier = new_notification_id()
    notification = Notification(
        notification_id=identifier,
        message_id=identifier,
        target_user_id="u1",
        channel=Channel.EMAIL,
        template_id="welcome",
        recipient="ann@example.com",
        payload={},
        on_doubt=on_doubt,
        send_at=datetime.now(UTC) + timedelta(days=1) if status is Status.SCHEDULED else None,
    )
    return Intake("p1", identifier, "h1", (notification,), status)


TestStatuses = StatusMachine.TestCase
TestStatuses.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
