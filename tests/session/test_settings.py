"""Settings by name: what no call knows is refused with the nearest name, and a plan's keys are all there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import finished_experiment

from numerai_ray import ConfigError, Experiment, RequestError, compare, era_folds, evaluate, load_features, load_targets
from numerai_ray.config.plan_schema import ExperimentPlan
from numerai_ray.session.authoring import PlanSettings


def test_a_misspelt_setting_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    experiment = Experiment.load(finished_experiment(tmp_path / "demo").paths.root)
    frame = pd.DataFrame({"id": ["a"], "prediction": [0.5]})
    wrong: Any = {"in_proces": True}
    for call in (experiment.run, experiment.resume, experiment.forecast):
        with pytest.raises(RequestError, match="demo: no setting 'in_proces'; did you mean 'in_process'"):
            call(**wrong)
    with pytest.raises(RequestError, match="no setting 'in_proces'"):
        experiment.round({"model.params.num_leaves": [5]}, **wrong)
    with pytest.raises(RequestError, match="no setting 'in_proces'"):
        experiment.export(tmp_path / "model.pkl", **wrong)
    with pytest.raises(RequestError, match="compare: nothing is given"):
        compare([])
    version: Any = {"data_versoin": "tiny"}
    with pytest.raises(RequestError, match="evaluate: no setting 'data_versoin'; did you mean 'data_version'"):
        evaluate(frame, **version)
    with pytest.raises(RequestError, match="compare: no setting 'data_versoin'"):
        compare([experiment], **version)
    with pytest.raises(RequestError, match="add_predictions, scoring: no setting 'data_versoin'"):
        experiment.add_predictions("mine", frame, scoring=version)
    file: Any = {"fil": "full"}
    with pytest.raises(RequestError, match="no setting 'fil'; did you mean 'file'"):
        load_features("tiny", data=tmp_path, **file)
    with pytest.raises(RequestError, match="no setting 'fil'; did you mean 'file'"):
        load_targets("tiny", data=tmp_path, **file)
    with pytest.raises(ConfigError, match="did you mean 'n_splits'"):
        era_folds([1, 2, 3], n_split=2)
    with pytest.raises(ConfigError, match="did you mean 'budget'"):
        Experiment.create(tmp_path / "new", idea="x" * 30, novelty="y" * 30, budgte={})  # type: ignore[typeddict-item]


def test_an_era_is_one_however_it_is_written(tmp_path: Path) -> None:
    history = finished_experiment(tmp_path / "demo")
    experiment = Experiment.load(history.paths.root)
    for era in (801, "0801", np.int64(801), 801.0):
        found = compare([experiment], start_era=era)  # type: ignore[arg-type]
        assert found.start_era == 801
        assert found.plot(start_era=era).axes[0].get_lines()[0].get_xdata()[0] == 801  # type: ignore[arg-type]
    own = found.table().set_index("id").loc["r05-winner"]
    assert own["bmc"] == pytest.approx(experiment.per_era("r05-winner").loc[801:, "bmc"].mean())
    for call in (lambda: compare([experiment], start_era="first"), lambda: experiment.report(start_era="first")):
        with pytest.raises(RequestError, match="start_era: must be an era, as 575"):
            call()


def test_every_key_of_a_plan_can_be_given_in_code() -> None:
    own = {"idea", "novelty", "base"}  # arguments of `create` with a name
    assert set(PlanSettings.__annotations__) | own == set(ExperimentPlan.model_fields)
