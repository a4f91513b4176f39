"""Members with a post section, or that are mixtures themselves: the same predictions as alone, trained and exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from desk import Desk
from submission_desk import PYTHONS, needs_python

from numerai_ray.cli.main import run
from numerai_ray.config import Config, validate
from numerai_ray.ensembles.blends import Blend
from numerai_ray.ensembles.candidates import Candidate
from numerai_ray.ensembles.deployment import ensemble_config
from numerai_ray.errors import ConfigError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.session import exporting
from numerai_ray.session.exporting import ExportAsked
from numerai_ray.submission.export.choice import Choice
from numerai_ray.training.post import blend

pytestmark = pytest.mark.slow
# Leaves enough, and a benchmark in all that is made neutral: ties come out of least squares in any order.
MODEL = {"params": {"n_estimators": 60, "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 5}}
GROUND: dict[str, Any] = {
    "data": {"version": "tiny", "file": "full", "feature_set": "small"},
    "cv": {"n_splits": 4, "embargo_eras": 16},
    "model": MODEL,
}
INNER = {"members": {"wide": {"data": {"feature_set": "medium"}}, "plain": {}}}
ALONE: dict[str, dict[str, Any]] = {
    "neutral": {
        "post": {"neutralize": {"to": ["medium", "benchmark"], "proportion": 0.5}, "blend": {"benchmark": -0.2}}
    },
    "targets": {"data": {**GROUND["data"], "target": {"target_ender_20": 2, "target_ender_60": 1}}},
    "blend": {
        "ensemble": {**INNER, "weights": {"wide": 2, "plain": 1}},
        "post": {"neutralize": {"to": ["small", "benchmark"]}},
    },
    "stack": {"ensemble": {**INNER, "stack": {"min_fit_eras": 5}}},
}
WEIGHTS = (0.4, 0.3, 0.2, 0.1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    return Desk(tmp_path_factory.mktemp("members"), market)


def trained(desk: Desk, name: str, values: dict[str, Any]) -> pd.DataFrame:
    """Out-of-fold predictions of a config, by id."""
    folder = desk.folder.parent.parent / "out" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    arguments = ["train", "--config", str(folder / f"{name}.yaml"), "--output-dir", str(folder), "--in-process"]
    assert run([*arguments, "--data-dir", str(desk.data)]) == 0
    return pd.read_parquet(folder / "predictions" / f"{name}.parquet").set_index("id")


@pytest.fixture(scope="module")
def ensemble(desk: Desk) -> Config:
    """All of them in one ensemble, as the search makes it."""
    candidates = []
    for name, values in ALONE.items():
        config = Config.model_validate({**GROUND, **values})
        candidates.append(Candidate(name, desk.folder, name, "scout", Path(), config, ()))
    return ensemble_config(Blend((0, 1, 2, 3), WEIGHTS), candidates, "test")


def test_a_mixture_has_the_predictions_that_its_members_have_alone(desk: Desk, ensemble: Config) -> None:
    alone = {name: trained(desk, name, {**GROUND, **values}) for name, values in ALONE.items()}
    fits = len(list((desk.data / "store").rglob("*.fit")))
    together = trained(desk, "together", ensemble.to_json())
    assert len(list((desk.data / "store").rglob("*.fit"))) == fits, "nothing is trained again"
    starts = np.flatnonzero(np.append(together["era"].to_numpy()[1:] != together["era"].to_numpy()[:-1], True)) + 1
    columns = [each.loc[together.index, "prediction"].to_numpy(np.float64) for each in alone.values()]
    expected = blend(columns, WEIGHTS, np.append(0, starts), "gauss")
    np.testing.assert_allclose(together["prediction"], expected, atol=1e-12)
    for name, each in alone.items():
        correlation = np.corrcoef(each.loc[together.index, "prediction"].rank(), together["prediction"].rank())[0, 1]
        assert correlation < 0.999, f"{name} is not the mixture"


@needs_python
def test_it_is_exported_with_all_of_it(desk: Desk, ensemble: Config, tmp_path: Path) -> None:
    record = VariantRecord("together", "together", "variant", ensemble.fingerprint(), {}, None)
    choice = Choice("together", record, "ensemble", {}, ensemble)
    asked = ExportAsked(tmp_path / "m.pkl", None, PYTHONS[0], lambda: desk.data, in_process=True)
    found = exporting._export(ExperimentPaths(tmp_path), lambda: choice, [], asked, lambda _: None)
    assert found.agreement is not None
    assert found.agreement.largest <= 1e-9
    card = json.loads((tmp_path / "m.json").read_text())
    assert card["model"]["models"] == 7
    assert set(card["model"]["weights"]) == {"stack/wide", "stack/plain"}


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"cv": {"n_splits": 3}}, "model, post and ensemble only"),
        ({"post": {"neutralise": {}}}, "unknown key"),
        ({"ensemble": {"members": {}}}, "at least 1"),
        ({"ensemble": {"members": {"a": {"model": {"typ": "x"}}}}}, "unknown key"),
    ],
)
def test_what_a_member_cannot_say(member: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(Config, {**GROUND, "ensemble": {"members": {"one": member}}}, "test")
