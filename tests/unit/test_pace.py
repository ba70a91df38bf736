"""How fast a provider is called, told by simulating the calls of a while."""

import pytest

from clarion.pace import Pace


def made(pace: Pace, seconds: float, *, start: float = 0.0, step: float = 0.001) -> list[float]:
    """Return when calls are made by somebody who makes as many as the pace allows."""
    calls: list[float] = []
    for tick in range(int(seconds / step)):
        now = start + tick * step
        while pace.wait(now) == 0.0 and len(calls) < 100_000:
            pace.take(now)
            calls.append(now)
    return calls


@pytest.mark.parametrize("rate", [0.5, 1, 7, 50, 400])
def test_no_second_has_more_calls_than_the_rate_and_what_makes_up_for_a_rest(rate: float) -> None:
    calls = made(Pace(rate), 10)

    most = int(rate * 1.1 + 1.1)
    assert len(calls) >= 10 * rate * 0.98
    assert all(later - first >= 1 for first, later in zip(calls, calls[most:], strict=False))


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace()

    for _ in range(1000):
        assert pace.wait(5.0) == 0.0
        pace.take(5.0)

    assert pace.limit(5.0) is None


def test_a_call_that_was_not_made_is_given_back() -> None:
    pace = Pace(1)
    made(pace, 0.5, start=9.5)
    waiting = pace.wait(10.0)

    pace.give_back()

    assert waiting > 0
    assert pace.wait(10.0) == 0.0


def answer(pace: Pace, start: float, seconds: int, rate: int, refused: float) -> None:
    """Make `rate` calls a second, answered at once; the share `refused` of them by a 429."""
    for index in range(seconds * rate):
        now = start + index / rate
        pace.take(now)
        pace.answered(now, now, throttled=(index * refused) % 1 + refused >= 1)


def test_one_recipients_own_limit_slows_nobody() -> None:
    pace = Pace()

    answer(pace, 0.0, seconds=10, rate=100, refused=0.05)

    assert pace.limit(10.0) is None


def test_a_lone_429_at_little_traffic_slows_nobody() -> None:
    pace = Pace()

    pace.take(1.0)
    slowed = pace.answered(1.0, 1.1, throttled=True)

    assert not slowed
    assert pace.limit(1.1) is None


def test_a_provider_that_refuses_as_too_many_is_called_half_as_often() -> None:
    pace = Pace()
    answer(pace, 0.0, seconds=4, rate=100, refused=0)

    slowed = [pace.answered(3.9, 4.0, throttled=True) for _ in range(40)]

    assert slowed.count(True) == 1
    assert pace.limit(4.0) == pytest.approx(50, rel=0.05)


def test_the_calls_under_way_when_it_slowed_do_not_slow_it_again() -> None:
    pace = Pace(100)
    for _ in range(3):
        pace.take(3.9)
        pace.answered(3.9, 4.0, throttled=True)
    limit = pace.limit(4.0)

    for _ in range(100):
        assert not pace.answered(3.95, 8.0, throttled=True)

    assert limit is not None
    assert limit < 100


@pytest.mark.parametrize(("rate", "back"), [(None, None), (100.0, 100.0)])
def test_what_was_slowed_comes_back_step_by_step(rate: float | None, back: float | None) -> None:
    pace = Pace(rate)
    answer(pace, 0.0, seconds=4, rate=100, refused=0)
    for _ in range(40):
        pace.answered(3.9, 4.0, throttled=True)

    limits = [pace.limit(4.0 + second) for second in range(60)]

    present = [limit for limit in limits if limit is not None]
    assert present == sorted(present)
    assert len(set(present)) > 5
    assert limits[-1] == back


def test_somebody_goes_on_asking_a_provider_that_refuses_everything() -> None:
    pace = Pace()

    now = 0.0
    for _ in range(2000):
        if (wait := pace.wait(now)) > 0:
            now += wait
        pace.take(now)
        pace.answered(now, now, throttled=True)

    limit = pace.limit(now)
    assert limit is not None
    assert 1.0 <= limit < 10.0


def test_a_provider_that_takes_fifty_a_second_is_found_out() -> None:
    """Of everything there is to send, few calls are refused, and most of its capacity is used."""
    pace, now, accepted, refused = Pace(), 0.0, 0, 0
    window: list[float] = []
    while now < 120:
        if pace.wait(now) > 0 or len(window) > 300:
            now += 0.001
            window = [each for each in window if each > now - 1]
            continue
        pace.take(now)
        window = [each for each in window if each > now - 1]
        throttled = len(window) >= 50
        if not throttled:
            window.append(now)
        accepted, refused = accepted + (not throttled), refused + throttled
        pace.answered(now, now, throttled=throttled)
        if pace.limit(now) is None:
            now += 0.005

    assert accepted > 120 * 50 * 0.5
    assert refused < 0.1 * accepted
