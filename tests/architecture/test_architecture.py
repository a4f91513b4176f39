"""Rules of the house that no linter knows: lengths, names, one writer to the terminal, one reader of JSON, figures."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import house
import pytest
from places import PACKAGE, ROOT

BANNED = {"utils", "helpers", "common", "core", "misc", "manager"}
# The writer itself, and what runs in Numerai's container, where it is not.
WRITERS = {"progress.terminal", "submission.container.inside.runner", "submission.container.inside.pack"}
# The reader itself, that of users' files, and those of a library's or our own words where the reader is not at hand.
READERS = {
    "system.json_text",
    "config.yaml_files",
    "cli.commands.schema",
    "models.xgboost",
    "runners.ray.monitoring",
    "submission.container.inside.runner",
    "submission.numerai.mcp",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name below the package; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def called(path: Path) -> set[str]:
    """What a file calls, as it is written there: ``print``, ``json.loads``, ``typer.echo``."""
    return {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}


def imported(path: Path) -> set[str]:
    froms = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if node.level], f"{path}: a relative import"
    return {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


def says(path: Path, *words: str) -> bool:
    """Whether a file needs to be taken apart at all, which takes a hundred times as long."""
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in words)


def writes(path: Path) -> bool:
    if not says(path, "print", "echo", "Console", "from ."):
        return False
    prints = {call for call in called(path) if call == "print" or call.endswith((".echo", ".secho"))}
    return bool(prints) or "rich.console.Console" in imported(path)


def reads_json(path: Path) -> bool:
    """What was written on the same line may be read by anybody."""
    if not says(path, "json.load"):
        return False
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    read = [node.args[0] for node in calls if ast.unparse(node.func) in ("json.loads", "json.load")]
    return any(not ast.unparse(each).startswith(("to_json(", "json.dumps(")) for each in read)


@pytest.mark.parametrize("path", [*modules(), *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: p.name)
def test_no_file_over_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_names_say_something() -> None:
    assert not [path for path in modules() if set(name_of(path).split(".")) & BANNED]


def test_one_place_writes_to_the_terminal() -> None:
    """What is printed past ``progress.terminal`` may hold whatever somebody put into a file's name."""
    assert {name_of(path) for path in modules() if writes(path)} <= WRITERS


def test_json_of_others_is_read_in_one_place() -> None:
    """Python's own reader answers deep nesting with a RecursionError, which is no ValueError."""
    assert {name_of(path) for path in modules() if reads_json(path)} <= READERS


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("print('x')", writes),
        ("typer.echo('x')", writes),
        ("from rich.console import Console", writes),
        ("def f(): return json.loads('{}')", reads_json),
        ("json.loads(text)", reads_json),
    ],
)
def test_the_rules_see(tmp_path: Path, line: str, rule: object) -> None:
    assert callable(rule)
    (tmp_path / "planted.py").write_text(f"{line}\n")
    (tmp_path / "quiet.py").write_text("from rich.table import Table\nsay('x')\njson.loads(to_json({}))\n")
    assert rule(tmp_path / "planted.py")
    assert not rule(tmp_path / "quiet.py")


def test_the_figures_of_the_house(capsys: pytest.CaptureFixture[str]) -> None:
    """Few arrows between packages, none both ways; the command prints them."""
    house.main()
    said = capsys.readouterr().out
    (arrows,) = re.findall(r"^arrows between packages: (\d+)$", said, re.MULTILINE)
    assert 50 < int(arrows) <= 108
    assert "rings: none\n" in said
    assert f"modules: {len(modules())}," in said
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules())
    assert f"lines: {lines:,}\n" in said


def test_a_cycle_is_found() -> None:
    assert house.cycle({("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")}) == ["a", "b", "c", "a"]
    assert not house.cycle({("a", "b"), ("b", "c"), ("a", "c")})


@pytest.mark.slow
def test_every_module_is_imported() -> None:
    """What only Ray's workers or a container import would fail there first."""
    names = [f"numerai_ray.{name}" for name in map(name_of, modules()) if name not in ("__init__", "__main__")]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", code, *names], check=True, timeout=300)
