"""Source of a class from a notebook cell or a script, with what it needs of the code around it."""

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from numerai_ray.errors import RequestError

PLAIN = (int, float, complex, str, bytes, bool, type(None))
HEAD = '"""Model {name}, as it was written in a notebook or script; saved with the experiment that uses it."""\n'


@dataclass(frozen=True)
class SourceText:
    """A module's text that defines the class ``name`` and all that it needs."""

    name: str
    text: str


@dataclass
class _Gathered:
    """Imports, constants and definitions, each once; definitions in the order in which they are needed."""

    imports: dict[str, None] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def source_text(kind: type) -> SourceText:
    """The text of a module that defines ``kind`` alone.

    Imports, plain constants, functions and classes that the class names are taken over from where it was written.

    Raises:
        RequestError: its source cannot be had, or it names something that no text can stand for; says which, and
            what to do.

    """
    gathered = _Gathered()
    around = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    _define(kind.__name__, kind, around, gathered)
    if gathered.missing:
        listed = "; ".join(f"{name} ({why})" for name, why in gathered.missing.items())
        raise RequestError(
            f"{kind.__name__} needs what cannot travel with it: {listed}; make it inside the class, give it as a "
            f"parameter of plain values, or write it into an installed module"
        )
    parts = [
        HEAD.format(name=kind.__name__),
        *(["\n".join(sorted(gathered.imports))] if gathered.imports else []),
        *(["\n".join(f"{name} = {value}" for name, value in gathered.constants.items())] if gathered.constants else []),
        *gathered.definitions.values(),
    ]
    return SourceText(kind.__name__, "\n".join(part.rstrip() + "\n" for part in parts))


def _define(name: str, what: Any, around: dict[str, Any], gathered: _Gathered) -> None:
    """Take over the text of a class or function, after all that it needs."""
    gathered.definitions[name] = ""  # begun: a class may name itself
    text = _text_of(what)
    for needed in sorted(_free_names(ast.parse(text))):
        if needed in gathered.definitions or hasattr(builtins, needed):
            continue
        if needed not in around:
            gathered.missing[needed] = "is defined nowhere around it"
        else:
            _take(needed, around[needed], around, gathered)
    del gathered.definitions[name]
    gathered.definitions[name] = text


def _take(name: str, value: Any, around: dict[str, Any], gathered: _Gathered) -> None:
    home = getattr(value, "__module__", None)
    if isinstance(value, ModuleType):
        plain = value.__name__ == name
        gathered.imports[f"import {name}" if plain else f"import {value.__name__} as {name}"] = None
    elif isinstance(value, type | FunctionType) and home == around.get("__name__"):
        _define(name, value, around, gathered)
    elif home not in (None, "__main__") and getattr(sys.modules.get(str(home)), _name_of(value), None) is value:
        own = _name_of(value)
        gathered.imports[f"from {home} import {own}" + ("" if own == name else f" as {name}")] = None
    elif _is_plain(value):
        gathered.constants[name] = repr(value)
    else:
        gathered.missing[name] = f"a {type(value).__name__}"


def _name_of(value: Any) -> str:
    return str(getattr(value, "__name__", ""))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    return type(value) in PLAIN


def _text_of(what: Any) -> str:
    """The text of a class or function; that of a class in a notebook's cell is found by its methods."""
    name = what.__name__
    codes = [what.__code__] if isinstance(what, FunctionType) else [*_codes(what)]
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:  # a cell with magics of IPython: the definition itself may still be read
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name != name:
                continue
            if _first_line(node) <= code.co_firstlineno <= (node.end_lineno or 0):
                return textwrap.dedent("".join(lines[_first_line(node) - 1 : node.end_lineno]))
    try:
        return textwrap.dedent(inspect.getsource(what))
    except (OSError, TypeError):
        rule = "its source cannot be had, and what a fit is depends on it"
        raise RequestError(f"{name}: {rule}; write the class in a notebook's cell, a script or a module") from None


def _codes(kind: type) -> list[Any]:
    members = [getattr(each, "__func__", getattr(each, "fget", each)) for each in vars(kind).values()]
    found = [each.__code__ for each in members if isinstance(each, FunctionType)]
    # Methods that a decorator made (a dataclass's, say) are written elsewhere.
    return [code for code in found if not code.co_filename.startswith("<string>")]


def _first_line(node: Any) -> int:
    return int(min([node.lineno, *(each.lineno for each in node.decorator_list)]))


def _free_names(tree: ast.Module) -> set[str]:
    """Names that the text reads and does not bind itself, as Python's own symbol tables tell."""
    found: set[str] = set()

    def visit(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            at_top = table.get_type() == "module"
            if symbol.is_referenced() and (symbol.is_global() or (at_top and not symbol.is_assigned())):
                found.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    text = ast.unparse(tree)
    visit(symtable.symtable(text, "<model>", "exec"))
    bound = {each.name for each in tree.body if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    return found - bound - {"__class__", "__name__", "__module__", "__qualname__"}
