"""The vendors' published contracts as an independent check of what reaches the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from clarion_sandbox.contract_sources import MESSAGE, SOURCES, Schema

MAX_TEXT = 300
_PHONE = re.compile(r"(whatsapp:)?\+[1-9]\d{6,14}")
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class ContractsMissing(Exception):
    """The contracts folder lacks a file; the message names it."""


class Contracts:
    """The contracts in a folder, compiled once."""

    def __init__(self, directory: Path) -> None:
        self._validators = {
            name: Draft202012Validator(_load(directory, name), format_checker=_formats())
            for name in SOURCES
        }

    def violations(self, provider: str, request: object) -> list[str]:
        """Return how a request breaks the contract of `sendgrid`, `twilio` or `fcm`.

        `request` is the JSON document, or for Twilio the form's fields as text, and as a list of
        texts where a field repeats. Each violation reads `path: what is wrong`.
        """
        errors = sorted(self._validators[provider].iter_errors(request), key=_path)
        return list(dict.fromkeys(violation for error in errors for violation in _say(error)))


def _load(directory: Path, name: str) -> Schema:
    source = SOURCES[name]
    path = directory / source.file
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ContractsMissing(
            f"CONTRACTS_DIR: {path} cannot be read ({error.strerror}); name the folder that holds "
            f"the vendors' contracts, or leave CONTRACTS_DIR empty for built-in checks only"
        ) from error
    return source.schema(document)


def _path(error: ValidationError, *more: str) -> str:
    return ".".join(map(str, (*error.absolute_path, *more))) or "request"


def _say(error: ValidationError) -> Iterator[str]:
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    given: Any = error.instance
    if error.validator == "required":
        for name in schema["required"]:
            if name not in given:
                yield f"{_path(error, name)}: is required"
    elif error.validator == "additionalProperties":
        for name in given:
            if name not in schema.get("properties", {}):
                yield f"{_path(error, name)}: is not a field of this API"
    else:
        yield f"{_path(error)}: {str(schema.get(MESSAGE, error.message))[:MAX_TEXT]}"


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    tests: dict[str, Callable[[Any], bool]] = {
        "email": lambda value: _EMAIL.fullmatch(value) is not None,
        "phone-number": lambda value: _PHONE.fullmatch(value) is not None,
        "uri": _is_url,
        "date-time": _is_time,
        "google-datetime": _is_time,
        "google-duration": lambda value: _DURATION.fullmatch(value) is not None,
    }
    for name, test in tests.items():
        checker.checks(name)(lambda value, test=test: not isinstance(value, str) or test(value))
    checker.checks("int32")(lambda value: not isinstance(value, int) or -(2**31) <= value < 2**31)
    return checker


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme and parts.hostname)


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
