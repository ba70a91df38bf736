"""The circuit breaker: when a provider is called, tried, or left alone."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from clarion.circuit import Circuit, CircuitPolicy, Sign, State, sign
from clarion.errors import (
    Ambiguous,
    BadMessage,
    BadRecipient,
    Misconfigured,
    PartlyMisconfigured,
    SendError,
    Throttled,
    Transient,
)

POLICY = CircuitPolicy(faults=3, seconds=30, longest=300)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, Sign.WORKS),
        (BadRecipient("no such user"), Sign.WORKS),
        (BadMessage("too long"), Sign.WORKS),
        (Throttled("slow down"), Sign.WORKS),
        (PartlyMisconfigured("no APNs key"), Sign.WORKS),
        (Transient("down"), Sign.FAULT),
        (Ambiguous("no answer"), Sign.FAULT),
        (Misconfigured("bad key"), Sign.REFUSES_US),
    ],
)
def test_an_answer_says_whether_the_provider_works(answer: SendError | None, said: Sign) -> None:
    assert sign(answer) is said


def called(circuit: Circuit, said: Sign, now: float = 0.0) -> State | None:
    era = circuit.enter(now)
    assert era is not None
    return circuit.answer(era, said, now)


W, F, R = Sign.WORKS, Sign.FAULT, Sign.REFUSES_US


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([], State.CLOSED),
        ([F, F], State.CLOSED),
        ([F, F, F], State.OPEN),
        ([F, F, W, F, F], State.CLOSED),
        ([F, F, W, F, F, F], State.OPEN),
        ([R], State.OPEN),
        ([W, R], State.OPEN),
    ],
)
def test_faults_in_a_row_or_a_refusal_open_it(said: list[Sign], state: State) -> None:
    circuit = Circuit(POLICY)

    for each in said:
        called(circuit, each)

    assert circuit.state(0.0) is state


def test_it_stays_open_for_its_time_and_then_tries_one_call() -> None:
    circuit = Circuit(POLICY)
    called(circuit, R, now=100.0)

    assert circuit.wait(100.0) == 30.0
    assert circuit.enter(129.9) is None
    assert circuit.state(130.0) is State.HALF_OPEN
    assert circuit.enter(130.0) is not None
    assert circuit.enter(130.0) is None


def test_a_probe_that_works_closes_it() -> None:
    circuit = Circuit(POLICY)
    called(circuit, R)

    assert called(circuit, W, now=30.0) is State.CLOSED
    assert [circuit.enter(30.0) is None for _ in range(3)] == [False] * 3


def test_the_time_doubles_with_each_probe_that_fails_and_starts_anew_after_one_that_works() -> None:
    circuit, now, waits = Circuit(POLICY), 0.0, []
    called(circuit, R, now)
    for _ in range(6):
        waits.append(circuit.wait(now))
        now += circuit.wait(now)
        assert called(circuit, F, now) is State.OPEN
    now += circuit.wait(now)
    called(circuit, W, now)
    called(circuit, R, now)

    assert waits == [30, 60, 120, 240, 300, 300]
    assert circuit.wait(now) == 30


def test_an_answer_to_a_call_made_before_it_opened_changes_nothing() -> None:
    circuit = Circuit(POLICY)
    late = [circuit.enter(0.0) for _ in range(20)]
    called(circuit, R)
    probe = circuit.enter(30.0)

    for era, said in zip(late, [W, F, R] * 7, strict=False):
        assert era is not None
        assert circuit.answer(era, said, 31.0) is None

    assert circuit.state(31.0) is State.HALF_OPEN
    assert probe is not None
    assert circuit.answer(probe, W, 32.0) is State.CLOSED


def test_a_probe_that_was_not_made_leaves_its_place_to_the_next() -> None:
    circuit = Circuit(POLICY)
    called(circuit, R)
    era = circuit.enter(30.0)
    assert era is not None

    circuit.leave(era)

    assert circuit.enter(30.0) == era


def test_who_met_a_fault_lets_others_be_probed_first() -> None:
    circuit = Circuit(POLICY)
    before = circuit.stand_back(0.0)
    called(circuit, R)

    assert before is None
    assert circuit.stand_back(0.0) == 45.0
    assert circuit.stand_back(30.0) == 45.0


class Calls(RuleBasedStateMachine):
    """Calls, answers and time in any order, beside a model that only counts."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(POLICY)
        self.now = 0.0
        self.faults = 0
        self.opened_at: float | None = None
        self.waits = [30.0]
        self.probe: int | None = None
        self.under_way: list[int] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls)
    def enter(self) -> int | None:
        era = self.circuit.enter(self.now)
        if self.opened_at is None:
            assert era is not None
        elif self.probe is not None or self.now < self.opened_at + self.waits[-1]:
            assert era is None
        else:
            assert era is not None
            self.probe = era
        return era

    @rule(era=consumes(calls))
    def leave(self, era: int | None) -> None:
        if era is not None:
            self.circuit.leave(era)
            if era == self.probe:
                self.probe = None

    @rule(era=consumes(calls), said=st.sampled_from(Sign))
    def answer(self, era: int | None, said: Sign) -> None:
        if era is None:
            return
        half_open = self.probe is not None and era == self.probe
        changed = self.circuit.answer(era, said, self.now)
        if half_open:
            assert changed is (State.CLOSED if said is Sign.WORKS else State.OPEN)
            self.probe = None
            self.opened_at = None if said is Sign.WORKS else self.now
            self.waits = [30.0] if said is Sign.WORKS else [min(self.waits[-1] * 2, 300.0)]
            self.faults = 0
        elif changed is State.OPEN:
            assert self.opened_at is None
            assert said is Sign.REFUSES_US or self.faults + 1 >= POLICY.faults
            self.opened_at, self.waits, self.faults = self.now, [30.0], 0
        else:
            assert changed is None
            if self.opened_at is None and self.circuit.enter(self.now) == era:
                self.faults = 0 if said is Sign.WORKS else self.faults + 1

    @invariant()
    def it_says_what_it_does(self) -> None:
        state = self.circuit.state(self.now)
        if self.opened_at is None:
            assert state is State.CLOSED
            assert self.faults < POLICY.faults
        else:
            due = self.now >= self.opened_at + self.waits[-1]
            assert state is (State.HALF_OPEN if due else State.OPEN)
        assert (self.circuit.wait(self.now) > 0) is (state is State.OPEN)


TestCalls = Calls.TestCase
