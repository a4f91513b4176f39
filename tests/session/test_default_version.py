"""The data version where nobody names one: the newest here, else the newest at Numerai, else one that is said."""

import json
from pathlib import Path

import pytest
import yaml
from builders import PLAN, experiment
from numerai_server import NumeraiServer

from numerai_ray.cli.main import run
from numerai_ray.config.official import NEWEST_VERSION
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.web.sources import Source
from numerai_ray.web.values import Reader

TEXT = "Smaller trees carry signal that the benchmark does not have."
NEW = ["--idea", TEXT, "--novelty", TEXT, "--vary", "model.params.num_leaves=3,7"]
SIZE = ["--eras", "40", "--rows", "50", "--features", "20"]


def version_of(folder: Path) -> str:
    return str(yaml.safe_load((folder / "experiment.yaml").read_text())["data_version"])


@pytest.fixture
def features(tmp_path: Path) -> Path:
    path = tmp_path / "features.json"
    path.write_text(json.dumps({"feature_sets": {"medium": ["feature_a"]}, "targets": ["target_ender_20"]}))
    return path


def test_numerai_is_asked_where_nothing_is_here(
    tmp_path: Path, features: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(tmp_path / "data"))
    with NumeraiServer(dict.fromkeys(("v5.3/features.json", "v5.10/features.json"), features)).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        assert run(["new", str(tmp_path / "listed"), *NEW]) == 0
        assert version_of(tmp_path / "listed") == "v5.10"
        asked = len(server.log)
        assert asked == 1, "once, however often a plan is checked"
        assert run(["new", str(tmp_path / "named"), *NEW, "--data-version", "v5.2"]) == 0
        assert version_of(tmp_path / "named") == "v5.2"
        assert run(["data", "synth", "--out", str(tmp_path / "made"), *SIZE]) == 0
        assert (tmp_path / "made" / "v5.10" / "full.parquet").exists()
        asked = len(server.log)
        assert run(["data", "synth", "--out", str(tmp_path / "made"), *SIZE]) == 0
        (tmp_path / "data" / "v5.4").mkdir(parents=True)
        (tmp_path / "data" / "v5.4" / "features.json").write_bytes(features.read_bytes())
        assert run(["new", str(tmp_path / "here"), *NEW]) == 0
        assert version_of(tmp_path / "here") == "v5.4"
        assert len(server.log) == asked, "nobody is asked where a version is named or here"
    assert "note:" not in capsys.readouterr().err


def test_offline_it_is_said_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(tmp_path / "data"))
    assert run(["new", str(tmp_path / "mine"), *NEW]) == 0
    assert version_of(tmp_path / "mine") == NEWEST_VERSION
    said = capsys.readouterr().err
    assert said.count("Numerai's list cannot be had") == 1
    assert f"{NEWEST_VERSION} is taken" in said
    assert run(["data", "synth", "--out", str(tmp_path / "made"), *SIZE]) == 0
    assert (tmp_path / "made" / NEWEST_VERSION / "full.parquet").exists()
    assert f"{NEWEST_VERSION} is taken" in capsys.readouterr().err


def test_the_dashboard_names_what_ran(tmp_path: Path, features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "v9.1").mkdir(parents=True)
    (tmp_path / "data" / "v9.1" / "features.json").write_bytes(features.read_bytes())
    history = experiment(tmp_path / "experiments" / "depth").scout("max_depth", {3: 0.003, 8: 0.0045})
    baseline = {
        "data": {"feature_set": "medium"},
        "model": {"params": {"n_estimators": 20, "learning_rate": 0.1, "max_depth": 5, "num_leaves": 7}},
    }
    (tmp_path / "experiments" / "baselines").mkdir()
    (tmp_path / "experiments" / "baselines" / "any.yaml").write_text(yaml.safe_dump(baseline))
    paths = ExperimentPaths(tmp_path / "experiments" / "depth")
    paths.plan.write_text(yaml.safe_dump({**PLAN, "baseline": "any"}))
    reader = Reader(Source("depth", paths, "depth"))
    assert reader.overview()["data_version"] == "v9.1", "the newest here"
    ran = {"data": {"version": "v5.2"}, "score": {"benchmark": "v52_lgbm_jasper60"}}
    first = history.variants[0].id
    paths.config(first).parent.mkdir(exist_ok=True)
    paths.config(first).write_text(json.dumps(ran))
    reader = Reader(Source("depth", paths, "depth"))
    assert reader.overview()["data_version"] == "v5.2"
    assert reader.plan().config("scout", {}).score.benchmark == "v52_lgbm_jasper60"
