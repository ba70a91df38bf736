"""What a template may not do, although Mako takes it: it would print or fail at the send."""

from __future__ import annotations

import ast
import builtins

from clarion.templates.escaping import Kind

_FILTER_NAMES = frozenset(kind.filter_name for kind in Kind)
MAKO_NAMES = frozenset(
    {"UNDEFINED", "STOP_RENDERING", "caller", "capture", "context", "local", "loop", "next"}
    | {"pageargs", "parent", "self"}
)
"""Names that Mako itself gives a template."""

_ARGUMENTS = frozenset({"buffer", "callable_", "tmpl"})
"""Arguments of Mako's own functions, which are handed the payload's values by name beside them."""


class NotDerivable(Exception):
    """Something in a template whose variables cannot be told before it runs."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line  # of the generated code
        super().__init__(text)


def refuse_builtins(tree: ast.AST, names: set[str]) -> None:
    """Raise `NotDerivable` where a builtin is used otherwise than by calling or handing it on.

    `${type}` would print `<class 'type'>` for want of a variable, and `% if id == 7` be false.
    """
    suspects = {name for name in names - MAKO_NAMES if hasattr(builtins, name)}
    printed: set[int] = set()
    called: set[int] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        inner = {id(node) for item in arguments for node in (item, *getattr(item, "elts", ()))}
        called.add(id(call.func))
        (printed if _prints(call.func) else called).update(inner)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            continue
        as_variable = node.id in suspects and not _is_exception(node.id) and id(node) not in called
        if as_variable or (node.id in MAKO_NAMES and id(node) in printed):
            raise NotDerivable(node.lineno, name_taken(node.id))


def refuse_arguments(tree: ast.AST, variables: set[str]) -> None:
    """Raise `NotDerivable` for a variable that Mako could not be handed."""
    for name in sorted(variables & _ARGUMENTS):
        lines = (
            node.lineno
            for node in ast.walk(tree)
            if (isinstance(node, ast.Name) and node.id == name)
            or (isinstance(node, ast.arg) and node.arg == name)
            or (isinstance(node, ast.Constant) and node.value == name)
        )
        # Mako looks it up where its function begins: the last line is one where it is used
        raise NotDerivable(max(lines), name_taken(name))


def _prints(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and (
        function.id == "__M_writer" or function.id in _FILTER_NAMES
    )


def _is_exception(name: str) -> bool:
    value = getattr(builtins, name)
    return isinstance(value, type) and issubclass(value, BaseException)


def name_taken(name: str) -> str:
    """Return what to say of a name that cannot be a variable's."""
    return f"{name!r} has a meaning of its own in Python or Mako: give the variable another name"


def refuse_rebinding(function: ast.FunctionDef) -> None:
    """Raise `NotDerivable` for `<% name = name.upper() %>`.

    To Mako the name is then the template's own, so the payload's is never looked up and Python
    finds no value (UnboundLocalError).
    """
    statements = [
        node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AugAssign)
    ]
    bound = _bound_otherwise(function, statements)
    for statement in sorted(statements, key=lambda node: (node.lineno, node.col_offset)):
        stored = {node.id for target in _targets(statement) for node in _names(target, ast.Store)}
        read = {node.id for node in _names(statement.value, ast.Load)}
        read -= {node.id for node in _names(statement.value, ast.Store)}  # of a comprehension
        if isinstance(statement, ast.AugAssign):
            read |= stored
        for name in sorted((stored & read) - bound):
            raise NotDerivable(
                statement.lineno, f"{name!r} is assigned from itself: assign to another name"
            )
        bound |= stored


def _targets(statement: ast.Assign | ast.AugAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _bound_otherwise(
    function: ast.FunctionDef, statements: list[ast.Assign | ast.AugAssign]
) -> set[str]:
    """Return the names of arguments, loops, imports and all else that is not these statements."""
    assigned = {
        id(node)
        for statement in statements
        for target in _targets(statement)
        for node in _names(target, ast.Store)
    }
    bound = {node.id for node in _names(function, ast.Store) if id(node) not in assigned}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
    return bound


def _names(tree: ast.AST, context: type[ast.expr_context]) -> list[ast.Name]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    ]
