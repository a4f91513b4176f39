"""What docs/architecture.md says of the code is so: its floors, paths, constants, files and names."""

import re
import tomllib
from pathlib import Path

import pytest
from places import PAGES, ROOT

from numerai_ray.experiment.paths import ExperimentPaths

PAGE = (PAGES / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def chapter(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in chapter(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_the_picture_is_the_contract() -> None:
    (floors,) = [contract["layers"] for contract in CONTRACTS if contract["id"] == "floors"]
    (picture,) = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    assert [re.split(r"  +", line)[0] for line in picture.splitlines()] == floors
    for line in picture.splitlines():
        names, words = re.split(r"  +", line, maxsplit=1)
        assert names.count("|") == words.count("|")


@pytest.mark.parametrize("path", sorted({*re.findall(r"`(?:python )?((?:numerai_ray|tests)/[\w./]+)`", PAGE)}))
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_names_beside_a_path_are_in_it() -> None:
    found = re.findall(r"`(numerai_ray/[\w./]+\.py)`[^`|]{0,3}\(((?:`\w+`(?:, )?)+)\)", PAGE)
    assert len(found) >= 7
    for path, names in found:
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


def test_a_variant_goes_ten_hops() -> None:
    hops = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", chapter("The way of a variant"), re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in hops] == [*range(1, 11)]
    assert all("`numerai_ray/" in text for _, text in hops)


def test_fifteen_questions_have_an_answer() -> None:
    answers = rows("Where to look")
    assert len(answers) == 15
    files = {path for _, answer in answers for path in re.findall(r"`(numerai_ray/[\w./]+)`", answer)}
    assert len(files) <= 22, "files opened for all of them"
    for question, answer in answers:
        anchor = re.search(r"\(#([\w-]+)\)", answer)
        titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)}
        assert "`numerai_ray/" in answer or (anchor and anchor[1] in titles), question


def test_constants_of_retries_are_those_of_the_code() -> None:
    found = rows("What is tried again")
    assert len(found) >= 10
    for what, _, _, where in found:
        constant, path = re.fullmatch(r"`(.+)` in `(.+)`", where).groups()
        assert constant in (ROOT / path).read_text(encoding="utf-8"), what


def test_every_file_of_an_experiment_has_a_line() -> None:
    root = Path("experiments/x")
    paths = ExperimentPaths(root)
    names = {name for name, value in vars(ExperimentPaths).items() if isinstance(value, property)} - {"plots"}
    known = {getattr(paths, name).relative_to(root).as_posix() for name in names}
    made = (paths.config, paths.results, paths.predictions, paths.trial_log)
    known |= {each("VARIANT").relative_to(root).as_posix() for each in made}
    known |= {paths.plot("PLOT").relative_to(root).as_posix()}
    shown = [row[0].strip("`") for row in rows("What is written when")]
    assert len(shown) == len(set(shown))
    assert set(shown) == known


def test_words_are_explained_once() -> None:
    words = [row[0] for row in rows("Words")]
    assert len(words) == len(set(words)) >= 15
