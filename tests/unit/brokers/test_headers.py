"""What travels with a message, and what does not."""

from __future__ import annotations

import pytest

from clarion.brokers import headers


def test_a_copy_leaves_behind_what_the_broker_added() -> None:
    received = {
        "x-death": [{"count": 3}],
        "x-first-death-queue": "q",
        "x-last-death-reason": "expired",
        "x-delivery-count": 4,
        "x-acquired-count": 4,
        "x-due-at": 1,
        "x-published-at": 2,
        "trace": "abc",
        "nested": {"kept": True},
    }

    assert headers.kept(received) == {"trace": "abc", "nested": {"kept": True}}


def test_a_handler_sees_text_and_whole_numbers_only() -> None:
    received = {"trace": "abc", "attempt": 2, "nested": {}, "raw": b"\x00", "share": 0.5}

    assert headers.shown(received) == {"trace": "abc", "attempt": 2}


def test_a_number_that_is_none_is_no_number() -> None:
    assert headers.number({"x-due-at": "tomorrow"}, "x-due-at") is None
    assert headers.number({}, "x-due-at") is None
    assert headers.number({"x-due-at": 7}, "x-due-at") == 7


def test_an_obituary_is_bounded_and_dated() -> None:
    obituary = headers.obituary("spam", "x" * 600, now=0.5)

    assert obituary["x-reason"] == "spam"
    assert obituary["x-detail"] == "x" * 500
    assert obituary["x-dead-at"] == "1970-01-01T00:00:00.500+00:00"


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        ({"x-death": [{"reason": "delivery_limit", "queue": "q"}, {"reason": "expired"}],
          "x-first-death-reason": "expired"}, "delivery_limit"),
        ({"x-death": [{"reason": "expired", "queue": "d"}, {"reason": "rejected", "queue": "q"}],
          "x-last-death-reason": "rejected", "x-last-death-queue": "q"}, "rejected"),
    ],
    ids=["3.10", "4.0"],
)  # fmt: skip
def test_what_rabbitmq_gave_up_has_its_last_reason(
    received: dict[str, object], reason: str
) -> None:
    cause = headers.cause(received)

    assert (cause.reason, cause.by_broker) == (reason, True)
    assert cause.detail == "given up by RabbitMQ in q"


@pytest.mark.parametrize("death", [[], "no list", None, ["no table"]])
def test_what_a_worker_parked_has_its_reason(death: object) -> None:
    received = {"x-death": death, **headers.obituary("spam", "550 5.7.1", now=0)}

    assert headers.cause(received) == headers.Cause("spam", "550 5.7.1", by_broker=False)


def test_a_letter_shows_the_headers_of_its_message() -> None:
    received = {"trace": "abc", "x-death": [], **headers.obituary("spam", "", now=0)}

    assert headers.mourned(received) == {"trace": "abc"}
