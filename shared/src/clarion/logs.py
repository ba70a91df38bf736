"""JSON log lines of one shape, with addresses, numbers and tokens masked."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record


def configure(service: str, level: str = "INFO", stream: TextIO = sys.stdout) -> None:
    """Send every log line of this process to `stream` as JSON: timestamp, level, message, context.

    Lines of libraries that use the standard `logging` go the same way, from WARNING on.
    """
    logger.remove()
    logger.configure(extra={"service": service})

    def write(message: Message) -> None:
        stream.write(_line(message.record) + "\n")
        stream.flush()

    logger.add(write, level=level, format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
    # one error a second for as long as the broker is away; health and our own lines say it once
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)


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


def _line(record: Record) -> str:
    context: dict[str, object] = dict(record["extra"])
    if record["exception"] is not None:
        error = record["exception"]
        context["error"] = f"{error.type.__name__ if error.type else 'error'}: {error.value}"
        context["traceback"] = _traceback(record)
    return json.dumps(
        {
            "timestamp": record["time"].isoformat(timespec="milliseconds"),
            "level": record["level"].name.lower(),
            "message": record["message"],
            "context": context,
        },
        default=str,
    )


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
