"""The template repository: what there is, what it needs, and what it makes of a notification."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from clarion.errors import FieldProblem, TemplateNotFound
from clarion.notification import Channel, Notification, OnDoubt
from clarion.templates.folder import read_folder
from clarion.templates.library import Library
from clarion.templates.parts import HEADER_PARTS, PARTS, PartFile, locale_chain
from clarion.templates.policy import TemplatePolicy
from clarion.templates.rendered import finish, has_line_break


@dataclass(frozen=True, slots=True)
class TemplateDescription:
    """What a template consists of; variables are of all its locales together, sorted."""

    template_id: str
    channels: dict[Channel, dict[str, list[str]]]
    """By channel and part, the payload keys that must be there."""
    optional: dict[Channel, dict[str, list[str]]]
    """By channel and part, the payload keys that may be there."""
    locales: list[str]
    """The locales that some part has beside the default, as their files spell them."""


_NO_POLICY = TemplatePolicy()

_Parts = dict[str, dict[str, PartFile]]
"""By part and lower-case locale."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The files that render a notification. `required` has by name the parts that need it;
    `headers` the names that come into a header, and its part."""

    files: tuple[PartFile, ...]
    required: dict[str, list[str]]
    headers: list[tuple[str, str]]


class TemplateRepository:
    """The templates of one folder, read and compiled once.

    Raises `SettingsError` naming TEMPLATES_DIR if the folder cannot be used, and `TemplateInvalid`
    naming file and line if a template cannot.
    """

    def __init__(self, root: Path) -> None:
        folder = read_folder(root)
        self._library = Library(folder.sources)
        self._policies = folder.policies
        self._templates: dict[str, dict[Channel, _Parts]] = {}
        # locales are the caller's words, so only some are kept
        self._choose = lru_cache(maxsize=1024)(self._find)
        for file in folder.parts:
            channels = self._templates.setdefault(file.template_id, {})
            parts = channels.setdefault(file.channel, {})
            parts.setdefault(file.part, {})[file.locale.lower()] = file

    def names(self) -> list[str]:
        """Return the ids of all templates, sorted."""
        return sorted(self._templates)

    def describe(self, template_id: str) -> TemplateDescription:
        """Return what a template consists of; raise `TemplateNotFound` if there is none."""
        if template_id not in self._templates:
            raise TemplateNotFound(self._unknown(template_id))
        channels = self._templates[template_id]
        required: dict[Channel, dict[str, list[str]]] = {}
        optional: dict[Channel, dict[str, list[str]]] = {}
        locales: set[str] = set()
        for channel in (channel for channel in Channel if channel in channels):
            required[channel], optional[channel] = {}, {}
            for part in (part for part in PARTS[channel] if part in channels[channel]):
                files = channels[channel][part].values()
                needs = [self._library.variables(file.name) for file in files]
                must = {name for need in needs for name in need.required}
                may = {name for need in needs for name in need.optional} - must
                required[channel][part], optional[channel][part] = sorted(must), sorted(may)
                locales |= {file.locale for file in files if file.locale}
        return TemplateDescription(template_id, required, optional, sorted(locales))

    def policy(self, template_id: str) -> TemplatePolicy:
        """Return what a template says of its notifications beside their text."""
        return self._policies.get(template_id, _NO_POLICY)

    def on_doubt(self, template_id: str, default: OnDoubt) -> OnDoubt:
        """Return what follows a doubt where an event leaves it open: its template's word, or the
        default."""
        return self.policy(template_id).on_doubt or default

    def check(self, notification: Notification) -> list[FieldProblem]:
        """Return what keeps a notification from being rendered, as far as it shows beforehand."""
        channels = self._templates.get(notification.template_id)
        if channels is None:
            return [FieldProblem("template_id", self._unknown(notification.template_id))]
        if notification.channel not in channels:
            return [FieldProblem("channel", self._no_channel(notification))]
        choice = self._choose(notification.template_id, notification.channel, notification.locale)
        return [*_missing(choice, notification), *_broken_headers(choice, notification)]

    def render(self, notification: Notification) -> dict[str, str]:
        """Return the text of each part of the notification's channel, in its locale or nearest.

        Raises `TemplateNotFound` if there is no such template or it lacks the channel, and
        `TemplateInvalid` if it cannot be rendered with this payload.
        """
        channels = self._templates.get(notification.template_id)
        if channels is None:
            raise TemplateNotFound(self._unknown(notification.template_id))
        if notification.channel not in channels:
            raise TemplateNotFound(self._no_channel(notification))
        return {
            file.part: finish(file, self._library.render(file.name, notification.payload))
            for file in self._choose(
                notification.template_id, notification.channel, notification.locale
            ).files
        }

    def _find(self, template_id: str, channel: Channel, locale: str | None) -> _Choice:
        """Return the file of each part in the nearest locale, and what they ask of a payload."""
        chain = locale_chain(locale)
        files = tuple(
            next(by_locale[tag] for tag in chain if tag in by_locale)
            for by_locale in self._templates[template_id][channel].values()
        )
        required: dict[str, list[str]] = {}
        headers: list[tuple[str, str]] = []
        for file in files:
            part = f"{file.channel}.{file.part}"
            variables = self._library.variables(file.name)
            for name in variables.required:
                required.setdefault(name, []).append(part)
            if (file.channel, file.part) in HEADER_PARTS:
                names = sorted(variables.required | variables.optional)
                headers += [(name, part) for name in names]
        return _Choice(files, dict(sorted(required.items())), headers)

    def _unknown(self, template_id: str) -> str:
        return f"there is no template {template_id!r}; there are {', '.join(self.names())}"

    def _no_channel(self, notification: Notification) -> str:
        channels = ", ".join(self._templates[notification.template_id])
        return (
            f"template {notification.template_id} has no parts for {notification.channel},"
            f" only for {channels}"
        )


def _missing(choice: _Choice, notification: Notification) -> list[FieldProblem]:
    return [
        FieldProblem(
            f"payload.{name}",
            f"missing: template {notification.template_id} needs it for {', '.join(parts)}",
        )
        for name, parts in choice.required.items()
        if notification.payload.get(name) is None
    ]


def _broken_headers(choice: _Choice, notification: Notification) -> list[FieldProblem]:
    return [
        FieldProblem(
            f"payload.{name}",
            f"has a line break, and template {notification.template_id} puts it in {part}",
        )
        for name, part in choice.headers
        if isinstance(value := notification.payload.get(name), str) and has_line_break(value)
    ]
