"""The notification, its id and its statuses."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from clarion.notification import (
    FINAL,
    LANES,
    TRANSITIONS,
    Channel,
    Notification,
    Priority,
    Status,
    new_notification_id,
    sources,
)

NOTIFICATION = Notification(
    notification_id="notif_0",
    message_id="m1",
    target_user_id="u1",
    channel=Channel.EMAIL,
    template_id="welcome",
    recipient="ann@example.com",
    payload={"email": "ann@example.com"},
)


def test_an_id_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000

    identifier = new_notification_id()

    assert re.fullmatch(r"notif_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", identifier)
    assert before <= int(identifier[6:18], 16) <= time.time_ns() // 1_000_000


def test_ids_are_unique() -> None:
    assert len({new_notification_id() for _ in range(1000)}) == 1000


def test_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_a_final_status_is_left_by_receipts_and_replays_alone() -> None:
    receipts = {Status.DELIVERED, Status.BOUNCED, Status.UNDELIVERED}

    left_for = {status: TRANSITIONS[status] - receipts for status in FINAL}

    assert {status for status in FINAL if left_for[status]} == {Status.FAILED}
    assert left_for[Status.FAILED] == {Status.ACCEPTED}


def test_no_attempt_starts_from_a_final_status() -> None:
    assert FINAL.isdisjoint(sources(Status.SENDING))


def test_every_status_that_is_not_final_leads_on() -> None:
    assert all(TRANSITIONS[status] for status in set(Status) - FINAL)


def test_sources_are_the_transitions_reversed() -> None:
    for target in Status:
        assert {status for status in Status if target in TRANSITIONS[status]} == set(
            sources(target)
        )


def test_there_is_a_lane_for_each_channel_and_priority() -> None:
    assert {lane.routing_key for lane in LANES} == {
        f"notifications.{channel}.{priority}" for channel in Channel for priority in Priority
    }


@given(
    st.dictionaries(
        st.text(),
        st.text()
        | st.integers()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.none(),
    )
)
def test_its_bytes_hold_any_payload(payload: dict[str, object]) -> None:
    notification = NOTIFICATION.model_copy(update={"payload": payload})

    assert Notification.model_validate_json(notification.to_bytes()).payload == payload


def test_a_field_of_a_newer_gateway_is_passed_over() -> None:
    body = NOTIFICATION.to_bytes()[:-1] + b',"field_of_tomorrow":1}'

    assert Notification.model_validate_json(body) == NOTIFICATION
