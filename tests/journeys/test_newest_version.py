"""The newest data version from the first command to a model: v5.3 in the official file layout, on a small market."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from official_baselines import BASELINES, official_baseline
from submission_desk import needs_python

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.config.shipped import shipped_plan
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.layout import V53
from numerai_ray.data.synthetic.market import MarketSpec

QUICK = {"n_estimators": 6, "num_leaves": 5, "min_data_in_leaf": 20}
TEXT = "Smaller trees carry signal that the benchmark does not have."
BENCHMARKS = ["v53_lgbm_ender20", "v53_lgbm_ender60"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small market in the layout of v5.3."""
    found = tmp_path_factory.mktemp("newest")
    write_market(MarketSpec(eras=180, rows=50, features=60, seed=3, layout="v5.3"), found / "v5.3")
    build(found / "v5.3")
    return found


def test_the_files_are_those_of_the_version(root: Path) -> None:
    sets = json.loads((root / "v5.3" / "features.json").read_text())["feature_sets"]
    assert {*V53.groups} | {"small", "medium", "all"} <= sets.keys()
    assert sets["quantum"]
    assert sorted({name for group in V53.groups for name in sets[group]}) == sorted(sets["all"])
    for part in ("train", "validation", "live", "full", "downsampled_full"):
        path = root / "v5.3" / f"{part}_benchmark_models.parquet"
        assert [name for name in pq.read_schema(path).names if name not in ("id", "era")] == BENCHMARKS


@pytest.mark.parametrize("names_benchmark", [True, False], ids=["names a benchmark", "names a target"])
@pytest.mark.parametrize("name", BASELINES)
def test_the_official_baselines(
    name: str, names_benchmark: bool, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = official_baseline(name, names_benchmark=names_benchmark)
    days = 20 if "ender20" in name else 60
    small = apply_overrides(config, {"model": {"params": QUICK}})
    (tmp_path / f"{name}.py").write_text(f"CONFIG = {small!r}\n")
    where = ["--data-dir", str(root), "--output-dir", str(tmp_path / "out"), "--in-process"]
    assert run(["train", "--config", str(tmp_path / f"{name}.py"), *where]) == 0, capsys.readouterr().err
    results = json.loads(next((tmp_path / "out").rglob(f"{name}.json")).read_text())
    assert results["data"]["data_version"] == "v5.3"
    assert results["benchmark"]["model"] == (f"v53_lgbm_ender{days}" if names_benchmark else "v53_lgbm_ender20")
    assert results["cv"]["embargo"] == config["training"]["cv"]["embargo"]
    assert results["metrics"]["bmc_last_200_eras"]["mean"] is not None
    predictions = pq.read_table(next((tmp_path / "out").rglob(f"{name}.parquet")))
    assert predictions.column_names == ["id", "era", config["data"]["target_col"], "prediction", "cv_fold"]
    assert len(predictions) > 500


def test_the_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(tmp_path / "data"))
    shipped = shipped_plan("quickstart")
    assert shipped is not None
    plan = yaml.safe_load(shipped.read_text())
    del plan["benchmark"]
    small: dict[str, Any] = {
        "data_version": "v5.3",
        "market": {"eras": 120, "rows": 50, "features": 30, "seed": 7},
        "base": {"model": {"params": {"n_estimators": 6, "min_data_in_leaf": 20}}},
    }
    folder = tmp_path / "experiments" / "quickstart"
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan | small))
    assert run(["run", str(folder), "--in-process", "--accept-suspect", "--rounds", "1"]) == 0
    made = pq.read_schema(tmp_path / "data" / "v5.3" / "full_benchmark_models.parquet").names
    assert [name for name in made if name not in ("id", "era")] == BENCHMARKS
    assert "v53_lgbm_ender20" in (folder / "experiment.md").read_text()


@pytest.fixture(scope="module")
def experiment(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``new --data-version v5.3`` writes, with smaller trees, run for a round."""
    folder = tmp_path_factory.mktemp("desk") / "experiments" / "wide"
    flags = ["--idea", TEXT, "--novelty", TEXT, "--vary", "model.params.num_leaves=3,7", "--data-version", "v5.3"]
    assert run(["new", str(folder), *flags, "--data-dir", str(root)]) == 0
    plan = yaml.safe_load((folder / "experiment.yaml").read_text())
    assert plan["data_version"] == "v5.3"
    (folder / "experiment.yaml").write_text(
        yaml.safe_dump(apply_overrides(plan, {"base": {"model": {"params": QUICK}}}))
    )
    where = ["--data-dir", str(root), "--in-process", "--accept-suspect"]
    assert run(["run", str(folder), *where, "--rounds", "1"]) == 0
    return folder


def test_a_new_experiment(experiment: Path) -> None:
    (record,) = map(json.loads, (experiment / "results" / "rounds.jsonl").read_text().splitlines())
    results = json.loads((experiment / "results" / f"{record['variants'][0]['id']}.json").read_text())
    assert results["data"]["data_version"] == "v5.3"
    assert results["benchmark"]["model"] == "v53_lgbm_ender20"


@needs_python
@pytest.mark.slow
def test_an_export(experiment: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.pkl"
    arguments = [
        "export",
        str(experiment),
        "--data-dir",
        str(root),
        "--out",
        str(out),
        "--in-process",
        "--variant",
        "num_leaves=7",
    ]
    assert run(arguments) == 0, capsys.readouterr().err
    card = json.loads(next(path for path in tmp_path.iterdir() if path.suffix == ".json").read_text())
    assert "v5.3" in json.dumps(card)
    assert "v53_lgbm_ender20" in json.dumps(card)
    assert out.stat().st_size > 1000
