"""Imports of a model's source: the libraries that its predictions need, those of its training aside.

A fit may use what Numerai's container does not have (PyTorch, say) and give what predicts with numpy alone: weights,
means and a forward pass. What is imported inside a function that predicting never calls is therefore not needed there.
"""

import ast
import sys
from collections.abc import Iterable, Iterator

# What is imported under another name than it is installed.
PACKAGES = {"sklearn": "scikit-learn"}
# Called where an object is made, which predicting does with those classes alone that it names, or where it is pickled.
_NOT_CALLED = ("__init__", "__new__", "__post_init__", "__getstate__", "__reduce__", "__reduce_ex__")
_MADE_BY = ("__init__", "__new__", "__post_init__")
_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def imported_to_predict(source: str) -> tuple[str, ...]:
    """Packages that the source needs to be run and to predict, by their names at the package index; Python's own aside.

    What a function calls is told by names alone, so that rather too much counts as called than too little.
    """
    tree = ast.parse(source)
    functions = [each for each in ast.walk(tree) if isinstance(each, Function)]
    classes = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    outside = list(_outside_functions(tree))
    called = {"predict"} | {each.name for each in functions if _is_called_by_python(each.name)} | _names(outside)
    while True:
        inside = [each for each in functions if each.name in called]
        more = _names(node for each in inside for node in ast.walk(each)) - called
        made = {name for name in (called | more) & classes.keys() for name in _makers(classes[name])}
        if not (more | made) - called:
            break
        called |= more | made
    found: set[str] = set()
    for node in [*outside, *(node for each in inside for node in ast.walk(each))]:
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else str(node.module).partition(".")[0])
    return tuple(sorted(PACKAGES.get(each, each) for each in found - sys.stdlib_module_names))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the source is run: everything but the bodies of functions, and imports that may fail."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, Function):
            for given in (*child.decorator_list, *child.args.defaults, *child.args.kw_defaults):
                yield from () if given is None else ast.walk(given)
        elif isinstance(child, ast.Try) and _may_fail(child):
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _outside_functions(part)
        else:
            yield from _outside_functions(child)


def _may_fail(node: ast.Try) -> bool:
    """Whether an import in it is allowed to fail."""
    caught = {each.id for handler in node.handlers for each in ast.walk(handler) if isinstance(each, ast.Name)}
    return any(handler.type is None for handler in node.handlers) or not caught.isdisjoint(_IMPORT_ERRORS)


def _is_called_by_python(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _NOT_CALLED


def _makers(kind: ast.ClassDef) -> set[str]:
    return {each.name for each in kind.body if isinstance(each, Function) and each.name in _MADE_BY}


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names and attributes that nodes read."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found
