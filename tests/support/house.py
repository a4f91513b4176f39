"""The house in figures: arrows between packages, rings of them, modules, lines, the longest functions.

Run as ``python tests/support/house.py``.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "numerai_ray"
LONGEST = 10


def modules() -> dict[str, ast.Module]:
    """Every module by its dotted name below the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def packages() -> set[str]:
    return {".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.rglob("__init__.py")}


def package_of(module: str, known: set[str]) -> str:
    """The package that a module lies in; one of the top level is its own."""
    while module and module not in known:
        if "." not in module:
            return module
        module = module.rpartition(".")[0]
    return module


def imports(tree: ast.Module, known: set[str]) -> set[str]:
    """Our own modules that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    below = {name.removeprefix("numerai_ray.") for name in names if name.startswith("numerai_ray.")} & known
    return {name for name in below if not any(other.startswith(f"{name}.") for other in below)}


def arrows(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports something of the second; a package's own parts count as it."""
    floors = packages()
    found = set()
    for name, tree in trees.items():
        here = package_of(name, floors).partition(".")[0]
        found |= {(here, package_of(other, floors).partition(".")[0]) for other in imports(tree, set(trees))}
    return {(a, b) for a, b in found if a and b and a != b}


def cycle(pairs: set[tuple[str, str]]) -> list[str]:
    """Packages that import each other in a ring, the first one again at its end; none when there is no ring."""
    below: dict[str, set[str]] = {}
    for a, b in pairs:
        below.setdefault(a, set()).add(b)
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        done.add(name)
        return next((ring for other in sorted(below.get(name, ())) if (ring := visit(other, [*trail, name]))), [])

    return next((ring for name in sorted(below) if (ring := visit(name, []))), [])


def longest_functions(trees: dict[str, ast.Module]) -> list[tuple[int, str]]:
    lengths = [
        ((node.end_lineno or 0) - node.lineno + 1, f"{name}.{node.name}")
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    return sorted(lengths, reverse=True)[:LONGEST]


def main() -> None:
    trees = modules()
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py"))
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    print(f"entries in numerai_ray/: {len(entries)}")
    print(f"modules: {len(trees)}, of them packages: {len(packages())}")
    print(f"lines: {lines:,}")
    found = arrows(trees)
    print(f"arrows between packages: {len(found)}")
    print(f"rings: {' > '.join(cycle(found)) or 'none'}")
    largest = sorted(PACKAGE.rglob("*.py"), key=lambda path: -len(path.read_text(encoding="utf-8").splitlines()))
    print("longest modules:")
    for path in largest[:LONGEST]:
        print(f"  {len(path.read_text(encoding='utf-8').splitlines()):4} lines  {path.relative_to(PACKAGE)}")
    print("longest functions:")
    for length, name in longest_functions(trees):
        print(f"  {length:4} lines  {name}")


if __name__ == "__main__":
    main()
