"""Whether a provider may be called: a circuit breaker, decided purely.

closed ──(faults in a row, or one Misconfigured)──► open ──(time)──► half open
   ▲                                                 ▲                  │ one probe
   └──────────────── the probe worked ───────────────┼──────────────────┤
                                                     └── it did not ────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clarion.errors import Ambiguous, Misconfigured, PartlyMisconfigured, SendError, Transient


class State(StrEnum):
    """Whether calls are made."""

    CLOSED = "closed"  # every call is made
    HALF_OPEN = "half_open"  # one call at a time is made, to see whether the provider works again
    OPEN = "open"  # none is made until the time of the next probe


class Sign(StrEnum):
    """What an answer says of the provider, whatever it says of the message."""

    WORKS = "works"
    FAULT = "fault"
    REFUSES_US = "refuses_us"


def sign(error: SendError | None) -> Sign:
    """Return what an answer says of the provider; None is a message that it accepted."""
    if isinstance(error, Transient | Ambiguous):
        return Sign.FAULT
    if isinstance(error, Misconfigured) and not isinstance(error, PartlyMisconfigured):
        return Sign.REFUSES_US
    return Sign.WORKS


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """How many faults in a row open a circuit, and for how many seconds.

    The time doubles with every probe that fails, up to `longest`.
    """

    faults: int = 10
    seconds: float = 30.0
    longest: float = 300.0


class Circuit:
    """The circuit of one provider in one process. Every method takes the time, in seconds.

    A call is entered before it is made and answered after; it belongs to the era in which it was
    entered, and the answers of former eras count no more: of a hundred calls under way when the
    circuit opens, none tells what the provider does half a minute later.
    """

    def __init__(self, policy: CircuitPolicy) -> None:
        self._policy = policy
        self._state = State.CLOSED
        self._era = 0
        self._faults = 0
        self._seconds = policy.seconds
        self._probe_at = 0.0
        self._probing = False

    def state(self, now: float) -> State:
        """Return the state; an open circuit is half open once its time is over."""
        if self._state is State.OPEN and now >= self._probe_at:
            return State.HALF_OPEN
        return self._state

    def wait(self, now: float) -> float:
        """Return the seconds until the next probe; 0 unless the circuit is open."""
        return max(self._probe_at - now, 0.0) if self._state is State.OPEN else 0.0

    def stand_back(self, now: float) -> float | None:
        """Return for how many seconds a message that met a fault lets others be probed first; None
        while the circuit is closed.

        Else one that the provider always fails on might be every probe, and keep the circuit open.
        """
        if self._state is State.CLOSED:
            return None
        return 1.5 * (self.wait(now) or self._seconds)

    def enter(self, now: float) -> int | None:
        """Return the era to answer a call in; None when it may not be made now."""
        if self._state is State.CLOSED:
            return self._era
        if self._probing or now < self._probe_at:
            return None
        if self._state is State.OPEN:
            self._turn(State.HALF_OPEN)
        self._probing = True
        return self._era

    def leave(self, era: int) -> None:
        """Take back a call that was entered and not made, for example of a duplicate."""
        if era == self._era:
            self._probing = False

    def answer(self, era: int, said: Sign, now: float) -> State | None:
        """Count an answer; return the state if this changed it to open or closed."""
        if era != self._era:
            return None
        if self._state is State.HALF_OPEN:
            return self._probed(said, now)
        if said is Sign.WORKS:
            self._faults = 0
            return None
        self._faults += 1
        if said is Sign.FAULT and self._faults < self._policy.faults:
            return None
        self._seconds = self._policy.seconds
        return self._open(now)

    def _probed(self, said: Sign, now: float) -> State:
        if said is Sign.WORKS:
            self._faults = 0
            return self._turn(State.CLOSED)
        self._seconds = min(self._seconds * 2, max(self._policy.longest, self._policy.seconds))
        return self._open(now)

    def _open(self, now: float) -> State:
        self._probe_at = now + self._seconds
        return self._turn(State.OPEN)

    def _turn(self, state: State) -> State:
        self._state = state
        self._era += 1
        self._probing = False
        return state
