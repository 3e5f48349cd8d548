"""Typed parameters of a chapter: read from its source, and overridden with checks."""

import ast
import difflib
import json
import typing
from pathlib import Path

from medssl.book._percent import code_cells
from medssl.errors import UsageError

__all__ = ["Parameter", "override", "read"]

_PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "None": None}
_GENERIC = {"list": list, "dict": dict, "tuple": tuple, "Literal": typing.Literal}


class Parameter(typing.NamedTuple):
    """The declared type and the default value of one parameter."""

    type: typing.Any
    default: typing.Any


def read(source: str, name: str = "chapter") -> dict[str, Parameter]:
    """Read the parameters that a chapter declares.

    Parameters
    ----------
    source : str
        The chapter in percent format.
        The cell tagged ``parameters`` holds annotated assignments of literals.
    name : str
        What error messages call the chapter.

    Returns
    -------
    dict of str to Parameter
        In the order of the source; empty when no cell has the tag.

    Raises
    ------
    UsageError
        An assignment without annotation, a default that is no literal or not of its type,
        an annotation beyond int, float, str, bool, None, list, dict, tuple, Literal and unions.

    Examples
    --------
    >>> read('# %% tags=["parameters"]\\nlabel_counts: list[int] = [10, 20]')
    {'label_counts': Parameter(type=list[int], default=[10, 20])}
    """
    cells = [cell for cell in code_cells(source) if "parameters" in cell.tags]
    if len(cells) > 1:
        raise UsageError(f"{name}: {len(cells)} cells are tagged parameters; keep one")
    statements = ast.parse(cells[0].code).body if cells else []
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        found |= _declaration(statement, f"{name}, line {cells[0].line + statement.lineno - 1}")
    return found


def override(parameters: dict[str, Parameter], given: dict[str, typing.Any], name: str = "chapter") -> dict:
    """Check `given` against the declared parameters and return it with each value in its type.

    Parameters
    ----------
    parameters : dict of str to Parameter
        What `read` returned.
    given : dict
        Values by name; a string is parsed as JSON unless the parameter is a string itself.
    name : str
        What error messages call the chapter.

    Returns
    -------
    dict
        The given names only.

    Raises
    ------
    UsageError
        An unknown name (with the nearest one and the list of all) or a value of another type.

    Examples
    --------
    >>> override({"label_counts": Parameter(list[int], [10])}, {"label_counts": "[10, 40]"})
    {'label_counts': [10, 40]}
    """
    for key in given:
        if key not in parameters:
            raise UsageError(_unknown(key, parameters, name))
    return {key: _converted(key, value, parameters[key].type, name) for key, value in given.items()}


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Split ``NAME=VALUE`` texts of the command line; a repeated or nameless one is an error."""
    found = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip().isidentifier():
            raise UsageError(f"--parameter {assignment!r}: write NAME=VALUE, for instance epochs=20")
        if key.strip() in found:
            raise UsageError(f"--parameter {key.strip()} is given twice")
        found[key.strip()] = value
    return found


def read_file(path: Path, name: str) -> dict[str, Parameter]:
    """`read` for a file."""
    return read(path.read_text(encoding="utf-8"), name)


def type_name(annotation) -> str:
    """Write a type the way its annotation does."""
    if annotation in (None, type(None)):
        return "None"
    plain = isinstance(annotation, type) and not typing.get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")


def _declaration(statement: ast.stmt, where: str) -> dict[str, Parameter]:
    named = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    if not named or statement.value is None:
        written = ast.unparse(statement).splitlines()[0]
        raise UsageError(f"{where}: a parameter is written 'name: type = value', not '{written}'")
    key = statement.target.id
    annotation = _annotation(statement.annotation, where)
    try:
        default = ast.literal_eval(statement.value)
    except ValueError as error:
        raise UsageError(f"{where}: the default of {key} must be a literal") from error
    return {key: Parameter(annotation, _checked(key, default, annotation, where))}


def _annotation(node: ast.expr, where: str):
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name) and node.id in _PLAIN:
        return _PLAIN[node.id]
    if isinstance(node, ast.Name) and node.id in {"list", "dict", "tuple"}:
        return _GENERIC[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _annotation(node.left, where) | _annotation(node.right, where)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _GENERIC:
        return _GENERIC[node.value.id][_arguments(node, where)]
    raise UsageError(
        f"{where}: the type {ast.unparse(node)} is not known; "
        "use int, float, str, bool, None, list, dict, tuple, Literal or a union of these"
    )


def _arguments(node: ast.Subscript, where: str) -> tuple:
    elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if node.value.id == "Literal":
        return tuple(ast.literal_eval(element) for element in elements)
    dots = [isinstance(element, ast.Constant) and element.value is ... for element in elements]
    return tuple(... if dot else _annotation(each, where) for dot, each in zip(dots, elements, strict=True))


def _converted(key: str, value, annotation, name: str):
    if isinstance(value, str) and annotation is not str:
        value = _parsed(value, annotation)
    return _checked(key, value, annotation, name)


def _parsed(text: str, annotation):
    """JSON where the text is JSON; else the text itself, which the check then accepts or refuses."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _checked(key: str, value, annotation, where: str):
    from pydantic import TypeAdapter, ValidationError

    if typing.get_origin(annotation) is tuple and isinstance(value, list):
        value = tuple(value)
    try:
        return TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        raise UsageError(f"{where}: parameter {key} is {type_name(annotation)}, not {value!r}") from error


def _unknown(key: str, parameters: dict[str, Parameter], name: str) -> str:
    close = difflib.get_close_matches(key, parameters, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = "; ".join(f"{each}: {type_name(p.type)} = {p.default!r}" for each, p in parameters.items())
    return f"{name} has no parameter {key!r}.{hint} Its parameters are: {listed or 'none'}."
