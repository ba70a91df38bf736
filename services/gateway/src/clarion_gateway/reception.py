"""Single events, taken in together with those that arrive at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from clarion.errors import ClarionError
from clarion.event import Event
from clarion.store.base import Accepted
from clarion_gateway.endpoint import parse_body
from clarion_gateway.gathering import Gathering
from clarion_gateway.intake import Acceptor, Answer, Checked
from clarion_gateway.problems import problem_of


@dataclass(frozen=True, slots=True)
class _Arrival:
    producer: str
    body: bytes
    answer: asyncio.Future[Answer]


_Sound = tuple[_Arrival, Checked]


class Reception:
    """Takes in single events as if those of one turn of the event loop had come as a batch.

    Each has its own answer. To check and store them in a row costs half of what it costs when
    every request does it in its turn.
    """

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._arrivals: Gathering[_Arrival] = Gathering(self._take_in)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take_in(self, producer: str, body: bytes) -> list[Accepted]:
        """Return what became of the event in this body.

        Raises `Problem` where it is refused, or where it is not known to be stored.
        """
        arrival = _Arrival(producer, body, asyncio.get_running_loop().create_future())
        self._arrivals.add(arrival)
        answer = await arrival.answer
        if isinstance(answer, ClarionError):
            raise problem_of(answer) from answer
        return answer

    def _take_in(self, arrivals: list[_Arrival]) -> None:
        together: list[_Sound] = []
        for arrival in arrivals:
            if arrival.answer.done():  # its request was given up
                continue
            try:
                event = parse_body(Event, arrival.body)
                sound = (arrival, self._acceptor.check(arrival.producer, event))
            except ClarionError as error:
                arrival.answer.set_result(error)
            except Exception as error:  # noqa: BLE001  it is this request's to raise
                arrival.answer.set_exception(error)
            else:
                if event.send_at is None and event.expires_at is None:
                    together.append(sound)
                else:  # it may have to be looked up first: no other waits for that
                    self._begin([sound])
        if together:
            self._begin(together)

    def _begin(self, sound: list[_Sound]) -> None:
        task = asyncio.create_task(self._accept(sound))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, sound: list[_Sound]) -> None:
        try:
            answers = await self._acceptor.accept_all([checked for _, checked in sound])
        except Exception as error:  # noqa: BLE001  it is every request's to raise
            for arrival, _ in sound:
                if not arrival.answer.done():
                    arrival.answer.set_exception(error)
            return
        for (arrival, _), answer in zip(sound, answers, strict=True):
            if not arrival.answer.done():
                arrival.answer.set_result(answer)
