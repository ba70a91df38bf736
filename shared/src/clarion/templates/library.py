"""Every file of the templates folder, compiled in memory and linked to those that it refers to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from types import TracebackType

from mako.exceptions import CompileException, SyntaxException, TopLevelLookupException
from mako.runtime import Context
from mako.template import ModuleInfo, Template

from clarion.errors import TemplateInvalid
from clarion.templates.escaping import Unprintable, kind_of
from clarion.templates.lookups import Lookups, lookups_of
from clarion.templates.refusals import NotDerivable

_SAYS_NO_VALUE = (ArithmeticError, AttributeError, IndexError, NameError, TypeError, Unprintable)
"""Errors whose text names code and types only; that of others may quote what was in the payload."""


@dataclass(frozen=True, slots=True)
class Variables:
    """What a file and all that it refers to ask of the payload."""

    required: frozenset[str]
    optional: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: Template
    code: str
    lookups: Lookups


class Library:
    """Compiled files by name; it is also what Mako resolves `<%inherit>` and `<%include>` with.

    Only files that were read at start can be named, so no path leads out of the folder. Nothing
    is changed after the start: threads may share it.
    """

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources
        self._compiled: dict[str, _Compiled] = {}
        for name, source in sources.items():
            self._compiled[name] = self._compile(name, source)
        self._variables = {name: self._link(name) for name in sources}

    def variables(self, name: str) -> Variables:
        """Return what the payload must and may hold for this file."""
        return self._variables[name]

    def render(self, name: str, payload: dict[str, object]) -> str:
        """Return the text that the file makes of a payload, in which null counts as absent.

        Raises `TemplateInvalid` with file, line and cause, but no value of the payload.
        """
        variables = self._variables[name]
        # only what the file asks for: Mako takes offence at keys such as `context`
        data = {
            key: payload[key]
            for wanted in (variables.required, variables.optional)
            for key in wanted
            if payload.get(key) is not None
        }
        if missing := variables.required - data.keys():
            raise TemplateInvalid(f"{name}: the payload lacks {', '.join(sorted(missing))}")
        try:
            written = StringIO()
            context = Context(written, **data)
            self._compiled[name].template.render_context(context, **data)
            _take_apart(context)
            return written.getvalue()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a template runs any code
            # not chained: the text of the cause may quote the payload
            raise TemplateInvalid(self._say(name, error)) from None

    def get_template(self, uri: str, relativeto: str | None = None) -> Template:
        """Return a compiled file to Mako."""
        try:
            return self._compiled[self._name(uri, relativeto or "/")].template
        except KeyError:
            raise TopLevelLookupException(f"there is no file {uri!r}") from None

    def adjust_uri(self, uri: str, relativeto: str) -> str:
        """Return the name from the folder's root of a file that another file names."""
        return "/" + self._name(uri, relativeto)

    @staticmethod
    @lru_cache(maxsize=1024)  # asked by each rendering for each file that it refers to
    def _name(uri: str, relativeto: str) -> str:
        folder = posixpath.dirname(relativeto)
        return posixpath.normpath(posixpath.join("/", folder, uri)).lstrip("/")

    def _compile(self, name: str, source: str) -> _Compiled:
        kind = kind_of(name)
        try:
            template = Template(  # noqa: S702  the default filter escapes
                text=source,
                uri=f"/{name}",
                filename=name,
                lookup=self,
                strict_undefined=True,
                default_filters=[kind.filter_name],
                imports=[kind.filter_import],
            )
        except (CompileException, SyntaxException) as error:
            text = str(error).partition(" in file ")[0]
            raise TemplateInvalid(f"{name}:{error.lineno}: {text}") from error
        except (Exception, SystemExit) as error:
            raise TemplateInvalid(f"{name}: {type(error).__name__}: {error}") from error
        code = template.code
        try:
            return _Compiled(template, code, lookups_of(code))
        except NotDerivable as error:
            raise TemplateInvalid(f"{name}:{_line(code, error.line)}: {error}") from error

    def _link(self, name: str) -> Variables:
        """Add up what the file and those that it refers to ask for."""
        first = self._compiled[name].lookups
        required = set(first.required | first.page_args)
        optional = set(first.optional)
        for other, given in self._reached(name):
            lookups = self._compiled[other].lookups
            required |= lookups.required | (lookups.page_args - given)
            optional |= lookups.optional
        return Variables(frozenset(required), frozenset(optional - required))

    def _reached(self, name: str) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield each file that this one refers to, however far, with the arguments it is given."""
        seen = {name}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            compiled = self._compiled[current]
            for reference in compiled.lookups.references:
                other = self._name(reference.uri, current)
                where = f"{current}:{_line(compiled.code, reference.line)}"
                self._check_reference(where, name, other)
                yield other, reference.given
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)

    def _check_reference(self, where: str, name: str, other: str) -> None:
        if other not in self._compiled:
            raise TemplateInvalid(f"{where}: there is no file {other} in the templates folder")
        if kind_of(other) is not kind_of(name):
            raise TemplateInvalid(
                f"{where}: {other} is escaped as {kind_of(other)} and cannot be used in"
                f" {kind_of(name)}; a file's kind is told by its name"
            )

    def _say(self, name: str, error: BaseException) -> str:
        name, line = self._locate(error.__traceback__) or (name, 1)
        text = type(error).__name__
        if isinstance(error, _SAYS_NO_VALUE):
            text += f": {error}"
        source = self._sources[name].splitlines()[line - 1 : line]
        return f"{name}:{line}: {text}" + "".join(f" in `{part.strip()}`" for part in source)

    def _locate(self, traceback: TracebackType | None) -> tuple[str, int] | None:
        found = None
        while traceback:
            name = str(traceback.tb_frame.f_globals.get("_template_uri", "")).lstrip("/")
            if name in self._compiled:
                found = name, _line(self._compiled[name].code, traceback.tb_lineno)
            traceback = traceback.tb_next
        return found


def _take_apart(context: Context) -> None:
    """Let go at once of what a rendering was made with.

    Mako's contexts and namespaces refer to each other in circles. To find those 50 objects of each
    email was what the garbage collector did most, and their memory was cold when it was used again.
    """
    used = [context, *context.namespaces.values()]
    namespace = context["self"]
    while namespace is not None:
        used.append(namespace)
        namespace = namespace.inherits
    for each in used:
        vars(each).clear()


def _line(code: str, generated: int) -> int:
    """Return the line of the template that a line of its generated code came from."""
    lines = ModuleInfo.get_module_source_metadata(code, full_line_map=True)["full_line_map"]
    return max(1, int(lines[generated - 1]))
