"""The quick loop: commands of AGENTS.md, the justfile and the pages exist, and say the same in each place."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from core_seconds import TIERS
from places import PAGES, ROOT, tool

AGENTS = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
CONTRIBUTING = (PAGES / "contributing.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTEST = PROJECT["tool"]["pytest"]["ini_options"]


def recipes() -> dict[str, str]:
    """What each recipe of the justfile runs; each is one line."""
    text = (ROOT / "justfile").read_text(encoding="utf-8")
    found = re.findall(r"^(\w+):\n((?:    .*\n?)+)", text, re.MULTILINE)
    assert all(body.count("\n    ") == 0 for _, body in found)
    return {name: body.strip() for name, body in found}


def shown(page: str) -> list[str]:
    return [line for block in re.findall(r"```bash\n(.*?)```", page, re.S) for line in block.splitlines()]


def parts(line: str) -> list[list[str]]:
    return [shlex.split(part) for part in line.split(" && ")]


@pytest.mark.parametrize("line", [*recipes().values(), *shown(AGENTS)])
def test_a_command_exists(line: str) -> None:
    for program, *arguments in parts(line):
        if program in ("source", "python3") or program.startswith(".venv/"):
            continue
        assert Path(tool(program)).is_absolute(), f"{program} is not installed beside Python"
        for argument in arguments:
            if "/" in argument:
                assert (ROOT / argument).exists(), argument


def test_recipes_are_commands_of_the_page() -> None:
    assert list(recipes()) == ["check", "quick", "test", "bench", "docs"]
    for name, line in recipes().items():
        assert line in shown(CONTRIBUTING), f"`just {name}` without just"
    for line in shown(AGENTS)[2:]:
        assert line in recipes().values()


def test_hooks_are_the_check() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == recipes()["check"].split(" && ")


def test_the_readme_runs_what_the_recipe_runs() -> None:
    """Its second command: every test but the long ones; some of them run the checks that it leaves out."""
    (command,) = [line for line in shown(README) if "'.[test]'" in line]
    plain = command.replace(".venv/bin/", "")
    assert plain.endswith(recipes()["test"])
    assert all(f"{check} && " in plain for check in ("ruff check", "mypy"))


def test_the_usual_run_is_the_quick_tier() -> None:
    markers = {line.split(":")[0] for line in PYTEST["markers"]}
    left_out = re.search(r"-m 'not \((.*?)\)'", PYTEST["addopts"])
    assert left_out
    assert set(left_out[1].split(" or ")) == {*TIERS} < markers
    for marker in markers:
        assert f"`{marker}`" in AGENTS


@pytest.mark.parametrize("page", ["AGENTS.md", "numerai_ray/docs/contributing.md"])
def test_paths_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`(?:python )?((?:numerai_ray|tests|cluster|experiments|search_spaces)/[\w./-]*)`", text)
    assert len(named) >= 5
    assert not [path for path in named if not (ROOT / path).exists()]
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / link).exists(), link


def named_runs() -> set[str]:
    """Every run of some files that a page names, from ``pytest`` on."""
    pages = [ROOT / "AGENTS.md", ROOT / "README.md", *PAGES.glob("*.md"), *(ROOT / "cluster").rglob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    return {run.strip() for text in texts for run in re.findall(r"`[^`\n]*?\b(pytest [^`\n]*tests/[^`\n]*)`", text)}


@pytest.mark.parametrize("run", sorted(named_runs()))
def test_a_run_that_a_page_names_has_tests(run: str) -> None:
    """Its paths are there, and hold a test of each tier that it asks for."""
    arguments = shlex.split(run)[1:]
    paths = [ROOT / each for each in arguments if each.startswith("tests/")]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("test_*.py")))]
    assert files
    assert all(path.exists() for path in paths)
    tiers = arguments[arguments.index("-m") + 1] if "-m" in arguments else ""
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for refused, name in re.findall(r"\b(not )?(?!not\b|or\b|and\b)(\w+)", tiers):
        assert refused or f"mark.{name}" in text
