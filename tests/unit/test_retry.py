"""The retry policy: pure, so a table says it all."""

import pytest

from clarion.retry import RetryPolicy


@pytest.mark.parametrize(
    ("policy", "failures", "retry_after", "expected"),
    [
        (RetryPolicy(), 1, None, 2.0),
        (RetryPolicy(), 2, None, 4.0),
        (RetryPolicy(), 3, None, 8.0),
        (RetryPolicy(), 4, None, None),
        (RetryPolicy(attempts=0), 1, None, None),
        (RetryPolicy(attempts=5, delay=1, backoff="linear"), 1, None, 1.0),
        (RetryPolicy(attempts=5, delay=1, backoff="linear"), 4, None, 4.0),
        (RetryPolicy(attempts=100, delay=2, cap=60), 10, None, 60.0),
        (RetryPolicy(attempts=5000, delay=2, cap=60), 4000, None, 60.0),
        (RetryPolicy(), 1, 30.0, 30.0),
        (RetryPolicy(), 3, 1.0, 8.0),
        (RetryPolicy(cap=5), 1, 90.0, 90.0),
        (RetryPolicy(), 4, 30.0, None),
    ],
)
def test_the_next_delay_follows_the_policy(
    policy: RetryPolicy, failures: int, retry_after: float | None, expected: float | None
) -> None:
    assert policy.next_delay(failures, retry_after) == expected
