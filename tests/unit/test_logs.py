"""Log lines: one JSON object each, without anybody's address."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pytest
from loguru import logger

from clarion import logs
from clarion.notification import Channel


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., io.StringIO]]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logs, "_noting", None)

    def configure(**options: Any) -> io.StringIO:
        stream = io.StringIO()
        logs.configure("email", "INFO", stream, **options)
        return stream

    yield configure
    logger.remove()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream(configure: Callable[..., io.StringIO]) -> io.StringIO:
    return configure()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_shape_that_the_design_gives(stream: io.StringIO) -> None:
    logger.bind(notification_id="notif_1", duration_ms=12.5).info("notification sent")

    (line,) = lines(stream)
    assert set(line) == {"timestamp", "level", "message", "context"}
    assert (line["level"], line["message"]) == ("info", "notification sent")
    assert line["context"] == {
        "service": "email",
        "notification_id": "notif_1",
        "duration_ms": 12.5,
    }


def test_an_exception_is_told_with_where_it_was_raised(stream: io.StringIO) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        logger.exception("it failed")

    (line,) = lines(stream)
    assert line["context"]["error"] == "ValueError: no such thing"
    assert "test_logs.py" in line["context"]["traceback"][-1]


def test_a_librarys_warning_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("aiormq").warning("connection %s", "lost")

    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert line["message"] == "aiormq: connection lost"


def test_a_line_break_cannot_forge_a_second_line(stream: io.StringIO) -> None:
    logger.info('first\n{"level": "error"}')

    assert len(lines(stream)) == 1


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("550 no such user <john.doe@example.com>", "550 no such user <j***@example.com>"),
        ("to=j\u00f6hn@ex\u00e4mple.com, again", "to=j***@ex\u00e4mple.com, again"),
        ("amqp://email:pa55@rabbitmq:5672/", "amqp://***@rabbitmq:5672/"),
        ("postgresql://clarion:p%40ss@db/clarion", "postgresql://***@db/clarion"),
        ("the number +14155550123 is not on WhatsApp", "the number +14***23 is not on WhatsApp"),
        ("key clarion_" + "a" * 43 + " is known", "key *** is known"),
        ("token " + "a" * 22 + ":APA91b" + "b" * 134, "token aaaa***"),
        ("rejected hunter22 and hunter2", "rejected *** and ***"),
        ("in 2+2 minutes @ noon, 3 @ a time", "in 2+2 minutes @ noon, 3 @ a time"),
        ("email:1 as email at 127.0.0.1:5672", "email:1 as email at 127.0.0.1:5672"),
    ],
)
def test_what_others_say_is_looked_through(
    configure: Callable[..., io.StringIO], said: str, written: str
) -> None:
    stream = configure(secrets=["hunter2", "hunter22", "at"])

    logger.bind(detail=said, nested={"all": [said]}, error=ValueError(said)).info("{}", said)
    logs.note("INFO", said, detail=said, nested={"all": [said]}, error=ValueError(said))

    for line in lines(stream):
        context = line["context"]
        assert line["message"] == context["detail"] == context["error"] == written
        assert context["nested"] == {"all": [written]}
    assert len(lines(stream)) == 2


FOUND: dict[str, Any] = {
    "notification_id": "notif_1",
    "channel": Channel.EMAIL,
    "status": HTTPStatus.ACCEPTED,
    "attempt": 1,
    "seconds": 0.5,
    "ok": True,
    "reason": None,
    "text": "Gr\u00fc\u00dfe \u2028 \ud83d",
}


def test_a_note_is_a_line_like_any_other(stream: io.StringIO) -> None:
    logger.bind(**FOUND).info("notification sent")
    logs.note("INFO", "notification sent", **FOUND)

    bound, noted = lines(stream)
    assert stream.getvalue().isascii()
    times = [datetime.fromisoformat(line.pop("timestamp")) for line in (bound, noted)]
    assert times == sorted(times)
    assert times[0].utcoffset() == times[1].utcoffset()
    assert bound == noted
    assert noted["context"] == {"service": "email", **FOUND}


def test_a_note_below_the_level_is_not_written(stream: io.StringIO) -> None:
    logs.note("DEBUG", "request")

    assert lines(stream) == []


def test_a_note_that_cannot_be_written_stops_nobody(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: str) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(stream, "write", full)

    logs.note("INFO", "notification sent")

    assert "no space left on device" in capsys.readouterr().err


def test_without_a_stream_of_ours_a_note_goes_where_other_lines_go(
    configure: Callable[..., io.StringIO],
) -> None:
    records: list[Any] = []
    logger.add(lambda message: records.append(message.record), level="INFO")

    logs.note("INFO", "request", status=202)

    assert [(each["message"], each["extra"]["status"]) for each in records] == [("request", 202)]


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("john.doe@example.com", "j***@example.com"),
        ("@", "***@"),
        ("+14155550123", "+14***23"),
        ("dGhpc2lzYXRva2Vu:APA91bF", "dGhp***"),
        ("topic:news", "topic:news"),
        ("", "***"),
    ],
)
def test_an_address_is_masked(address: str, masked: str) -> None:
    assert logs.mask(address) == masked
