"""The import contracts of pyproject.toml: kept by the package, and each one broken by what it is there to catch."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from places import PACKAGE, ROOT, tool

CONTRACTS = {
    each["id"]: each
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
# contract -> a module, and the import that has no business in it
PLANTED = {
    "floors": [
        ("report/tables.py", "import numerai_ray.rounds.policy"),  # a sibling
        ("data/eras.py", "import numerai_ray.training.spec"),  # from above
    ],
    "cycles": [("config/ranges.py", "import numerai_ray.config.search_space")],
    "ray": [("rounds/scheduler.py", "def late():\n    import ray")],
    "rich": [("rounds/policy.py", "from rich.table import Table")],
    "oracle": [("metrics/scoring.py", "import numerai_tools.scoring")],
    "pure": [("metrics/exposure.py", "from pathlib import Path")],
    # The other homes of libraries: each is imported where nothing but an error has its home.
    **{
        name: [("errors.py", f"import {contract['protected_modules'][0]}")]
        for name, contract in CONTRACTS.items()
        if contract["type"] == "protected" and name not in ("ray", "rich")
    },
}


def lint(folder: Path) -> tuple[int, str]:
    """What ``lint-imports`` says of the package in a folder, and its exit code."""
    command = [tool("lint-imports"), "--no-cache", "--no-logo"]
    wide = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=wide, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def copy_to(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "docs"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder / PACKAGE.name


def broken(said: str) -> set[str]:
    names = {name for name, verdict in re.findall(r"^(.*?) (KEPT|BROKEN)\b", said, re.MULTILINE) if verdict == "BROKEN"}
    return {key for key, contract in CONTRACTS.items() if contract["name"] in names}


def test_the_package_keeps_them() -> None:
    code, said = lint(ROOT)
    assert code == 0, said
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in said


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy of the package in which everything is planted."""
    package = copy_to(tmp_path_factory.mktemp("planted"))
    for plants in PLANTED.values():
        for file, line in plants:
            with (package / file).open("a", encoding="utf-8") as module:
                module.write(f"\n{line}\n")
    code, text = lint(package.parent)
    assert code == 1
    assert broken(text) == set(CONTRACTS), "one is not kept by chance"
    return text


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_violation_is_caught(contract: str, said: str) -> None:
    told = said.split(f"\n{CONTRACTS[contract]['name']}\n---")[1].split("\n---", maxsplit=1)[0]
    for file, line in PLANTED[contract]:
        importer = Path(file).stem
        module = line.rpartition("\n")[2].split()[1]
        imported = module.rpartition(".")[2] if module.startswith("numerai_ray.") else module.partition(".")[0]
        found = re.search(rf"\.{importer} -> \S*{imported} \(", told)
        # Of a ring, the linter names the arrow whose removal is least work.
        assert found or (contract == "cycles" and re.search(rf"\.{imported} -> \S*{importer} \(", told))


def test_a_package_without_a_floor_is_caught(tmp_path: Path) -> None:
    package = copy_to(tmp_path)
    (package / "attic").mkdir()
    (package / "attic" / "__init__.py").write_text('"""A package that nobody placed."""\n')
    code, told = lint(tmp_path)
    assert (code, broken(told)) == (1, {"floors"})
    assert "attic" in told
