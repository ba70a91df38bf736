"""What happens to each value on its way into a part, unless the template opts out with `| n`."""

from __future__ import annotations

import json
import re
from enum import StrEnum

from mako.filters import html_escape


class Kind(StrEnum):
    """What a file is made of, told by its name; it decides the escaping."""

    HTML = "html"
    JSON = "json"
    TEXT = "text"

    @property
    def filter_name(self) -> str:
        """The function below that is this kind's, by a name no variable has."""
        return f"clarion_{self}"

    @property
    def filter_import(self) -> str:
        """The statement that brings the function into a compiled template."""
        return f"from clarion.templates.escaping import to_{self} as {self.filter_name}"


def kind_of(name: str) -> Kind:
    """Return the kind of a file: `html` or `json` if its name has that word between dots."""
    words = name.rpartition("/")[2].split(".")
    return next((kind for kind in (Kind.HTML, Kind.JSON) if kind in words), Kind.TEXT)


_SPECIAL = re.compile("[&<>\"']")


class Unprintable(Exception):
    """A value that would print as Python, not as text."""


def to_text(value: object) -> str:
    """Return the value as text; raise `Unprintable` for null, a list, an object or a function."""
    if isinstance(value, str):
        return value
    if value is None:
        raise Unprintable("the value is null")
    if callable(value) or isinstance(value, (list, dict, tuple, set)):
        raise Unprintable(f"a {type(value).__name__} is not text; write out what is in it")
    return str(value)


def to_html(value: object) -> str:
    """Return the value as text in which `& < > " '` are HTML entities."""
    # most values hold nothing to escape, and making Markup of one takes longer than to see that
    if type(value) is str and _SPECIAL.search(value) is None:
        return value
    # keeps what is marked as escaped already, so that `| h` beside it does no harm
    escaped: str = html_escape(to_text(value))
    return escaped


def to_json(value: object) -> str:
    """Return the value as it stands between the quotes of a JSON string (RFC 8259, 7)."""
    return json.dumps(to_text(value), ensure_ascii=False)[1:-1]
