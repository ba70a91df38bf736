"""What a message passes before it may call its provider: the circuit, then the pace, in turn."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from loguru import logger

from clarion import metrics
from clarion.circuit import Circuit, CircuitPolicy, State, sign
from clarion.errors import PartlyMisconfigured, SendError, Throttled
from clarion.notification import Channel, Priority
from clarion.pace import Pace
from clarion.provider import SentMessage

LONGEST_WAIT = 600.0
"""Seconds that a message is held for its turn: RabbitMQ wants it settled within 30 minutes."""

AGAIN_SECONDS = 1.0
"""The delay of a message whose turn did not come."""

PARTLY_SECONDS = 1800.0
"""How long health tells of a fault that only some recipients meet, after it was last seen."""

_HIGH, _NORMAL, _LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW
_TURNS = (
    *[(_HIGH, _NORMAL, _LOW)] * 7,
    *[(_NORMAL, _HIGH, _LOW)] * 2,
    (_LOW, _HIGH, _NORMAL),
)
"""Who of those that wait comes first: of ten calls, two are kept for normal and one for low."""

_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class PutOff(Exception):
    """A message that may not call its provider now, and in how many seconds to try again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"try again in {seconds} s")


@dataclass(slots=True)
class Call:
    """A call that may be made: in which era of the circuit, and since when."""

    era: int
    started: float
    answered: bool = False


class Gate:
    """Lets the calls to one provider through: all, as many as its pace allows, one, or none.

    Who waits is let through in the order of the lanes, with a share kept for each: a password reset
    does not wait behind a campaign, and the campaign goes on. aiolimiter has one queue for all and
    a rate that does not change.
    """

    def __init__(self, channel: Channel, policy: CircuitPolicy, rate: float | None = None) -> None:
        self._channel = channel
        self._circuit = Circuit(policy)
        self._pace = Pace(rate)
        self._lines: dict[Priority, deque[asyncio.Future[Call]]] = {
            priority: deque() for priority in Priority
        }
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._trouble: str | None = None
        self._partly: tuple[str, float] | None = None
        metrics.CIRCUIT_STATE.labels(channel).set_function(lambda: _LEVELS[self.state])
        metrics.PROVIDER_RATE.labels(channel).set_function(lambda: self.rate or float("inf"))

    # -- what it tells ---------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Whether calls are made."""
        return self._circuit.state(time.monotonic())

    @property
    def wait(self) -> float:
        """Seconds until the next probe; 0 unless the circuit is open."""
        return self._circuit.wait(time.monotonic())

    @property
    def stand_back(self) -> float | None:
        """Seconds for which a message that met a fault lets others go first; None while the
        circuit is closed."""
        return self._circuit.stand_back(time.monotonic())

    @property
    def rate(self) -> float | None:
        """Calls a second that are allowed now; None for no limit."""
        return self._pace.limit(time.monotonic())

    @property
    def trouble(self) -> str | None:
        """What is wrong, in the provider's words; None when nothing is."""
        if self._trouble is not None:
            return self._trouble
        if self._partly is not None:
            words, at = self._partly
            if time.monotonic() < at + PARTLY_SECONDS:
                return f"for some recipients: {words}"
        return None

    # -- passing ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def turn(self, priority: Priority) -> AsyncIterator[Call]:
        """Return once a call may be made, within the block. Raises `PutOff`."""
        call = await self._enter(priority)
        try:
            yield call
        finally:
            if not call.answered:
                self._leave(call)

    def answered(self, call: Call, answer: SentMessage | SendError) -> State | None:
        """Learn from an answer; return the circuit's state if this changed it to open or closed."""
        now = time.monotonic()
        call.answered = True
        if isinstance(answer, PartlyMisconfigured):
            self._partly = str(answer), now
        if self._pace.answered(call.started, now, throttled=isinstance(answer, Throttled)):
            logger.bind(channel=self._channel, rate=self._pace.limit(now)).warning(
                "slowed down, the provider refuses calls as too many: {}", answer
            )
        error = answer if isinstance(answer, SendError) else None
        changed = self._circuit.answer(call.era, sign(error), now)
        if changed is not None:
            self._report(changed, answer)
            self._hand_out()
        return changed

    def close(self) -> None:
        """Put off, from now on, whoever would have to wait; who may pass at once still does."""
        self._closing = True
        self._hand_out()

    async def _enter(self, priority: Priority) -> Call:
        turn: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._lines[priority].append(turn)
        self._hand_out()
        if turn.done():
            return turn.result()
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave(turn.result())  # its turn came as it gave up
            if isinstance(error, TimeoutError):
                raise PutOff(AGAIN_SECONDS) from None
            raise

    def _leave(self, call: Call) -> None:
        """Take back a call that was not made, for example of a duplicate."""
        self._circuit.leave(call.era)
        self._pace.give_back()
        self._hand_out()

    def _hand_out(self) -> None:
        """Let through whoever may pass now, and see to it that the next ones are."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while line := self._line():
            now = time.monotonic()
            if seconds := self._circuit.wait(now):
                self._put_off(seconds)
                return
            pause = self._pace.wait(now)
            era = None if pause else self._circuit.enter(now)
            if era is None:
                self._keep_waiting(pause)
                return
            self._pace.take(now)
            self._turns += 1
            line.popleft().set_result(Call(era, now))

    def _line(self) -> deque[asyncio.Future[Call]] | None:
        """Return the line whose first one comes next."""
        for priority in _TURNS[self._turns % len(_TURNS)]:
            line = self._lines[priority]
            while line and line[0].done():
                line.popleft()
            if line:
                return line
        return None

    def _keep_waiting(self, pause: float) -> None:
        if self._closing:
            self._put_off(AGAIN_SECONDS)
        elif pause:
            self._timer = asyncio.get_running_loop().call_later(pause, self._hand_out)
        # else a probe is under way, and its answer leads here

    def _put_off(self, seconds: float) -> None:
        for line in self._lines.values():
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_exception(PutOff(seconds))

    def _report(self, changed: State, answer: SentMessage | SendError) -> None:
        log = logger.bind(channel=self._channel)
        if changed is State.OPEN:
            self._trouble = str(answer)
            metrics.CIRCUIT_OPENINGS.labels(self._channel).inc()
            log.bind(probe_in=round(self.wait, 1)).error(
                "circuit open, the provider is not called: {}", answer
            )
        else:
            self._trouble = None
            log.info("circuit closed, the provider works")
