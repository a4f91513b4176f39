"""What comes with the package: valid, found from a clone and from an installed wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from official_configs import DEEP, SMALL
from places import ROOT

from numerai_ray.config import Config, validate
from numerai_ray.config.plan import load_plan
from numerai_ray.config.plan_schema import STAGES
from numerai_ray.config.search_space import changes_for
from numerai_ray.config.shipped import find_shipped
from numerai_ray.models import model_problems

BASELINES = sorted((ROOT / "experiments" / "baselines").glob("*.yaml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*/experiment.yaml"))


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_baselines_are_complete_configs(path: Path) -> None:
    config = validate(Config, yaml.safe_load(path.read_text()), str(path))
    assert model_problems(config.model) == []
    assert config.score.target == "target_ender_20"


@pytest.mark.parametrize("official", [SMALL, DEEP], ids=["small", "deep"])
@pytest.mark.parametrize("suffix", ["", "_downsampled"])
def test_baselines_have_the_official_parameters(official: dict[str, Any], suffix: str) -> None:
    name = official["output"]["results_name"].removesuffix("_baseline")
    config = validate(Config, yaml.safe_load((BASELINES[0].parent / f"{name}{suffix}.yaml").read_text()), name)
    params = {key: value for key, value in official["model"]["params"].items() if key != "n_jobs"}
    assert config.model.params == params
    assert (config.data.version, config.data.feature_set) == ("v5.2", official["data"]["feature_set"])
    assert config.data.file == ("downsampled" if suffix else "full")
    cv = official["training"]["cv"]
    assert (config.cv.n_splits, config.cv.mode, config.cv.min_train_eras) == (cv["n_splits"], cv["mode"], 0)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_search_spaces_fit_their_baseline(path: Path, tmp_path: Path) -> None:
    """Every value gives a config that its model takes; test_search_spaces shows that each says why."""
    plan = tmp_path / "experiments" / "x" / "experiment.yaml"
    plan.parent.mkdir(parents=True)
    texts = {"idea": "try a shipped space", "novelty": "none, this is a test"}
    free = {stage: {"feature_set": None} for stage in STAGES}  # a search for features must not be undone by a stage
    plan.write_text(yaml.safe_dump({**texts, "search_space": path.stem, "stages": free}))
    loaded = load_plan(plan, lambda kind, name: find_shipped(kind, name, plan.parent))
    base = loaded.config("scout", {}).to_json()
    if base["model"]["type"] == "mlp":
        pytest.importorskip("torch")
    for name, dimension in loaded.space.dimensions.items():
        assert dimension.why, name
        for value in dimension.values if dimension.applies(base) else []:
            assert model_problems(loaded.config("scout", changes_for(dimension, value, base)).model) == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_experiments_load_in_every_stage(path: Path) -> None:
    loaded = load_plan(path, lambda kind, name: find_shipped(kind, name, path.parent))
    for stage in STAGES:
        assert loaded.config(stage, {}).data.version == loaded.baseline_config(stage).data.version


@pytest.mark.slow
def test_installed_wheel_needs_no_clone(tmp_path: Path) -> None:
    """The wheel alone, in an empty folder, finds quickstart and its baseline and runs a round of it."""
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(wheel, check=True)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site")
    names = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.yaml")}
    for kind, files in {"experiments/baselines": BASELINES, "search_spaces": SPACES}.items():
        assert {f"numerai_ray/shipped/{kind}/{file.name}" for file in files} <= names
    empty = tmp_path / "empty"
    empty.mkdir()
    code = "import numerai_ray, sys; print(numerai_ray.__file__); from numerai_ray.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "experiments/quickstart", "--in-process", "--rounds", "1"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(str(tmp_path)), "the wheel was used, not the clone"
    assert (empty / "experiments" / "quickstart" / "experiment.md").exists()
