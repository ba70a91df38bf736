"""The templates folder as it is on disk: read once, so that no request ever touches a file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from clarion.errors import SettingsError, TemplateInvalid
from clarion.templates.parts import PartFile, lacking, parse_name
from clarion.templates.policy import FILE as POLICY_FILE
from clarion.templates.policy import TemplatePolicy, parse_policy

_TEMPLATE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # as `clarion.event` takes it


@dataclass(frozen=True, slots=True)
class Folder:
    """Every part, the source of every file (shared ones too) by its path below the root, and the
    policies of those templates that have one."""

    parts: tuple[PartFile, ...]
    sources: dict[str, str]
    policies: dict[str, TemplatePolicy]


def read_folder(root: Path) -> Folder:
    """Return what the templates folder holds.

    Names that begin with a dot are passed over; a folder whose name begins with `_` holds files
    that others inherit or include. Raises `SettingsError` if the root cannot be used, and
    `TemplateInvalid` naming the file if one cannot.
    """
    parts: list[PartFile] = []
    sources: dict[str, str] = {}
    policies: dict[str, TemplatePolicy] = {}
    try:
        home = os.path.realpath(root, strict=True)
        for folder in _entries(root):
            files = _files(folder, home)
            if not folder.name.startswith("_"):
                said = [file for file in files if file.name == POLICY_FILE]
                files = [file for file in files if file.name != POLICY_FILE]
                for file in said:
                    text = _read(file, home)
                    policies[folder.name] = parse_policy(f"{folder.name}/{file.name}", text)
            sources |= {f"{folder.name}/{file.name}": _read(file, home) for file in files}
            if not folder.name.startswith("_"):
                found = [parse_name(folder.name, file.name) for file in files]
                _check_set(folder.name, found)
                parts += found
    except OSError as error:
        raise SettingsError(
            f"TEMPLATES_DIR: cannot read {error.filename or root}: {error.strerror}"
        ) from error
    if not parts:
        raise SettingsError(f"TEMPLATES_DIR: there is no template in {root}")
    return Folder(tuple(parts), sources, policies)


def _entries(folder: Path) -> list[Path]:
    # hidden names: editors' leavings, and the `..data` of a Kubernetes volume
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _files(folder: Path, home: str) -> list[Path]:
    _check_inside(folder, folder.name, home)
    if not folder.is_dir():
        raise TemplateInvalid(
            f"{folder.name}: a file beside the templates; each template is a folder"
        )
    if not folder.name.startswith("_") and not _TEMPLATE_ID.fullmatch(folder.name):
        raise TemplateInvalid(
            f"{folder.name}: not a template's name; use up to 64 of a-z, 0-9, - and _, and begin"
            " with a letter or digit"
        )
    return _entries(folder)


def _read(file: Path, home: str) -> str:
    name = f"{file.parent.name}/{file.name}"
    _check_inside(file, name, home)
    if not file.is_file():
        raise TemplateInvalid(f"{name}: not a file; a template's folder holds files only")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateInvalid(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from (
            error
        )
    text = text.replace("\r\n", "\n")
    # one newline ends every file, so that the one cut after rendering is never a value's own
    return text if text.endswith("\n") else text + "\n"


def _check_inside(path: Path, name: str, home: str) -> None:
    try:
        target = os.path.realpath(path, strict=True)
    except OSError as error:  # a link to nowhere, or in a circle
        raise TemplateInvalid(f"{name}: cannot be followed: {error.strerror}") from error
    if os.path.commonpath([home, target]) != home:
        raise TemplateInvalid(f"{name}: a link that leads out of the templates folder")


def _check_set(template_id: str, found: list[PartFile]) -> None:
    if not found:
        raise TemplateInvalid(f"{template_id}: the folder is empty; add a part or remove it")
    seen: dict[tuple[str, str, str], str] = {}
    for file in found:
        key = (file.channel, file.part, file.locale.lower())
        if key in seen:
            raise TemplateInvalid(f"{file.name}: the same part and locale as {seen[key]}")
        seen[key] = file.name
    for file in found:
        if (file.channel, file.part, "") not in seen:
            raise TemplateInvalid(
                f"{file.name}: there is no {file.channel}.{file.part}.mako beside it for the"
                " locales that have none of their own"
            )
    for channel in {file.channel: None for file in found}:
        needed = lacking(channel, {file.part for file in found if file.channel == channel})
        if needed:
            raise TemplateInvalid(f"{template_id}: {channel} is not complete without {needed}")
