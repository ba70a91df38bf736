"""What a rendered part must be, beyond text, before a channel may use it."""

from __future__ import annotations

import json
import re

from clarion.errors import TemplateInvalid
from clarion.templates.parts import HEADER_PARTS, PartFile

_CONTENT_SID = re.compile(r"HX[0-9a-fA-F]{32}")  # Twilio: a Content template's SID


def has_line_break(value: str) -> bool:
    """Tell whether anything would read the value as two lines: all that `str.splitlines` splits."""
    return len(f"{value}.".splitlines()) > 1


def finish(file: PartFile, text: str) -> str:
    """Return the part as it is sent: without its file's last newline, and checked.

    Raises `TemplateInvalid` for a line break in a subject and for JSON that is not of the part's
    shape.
    """
    text = text.removesuffix("\n")
    if (file.channel, file.part) in HEADER_PARTS and has_line_break(text):
        raise TemplateInvalid(f"{file.name}: the {file.part} has a line break in it")
    if file.part == "data.json":
        _check_string_map(file, "the data", _object(file, text))
    if file.part == "content.json":
        _check_content(file, _object(file, text))
    return text


def _object(file: PartFile, text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        # json's own text says where, never what: the message of JSONDecodeError has no excerpt
        raise TemplateInvalid(f"{file.name}: what it renders is not JSON: {error}") from None
    except RecursionError:
        raise TemplateInvalid(f"{file.name}: what it renders is nested too deeply") from None
    if not isinstance(value, dict):
        raise TemplateInvalid(f"{file.name}: what it renders is not a JSON object")
    return value


def _check_string_map(file: PartFile, what: str, value: object) -> None:
    # FCM's `data` is map<string, string>; Twilio's ContentVariables has the same shape
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TemplateInvalid(
            f'{file.name}: {what} must be an object of strings: "{{"key": "text"}}'
        )


def _check_content(file: PartFile, content: dict[str, object]) -> None:
    if not content.keys() <= {"content_sid", "content_variables"}:
        raise TemplateInvalid(f"{file.name}: only content_sid and content_variables are known here")
    sid = content.get("content_sid")
    if not isinstance(sid, str) or not _CONTENT_SID.fullmatch(sid):
        raise TemplateInvalid(f"{file.name}: content_sid must be HX and 32 hexadecimal digits")
    _check_string_map(file, "content_variables", content.get("content_variables", {}))
