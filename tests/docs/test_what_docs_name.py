"""Every command, flag, file and page that a page of the docs, a skill or the README names is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from places import PACKAGE, ROOT, TEXTS
from whole_program import app

from numerai_ray.experiment.paths import ExperimentPaths

OURS = ("numerai_ray/", "tests/", "cluster/", "experiments/baselines/", "experiments/quickstart/", "search_spaces/")
# What a command makes, and what a reader is to make.
MADE = {"experiments/quickstart/experiment.md"}


def commands() -> dict[str, Any]:
    """Every command by its words, groups by theirs."""
    found: dict[str, Any] = {}

    def walk(node: Any, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = node
        for name, each in getattr(node, "commands", {}).items():
            walk(each, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = commands()


def said(text: str) -> list[list[str]]:
    """Words after ``numerai-ray`` wherever a page shows a command: on lines of their own, and within sentences."""
    lines = [
        line for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.S) for line in block.splitlines()
    ]
    inline = re.findall(r"`([^`\n]*numerai-ray [^`\n]+)`", text)
    found = []
    for line in (*lines, *inline):
        words = shlex.split(line.replace("…", "X"), comments=True)
        while (at := next((at for at, each in enumerate(words) if each.endswith("numerai-ray")), None)) is not None:
            words = words[at + 1 :]
            end = next((at for at, each in enumerate(words) if each in ("&&", "|", ";")), len(words))
            if words[:end] and words[0] != "--":
                found.append(words[:end])
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_flag_is_there(name: str) -> None:
    for words in said(TEXTS[name]):
        if words[0].startswith("-") or not re.fullmatch(r"[a-z-]+", words[0]):
            continue  # `numerai-ray --version`, `numerai-ray COMMAND`
        two = " ".join(words[:2])
        command = COMMANDS.get(two) or COMMANDS.get(words[0])
        assert command is not None, words
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help"}
        given = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
        assert given <= flags, (words, given - flags)


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_of_this_repository_is_there(name: str) -> None:
    named = {each.rstrip(".") for each in re.findall(r"(?<![\w/.-])((?:[\w.*-]+/)+[\w.*-]*)", TEXTS[name])}
    missing = [each for each in named if each.startswith(OURS) and each not in MADE and not list(ROOT.glob(each))]
    assert not [each for each in missing if "NAME" not in each]


@pytest.mark.parametrize("name", TEXTS)
def test_every_page_that_is_linked_is_there(name: str) -> None:
    folder = (ROOT / name).parent
    for link in re.findall(r"\]\(([^)#\s]+)", TEXTS[name]):
        if "://" not in link:
            assert (folder / link).exists(), link


def test_every_file_of_an_experiment_is_one_that_is_written() -> None:
    paths = ExperimentPaths(Path())
    own = {
        str(each) for name in dir(ExperimentPaths) if isinstance(each := getattr(paths, name), Path) and name != "root"
    }
    ends = {"configs": "yaml", "results": "json", "predictions": "parquet", "logs": "log", "plots": "png"}
    for folder, end in ends.items():
        own |= {f"{folder}/{each}.{end}" for each in ("VARIANT", "ID", "<id>", "all", "PLOT")}
    named = {
        each
        for text in TEXTS.values()
        for each in re.findall(r"`((?:configs|results|predictions|logs|plots)/[\w<>]+\.[a-z]+)`", text)
    }
    assert len(named) > 5
    assert named <= own, named - own
    assert (PACKAGE / "docs" / "skills").is_dir()
