"""Data versions: the newest here is meant where none is named, its benchmark follows, and what ran keeps its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import BASELINE, PLAN
from numerai_server import NumeraiServer

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.config.versions import benchmark_in, benchmark_named, newest
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.layout import LAYOUTS, V53, feature_sets, group_sizes, layout_of
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.session.places import open_experiment

Write = Callable[[dict[str, Any]], Path]
SHARED = {key: value for key, value in BASELINE.items() if key != "data"} | {"data": {"feature_set": "medium"}}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with small markets of both layouts: read-only."""
    root = tmp_path_factory.mktemp("versions")
    for version in LAYOUTS:
        write_market(MarketSpec(eras=100, rows=60, features=30, seed=2, layout=version), root / version)
        build(root / version)
    return root


@pytest.fixture
def write(tmp_path: Path) -> Write:
    folder = tmp_path / "experiments" / "mine"

    def plan(changes: dict[str, Any]) -> Path:
        for path, values in (
            (tmp_path / "experiments" / "baselines" / "tiny.yaml", SHARED),
            (folder / "experiment.yaml", apply_overrides(PLAN, changes)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(values))
        return folder

    return plan


def meant(folder: Path, root: Path) -> tuple[str, str]:
    _, loaded = open_experiment(folder, str(root))
    configs = [loaded.config(stage, {}) for stage in loaded.stages] + [loaded.baseline_config("final")]
    (found,) = {(config.data.version, config.score.benchmark) for config in configs}
    return found


def test_the_newest_has_the_highest_number() -> None:
    assert newest(["v5.3", "v5.10", "v4.99", "signals"]) == "v5.10"
    assert newest(["tiny"]) == "tiny"
    assert newest(["tiny", "small"]) is None
    assert newest([]) is None
    assert benchmark_named("v6.0") == "v60_lgbm_ender20"
    assert benchmark_named("tiny") is None
    columns = ["id", "v51_lgbm_ender20", "v53_lgbm_ender60", "v53_lgbm_ender20"]
    assert benchmark_in("v5.3", columns) == "v53_lgbm_ender20"
    assert benchmark_in("tiny", columns) == "v51_lgbm_ender20"
    assert benchmark_in("v5.3", ["id", "v52_lgbm_jasper20"]) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("v5.3", "v53_lgbm_ender20")),
        ({"data_version": "v5.2"}, ("v5.2", "v52_lgbm_ender20")),
        ({"data_version": "v5.2", "benchmark": "v52_lgbm_jasper60"}, ("v5.2", "v52_lgbm_jasper60")),
        ({"data_version": "v6.1"}, ("v6.1", "v61_lgbm_ender20")),
        ({"baseline": "small_lgbm_ender20"}, ("v5.3", "v53_lgbm_ender20")),
        ({"baseline": "deep_lgbm_ender20", "data_version": "v5.2"}, ("v5.2", "v52_lgbm_ender20")),
    ],
)
def test_the_benchmark_follows_from_the_version(write: Write, versions: Path, changes, expected) -> None:
    assert meant(write(changes), versions) == expected


def test_what_ran_keeps_its_version(write: Write, versions: Path, tmp_path: Path) -> None:
    root, folder = tmp_path / "data", write({})
    root.mkdir()
    shutil.copytree(versions / "v5.2", root / "v5.2")
    arguments = ["run", str(folder), "--data-dir", str(root), "--in-process", "--accept-suspect", "--rounds", "1"]
    assert run(arguments) == 0
    (root / "v5.3").symlink_to(versions / "v5.3")
    assert meant(folder, root) == ("v5.2", "v52_lgbm_ender20")
    assert run(arguments) == 0
    ledger = (folder / "results" / "rounds.jsonl").read_text().splitlines()
    assert len(ledger) == 2
    assert {each["name"] for each in json.loads(ledger[-1])["variants"] if each["role"] == "benchmark"} <= {
        "v52_lgbm_ender20"
    }


def test_a_new_experiment_runs_on_the_newest_version(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(versions))
    folder = tmp_path / "experiments" / "small"
    text = "Smaller trees carry signal that the benchmark does not have."
    assert run(["new", str(folder), "--idea", text, "--novelty", text, "--vary", "model.params.num_leaves=3,7"]) == 0
    plan = yaml.safe_load((folder / "experiment.yaml").read_text())
    assert plan["data_version"] == "v5.3"
    small = {"model": {"params": {"n_estimators": 20, "min_data_in_leaf": 20}}}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(apply_overrides(plan, {"base": small})))
    assert run(["run", str(folder), "--in-process", "--accept-suspect", "--rounds", "1"]) == 0
    capsys.readouterr()
    assert run(["baseline", "small_lgbm_ender20_downsampled", "--in-process", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["version"] == "v5.3"


def test_what_is_fetched_and_made_without_a_version(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("v5.2", "v5.10", "signals")
    files = {f"{name}/features.json": versions / "v5.3" / "features.json" for name in names}
    with NumeraiServer(files).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        fetch = ["data", "download", "--files", "features.json", "--data-dir"]
        assert run([*fetch, str(tmp_path / "empty")]) == 0
        assert (tmp_path / "empty" / "v5.10" / "features.json").exists(), "the newest that is listed"
        (tmp_path / "begun" / "v5.2").mkdir(parents=True)
        shutil.copy(versions / "v5.2" / "features.json", tmp_path / "begun" / "v5.2")
        assert run([*fetch, str(tmp_path / "begun")]) == 0
        assert not (tmp_path / "begun" / "v5.10").exists(), "the one that is here is kept up to date"
    size = ["--eras", "40", "--rows", "50", "--features", "20"]
    assert run(["data", "synth", "--out", str(tmp_path / "made"), *size]) == 0
    assert run(["data", "build", "--data-dir", str(tmp_path / "made")]) == 0
    assert (tmp_path / "made" / "v5.3" / "full.parquet").exists()


def test_the_layout_of_v5_3() -> None:
    assert sum(group_sizes(3555, V53).values()) == V53.features == 3555
    assert V53.groups["quantum"] == 807
    assert group_sizes(3555, V53).keys() == V53.groups.keys()
    names = [f"feature_{number}" for number in range(3555)]
    sets = feature_sets(names, list(range(3555)), V53)
    assert len(sets["all"]) == 3555  # how large small and medium are there is not known here
    assert V53.benchmark_columns == ("v53_lgbm_ender20", "v53_lgbm_ender60")
    told = {name: layout_of(name).version for name in ("v5.2", "v5.3", "v5.9", "v4.3", "market")}
    assert told == {"v5.2": "v5.2", "v5.3": "v5.3", "v5.9": "v5.3", "v4.3": "v5.2", "market": "v5.3"}
