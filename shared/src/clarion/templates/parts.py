"""The parts that a channel's message is made of, and the file names that they have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clarion.errors import TemplateInvalid
from clarion.notification import Channel

PARTS: dict[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject", "html", "text"),
    Channel.WHATSAPP: ("text", "content.json"),
    Channel.PUSH: ("title", "body", "data.json"),
}

_ENOUGH: dict[Channel, tuple[frozenset[str], ...]] = {
    Channel.EMAIL: (frozenset({"subject", "html"}), frozenset({"subject", "text"})),
    Channel.WHATSAPP: (frozenset({"text"}), frozenset({"content.json"})),
    Channel.PUSH: (frozenset({"title", "body"}), frozenset({"data.json"})),
}
"""The sets of parts of which a channel needs one in whole."""

HEADER_PARTS = frozenset({(Channel.EMAIL, "subject")})
"""The parts that become a header, where a line break would start another one (RFC 5322, 2.2)."""

_SUFFIX = ".mako"
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # BCP 47, as in `clarion.event`


@dataclass(frozen=True, slots=True)
class PartFile:
    """One template file: a part of a channel, in one locale (`""` is the default)."""

    template_id: str
    channel: Channel
    part: str
    locale: str
    name: str
    """Its path below the templates folder: `welcome/email.subject.pt-BR.mako`."""


def parse_name(template_id: str, file_name: str) -> PartFile:
    """Return what the name of a file says; raise `TemplateInvalid` if it names no part."""
    name = f"{template_id}/{file_name}"
    if file_name.endswith(_SUFFIX):
        stem = file_name.removesuffix(_SUFFIX)
        for channel, parts in PARTS.items():
            for part in parts:
                head, _, locale = stem.partition(f"{channel}.{part}")
                if head or not stem.startswith(f"{channel}.{part}"):
                    continue
                if not locale or (locale[0] == "." and _LOCALE.fullmatch(locale[1:])):
                    return PartFile(template_id, channel, part, locale[1:], name)
    raise TemplateInvalid(
        f"{name}: not the name of a part; the names are <part>{_SUFFIX} and"
        f" <part>.<locale>{_SUFFIX}, with a locale such as pt-BR, and the parts {_all_parts()}"
    )


def lacking(channel: Channel, parts: set[str]) -> str | None:
    """Return what the channel still needs beside these parts, in words, or nothing."""
    choices = _ENOUGH[channel]
    if any(choice <= parts for choice in choices):
        return None
    return " or ".join(
        " and ".join(f"{channel}.{part}" for part in PARTS[channel] if part in choice)
        for choice in choices
    )


def locale_chain(locale: str | None) -> list[str]:
    """Return the locales to look under, the best first: `pt-BR`, `pt`, the default (RFC 4647, 3.4).

    They are in lower case, as tags compare without regard to it.
    """
    tags = locale.lower().split("-") if locale else []
    return ["-".join(tags[:length]) for length in range(len(tags), -1, -1)]


def _all_parts() -> str:
    return ", ".join(f"{channel}.{part}" for channel, parts in PARTS.items() for part in parts)
