"""What a notebook may rely on: few names, light to import, and data frames that hold what the files hold."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import History, experiment, finished_experiment
from report_text import write_predictions

import numerai_ray
from numerai_ray import Experiment, RequestError
from numerai_ray.errors import DataError

ERRORS = {"ConfigError", "FitError", "NumeraiRayError", "RequestError"}
PUBLIC = ERRORS | {
    *("Dimension", "Ensemble", "Experiment", "Model", "check_model", "compare", "evaluate"),
    *("era_folds", "load_features", "load_targets", "post_process", "transform_target"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_predictions(history, {"r01-base": 0.1})
    return history


def test_the_public_names_are_these_and_at_most_sixteen() -> None:
    assert set(numerai_ray.__all__) == PUBLIC
    assert len(PUBLIC) <= 16
    assert dir(numerai_ray) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(numerai_ray, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'helpers'"):
        numerai_ray.helpers  # noqa: B018


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = "import sys, numerai_ray; print(*{'pandas', 'numpy', 'ray', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_table_has_every_configuration_once_a_stage(finished: History) -> None:
    table = Experiment.load(finished.paths.root).table()
    assert table.index.is_unique
    assert set(table.index) >= {v.id for r in finished.records for v in r.variants}
    best = table.loc["r05-winner"]
    metrics = finished.records[-1].variants[0].metrics
    assert metrics is not None
    assert best["primary"] == metrics.primary
    assert best["winner"]
    assert best["stage"] == table["stage"].iloc[0] == "final"
    failed = table[table["status"].str.startswith("failed")]
    assert failed["primary"].isna().all()
    assert list(failed["verdict"]) == ["unknown"]


def test_an_experiment_without_rounds_has_an_empty_table(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    loaded = Experiment.load(history.paths.root)
    assert loaded.table().empty
    assert loaded.best is None
    assert not loaded.finished
    assert repr(loaded) == "<Experiment demo: 0 rounds>"


def test_per_era_and_oof_are_what_the_files_hold(finished: History) -> None:
    loaded = Experiment.load(str(finished.paths.root))
    assert loaded.finished
    assert loaded.best == "r05-winner"
    scores = loaded.per_era("r05-winner")
    stored = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    assert list(scores.index) == [int(era) for era in stored["era"]]
    assert np.allclose(scores["bmc"], pd.Series(stored["bmc"], dtype=float), equal_nan=True)
    assert loaded.results("r05-winner")["per_era"] == stored
    oof = loaded.oof("r01-base")
    assert list(oof.columns) == ["id", "era", "target_ender_20", "target", "prediction", "cv_fold"]
    assert oof["target"].equals(oof["target_ender_20"])
    assert len(oof) == 120


def test_variants_are_found_by_id_or_by_a_name_that_one_has(finished: History) -> None:
    loaded = Experiment.load(finished.paths.root)
    assert loaded.id_of("num_leaves=63") == "r01-num_leaves=63"
    with pytest.raises(RequestError, match="several rounds; give one of r01-base"):
        loaded.id_of("base")
    with pytest.raises(RequestError, match="no variant 'num_leaves=64'; did you mean"):
        loaded.id_of("num_leaves=64")
    with pytest.raises(DataError, match="missing"):
        loaded.oof("max_depth=3")
    with pytest.raises(DataError, match="the trial failed: fold 2: lightgbm refuses"):
        loaded.per_era("learning_rate=0.02")
    with pytest.raises(DataError, match="a column of the benchmark file"):
        loaded.oof("benchmark-final")
    with pytest.raises(RequestError, match="did you mean r03-max_depth=3, r03-max_depth=8"):
        loaded.oof("r03-max")
    with pytest.raises(RequestError, match="no variant None; 0 rounds are decided so far"):
        Experiment(finished.paths, ()).per_era(None)
    with pytest.raises(RequestError, match=r"no experiment\.yaml there"):
        Experiment.load(finished.paths.root / "results")
