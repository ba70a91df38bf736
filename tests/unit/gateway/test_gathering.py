"""Handing over together what comes in one turn of the event loop."""

from __future__ import annotations

import asyncio

from clarion_gateway.gathering import Gathering


async def test_what_comes_in_one_turn_is_handed_over_once_and_in_order() -> None:
    handed: list[list[int]] = []
    gathering: Gathering[int] = Gathering(handed.append)

    for number in range(3):
        gathering.add(number)
    before = list(handed)
    await asyncio.sleep(0)
    gathering.add(3)
    await asyncio.sleep(0)

    assert before == []
    assert handed == [[0, 1, 2], [3]]


async def test_a_flush_hands_over_at_once_and_leaves_nothing_for_later() -> None:
    handed: list[list[int]] = []
    gathering: Gathering[int] = Gathering(handed.append)

    gathering.add(1)
    gathering.flush()
    at_once = list(handed)
    gathering.add(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert at_once == [[1]]
    assert handed == [[1], [2]]


async def test_what_is_added_while_handing_over_comes_in_the_next_turn() -> None:
    handed: list[list[int]] = []

    def together(items: list[int]) -> None:
        handed.append(items)
        if items == [1]:
            gathering.add(2)

    gathering: Gathering[int] = Gathering(together)

    gathering.add(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert handed == [[1], [2]]
