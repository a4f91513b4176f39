"""Source of a class from a notebook cell or a script, with what it needs of the code around it."""

import ast
import builtins
import importlib.util
import inspect
import linecache
import math
import symtable
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
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
    _define(kind.__name__, kind, {**around, **_enclosed(kind)}, gathered)
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


def is_installed(module: str) -> bool:
    """Whether workers have the module too: Python's own, a package, or a file that was installed."""
    if module in ("__main__", builtins.__name__):
        return False
    if module.partition(".")[0] in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a module that was made and not imported has no spec
        return False
    if spec is None or spec.origin is None:
        return spec is not None and "." in module
    # A package's modules are no loose files of a folder; nor is what its __init__ stands for.
    loose = "." not in module and spec.submodule_search_locations is None
    return not loose or any(part in ("site-packages", "dist-packages") for part in Path(spec.origin).parts)


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
    home, own = getattr(value, "__module__", None), _name_of(value)
    if isinstance(value, ModuleType):
        if not is_installed(value.__name__):
            gathered.missing[name] = f"the module {value.__name__}, which is installed nowhere"
            return
        plain = value.__name__ == name
        gathered.imports[f"import {name}" if plain else f"import {value.__name__} as {name}"] = None
    elif isinstance(value, type | FunctionType) and home == around.get("__name__"):
        _take_definition(name, value, around, gathered)
    elif home not in (None, "__main__") and getattr(sys.modules.get(str(home)), own, None) is value:
        if not is_installed(str(home)):
            gathered.missing[name] = f"of the module {home}, which is installed nowhere"
            return
        gathered.imports[f"from {home} import {own}" + ("" if own == name else f" as {name}")] = None
    elif _is_plain(value):
        gathered.constants[name] = _literal(value)
    else:
        gathered.missing[name] = f"a {type(value).__name__}"


def _take_definition(name: str, value: Any, around: dict[str, Any], gathered: _Gathered) -> None:
    """A class or function of the same notebook, under whatever name it is used."""
    own = _name_of(value)
    if own in (name, "<lambda>"):
        if name not in _bound(_parsed(_text_of(value))):
            kind = "function" if isinstance(value, FunctionType) else "class"
            gathered.missing[name] = f"a {kind} whose own text does not define it; write it with def"
            return
        _define(name, value, around, gathered)
    elif around.get(own) is value:
        if own not in gathered.definitions:
            _define(own, value, around, gathered)
        gathered.definitions[name] = f"{name} = {own}\n"
    else:
        gathered.missing[name] = f"another name of {own}, which is something else now"


def _name_of(value: Any) -> str:
    return str(getattr(value, "__name__", ""))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    return type(value) in PLAIN


def _literal(value: Any) -> str:
    """``value`` as Python reads it back: NaN and infinity have no literal of their own."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        inside = ", ".join(_literal(each) for each in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return repr(value)


def _enclosed(kind: type) -> dict[str, Any]:
    """What the methods of a class read of the function that it was written in."""
    found = {}
    for _, each in _functions(kind):
        for name, cell in zip(each.__code__.co_freevars, each.__closure__ or (), strict=True):
            with suppress(ValueError):  # it has no value yet
                found[name] = cell.cell_contents
    return {name: value for name, value in found.items() if name != "__class__"}


def _parsed(text: str) -> ast.Module:
    """The text as Python reads it; nothing where it is no text of its own."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module([], [])


def _bound(tree: ast.Module) -> set[str]:
    """Names that a text defines at its top."""
    found = {each.name for each in tree.body if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    for each in tree.body:
        if isinstance(each, ast.Assign):
            found |= {node.id for target in each.targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return found


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
                if isinstance(node, ast.ClassDef):
                    _check_unchanged(what, node, code.co_filename)
                return textwrap.dedent("".join(lines[_first_line(node) - 1 : node.end_lineno]))
    try:
        return textwrap.dedent(inspect.getsource(what))
    except (OSError, TypeError):
        rule = "its source cannot be had, and what a fit is depends on it"
        raise RequestError(f"{name}: {rule}; write the class in a notebook's cell, a script or a module") from None


def _check_unchanged(kind: type, node: ast.ClassDef, file: str) -> None:
    """Refuse a class into which a method was put after it was written: its text is another class."""
    if node.decorator_list:  # a dataclass, say: what made the others is in the text
        return
    written = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    for name, member in _functions(kind):
        code, own = inspect.unwrap(member).__code__, written.get(name)
        inside = code.co_filename == file and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
        if not inside and not (own is not None and own.decorator_list):
            rule = f"its method {name} is not the one of its source, and what a fit is depends on it"
            raise RequestError(f"{kind.__name__}: {rule}; write the method inside the class")


def _functions(kind: type) -> Iterator[tuple[str, FunctionType]]:
    for name, each in vars(kind).items():
        member = getattr(each, "__func__", getattr(each, "fget", each))
        if isinstance(member, FunctionType):
            yield name, member


def _codes(kind: type) -> list[Any]:
    codes = [inspect.unwrap(each).__code__ for _, each in _functions(kind)]
    # Methods that a decorator made (a dataclass's, say) are written elsewhere.
    return [each for each in codes if not each.co_filename.startswith("<string>")]


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
    return found - _bound(tree) - {"__class__", "__name__", "__module__", "__qualname__"}
