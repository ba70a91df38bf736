"""JSON log lines of one shape, with addresses, numbers, tokens and credentials masked.

Whoever writes a line masks what he knows to be an address. The words of providers, drivers and
libraries are not ours, so every text is looked through once more on its way out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from loguru import logger
from pydantic_core import PydanticSerializationError, to_json

if TYPE_CHECKING:
    from loguru import Message, Record


_EMAIL = re.compile(r"[^\s@<>\"'(),:;=]+@(?=[^\s@<>\"'(),:;]+\.[^\s@.<>\"'(),:;]{2})")
_USERINFO = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_TOKEN = re.compile(r"[A-Za-z0-9_:-]{100,}")  # as long as what FCM gives a device
_API_KEY = re.compile(r"clarion_[A-Za-z0-9_-]{20,}")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
_HIDDEN = "***"
_SHORTEST_SECRET = 6
"""A password of fewer characters cannot be told from ordinary words."""

_noting: Callable[[str, str, dict[str, object]], None] | None = None
"""What writes a note, once `configure` has said where to."""


def configure(
    service: str,
    level: str = "INFO",
    stream: TextIO = sys.stdout,
    *,
    secrets: Iterable[str] = (),
) -> None:
    """Send every log line of this process to `stream` as JSON: timestamp, level, message, context.

    Lines of libraries that use the standard `logging` go the same way, from WARNING on. No line
    holds one of the `secrets`.
    """
    hidden = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
    logger.remove()
    logger.configure(extra={"service": service})

    def write(message: Message) -> None:
        record = message.record
        context = {**record["extra"], **_failure(record)}
        put(record["time"], record["level"].name, record["message"], context)

    def put(time: datetime, level: str, message: str, context: dict[str, object]) -> None:
        line = {
            "timestamp": time.isoformat(timespec="milliseconds"),
            "level": level.lower(),
            "message": conceal(message, hidden),
            "context": _concealed(context, hidden),
        }
        stream.write(_json(line) + "\n")
        stream.flush()

    least = logger.level(level).no

    def write_note(level: str, message: str, context: dict[str, object]) -> None:
        if logger.level(level).no < least:
            return
        try:
            put(datetime.now().astimezone(), level, message, {"service": service, **context})
        except Exception:  # noqa: BLE001  loguru tells on stderr why it cannot be written, and goes on
            logger.bind(**context).log(level, message)

    global _noting
    _noting = write_note

    logger.add(write, level=level, format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
    # one error a second for as long as the broker is away; health and our own lines say it once
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)


def note(level: str, message: str, **context: object) -> None:
    """Write a line as `logger.bind(**context).log(level, message)` does.

    It is for what is logged for every request and every notification: loguru looks up frame,
    thread and process each time, which is two thirds of what a line costs.
    """
    if _noting is None:
        logger.bind(**context).log(level, message)
    else:
        _noting(level, message, context)


def mask(address: str) -> str:
    """Return an address, number or token with enough left to recognise it, too little to use it."""
    name, at, domain = address.partition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    if address.startswith("+"):
        return f"{address[:3]}***{address[-2:]}"
    if address.startswith(("topic:", "condition:")):
        return address
    return f"{address[:4]}***"


def conceal(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text of somebody else's with addresses, numbers, tokens and `secrets` masked."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, _HIDDEN)
    # most texts hold nothing of the kind: looking for one character costs next to nothing
    if "@" in text:
        text = _USERINFO.sub(_HIDDEN, text)
        text = _EMAIL.sub(lambda found: f"{found[0][:1]}***@", text)
    if "+" in text:
        text = _PHONE.sub(lambda found: mask(found[0]), text)
    if "clarion_" in text:
        text = _API_KEY.sub(_HIDDEN, text)
    if "whsec_" in text:
        text = _WEBHOOK_SECRET.sub(_HIDDEN, text)
    if len(text) >= 100:
        text = _TOKEN.sub(lambda found: mask(found[0]), text)
    return text


def _json(line: dict[str, object]) -> str:
    """Return it as JSON in ASCII, which no terminal and no collector mistakes."""
    # which fails at half of a surrogate pair, as UTF-8 cannot hold it
    with suppress(PydanticSerializationError):
        text = to_json(line)
        if text.isascii():
            return text.decode()
    return json.dumps(line, separators=(",", ":"))


def _failure(record: Record) -> dict[str, object]:
    error = record["exception"]
    if error is None:
        return {}
    return {
        "error": f"{error.type.__name__ if error.type else 'error'}: {error.value}",
        "traceback": _traceback(record),
    }


def _concealed(value: object, secrets: list[str]) -> object:
    if isinstance(value, str):
        return conceal(value, secrets)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _concealed(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_concealed(item, secrets) for item in value]
    return conceal(str(value), secrets)


def _traceback(record: Record) -> list[str]:
    frames = []
    traceback = record["exception"].traceback if record["exception"] else None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames


class _ToLoguru(logging.Handler):
    """Passes what a library logs on to our sink."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(
            record.levelname, "{}: {}", record.name, record.getMessage()
        )
