"""The diffs of docs/contributing.md apply to a copy of the package, and what they add works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import PACKAGE, PAGES, ROOT, SUPPORT, tool

PAGE = (PAGES / "contributing.md").read_text(encoding="utf-8")
DIFFS = {
    title: re.findall(r"```diff\n(.*?)```", text, re.S)
    for title, text in re.findall(r"^### (.*?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
REPORT = """
import sys
from pathlib import Path
from builders import finished_experiment
from numerai_ray.report.writer import write_report

history = finished_experiment(Path(sys.argv[1]))
write_report(history.loaded, history.paths, history.records)
print(history.paths.report.read_text())
"""
CLIPPED = """
import sys
from pathlib import Path
from contracts import config, ignore
from numerai_ray.errors import RequestError
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.submission.export.assembly import plan_refit
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

catalog, store = Catalog(Path(sys.argv[1])), FitStore(Path("store"))
clipped = config({"post": {"clip": 0.2}, "model": {"engine": "lightgbm"}})
found = InProcessRunner(store, threads=1).run([catalog.plan("one", "t/r1/one", clipped)], ignore)["one"]
print(found.prediction.min(), found.prediction.max(), sep="\\n")
try:
    plan_refit(clipped, catalog, store)
except RequestError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with everything that the page adds."""
    folder = tmp_path_factory.mktemp("contributed")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for (diff,) in filter(None, DIFFS.values()):
        # Lines of the files may have moved since the page was written; the one before a new line has its words still.
        apply = ["git", "apply", "--unidiff-zero", "-"]
        done = subprocess.run(apply, cwd=folder, input=diff, text=True, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    return folder


def ran(command: list[str | Path], copy: Path, where: Path) -> str:
    paths = os.pathsep.join((str(copy), str(SUPPORT)))
    done = subprocess.run(
        command, cwd=where, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_five_things_are_a_file_and_its_line() -> None:
    found = {title: diffs for title, diffs in DIFFS.items() if diffs}
    assert list(found) == ["A plot", "A model", "A metric", "A post step", "A command"]
    for (diff,) in found.values():
        new, known, *key = re.split(r"(?=^--- a/)", diff, flags=re.MULTILINE)
        assert new.startswith("--- /dev/null")
        assert len(re.findall(r"^\+(?!\+)", known, re.MULTILINE)) <= 2, "an import and an entry"
        assert all(len(re.findall(r"^\+(?!\+)", each, re.MULTILINE)) == 1 for each in key), "what a config calls it"


def test_they_are_of_this_house(copy: Path) -> None:
    new = [copy / path for path in re.findall(r"^\+\+\+ b/(.*)$", PAGE, re.MULTILINE)]
    ran([tool("ruff"), "check", *new], copy, copy)
    ran([tool("ruff"), "format", "--check", *new], copy, copy)
    ran([tool("lint-imports"), "--no-cache"], copy, copy)


@pytest.mark.slow
def test_the_plot_is_in_the_report(copy: Path, tmp_path: Path) -> None:
    report = ran([sys.executable, "-c", REPORT, tmp_path / "experiments" / "x"], copy, tmp_path)
    assert "What each round took" in report
    assert {path.name for path in tmp_path.glob("experiments/x/plots/seconds-*.png")} == {
        "seconds-dark.png",
        "seconds-light.png",
    }


def test_the_model_keeps_its_promises(copy: Path, tmp_path: Path) -> None:
    said = ran(
        [sys.executable, "-m", "numerai_ray", "check-model", "marginal", "--params", "{power: 2.0}"], copy, tmp_path
    )
    assert "FAIL" not in said
    assert said.count("ok  ") >= 5


@pytest.mark.slow
def test_the_metric_is_in_the_answer_and_a_plan_may_ask_for_it(copy: Path, tmp_path: Path) -> None:
    report = ran([sys.executable, "-c", REPORT, tmp_path / "experiments" / "x"], copy, tmp_path)
    assert "| Even score |" in report
    code = "from numerai_ray.config import ScoreConfig; print(ScoreConfig(metric='even').primary.name)"
    assert ran([sys.executable, "-c", code], copy, tmp_path).strip() == "even_last_200_eras.mean"


@pytest.mark.slow
def test_the_post_step_is_done_where_a_config_asks_for_it(copy: Path, market: Path, tmp_path: Path) -> None:
    lowest, highest, refused = ran([sys.executable, "-c", CLIPPED, market], copy, tmp_path).splitlines()
    assert (float(lowest), float(highest)) == (0.2, 0.8)
    assert refused.startswith("post.clip cannot be exported")


def test_the_command_says_each_idea(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "one").mkdir(parents=True)
    (tmp_path / "experiments" / "one" / "experiment.yaml").write_text("idea: Smaller trees.\n")
    (tmp_path / "experiments" / "baselines").mkdir()
    assert ran([sys.executable, "-m", "numerai_ray", "ask"], copy, tmp_path) == "one: Smaller trees.\n"
