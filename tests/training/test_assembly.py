"""What is made of fits: seeds averaged, targets and members mixed, stacked, neutralized, blended; scored as a whole."""

import json
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from contracts import SMALL, config, ignore
from jsonschema import Draft202012Validator
from numerai_tools.scoring import neutralize as official_neutralize

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.config import Config, leaves, validate
from numerai_ray.data.dataset import load_features
from numerai_ray.errors import ConfigError
from numerai_ray.experiment.variant_output import results_json
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.system.json_text import to_json
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.post import blend, rank, rank_gauss
from numerai_ray.training.store.fits import FitStore

TWO_TARGETS = {"data": {"target": {"target_ender_20": 2.0, "target_ender_60": 1.0}}}
ENSEMBLE = {
    "ensemble": {
        "members": {
            "small": {"model": {"params": {"num_leaves": 3}}},
            "other": {"data": {"target": "target_jasper_20"}},
        }
    }
}

ENSEMBLE_ALONE = ({"model": {"params": {"num_leaves": 3}}}, {"data": {"target": "target_jasper_20"}})


class Desk:
    """A market with a store; ``run`` trains what is missing and puts it together."""

    def __init__(self, market: Path, root: Path):
        self.catalog = Catalog(market)
        self.store = FitStore(root / "store")
        self.runner = InProcessRunner(self.store, threads=2)

    def run(self, changes, name: str = "one") -> VariantOutcome:
        outcome = self.runner.run([self.catalog.plan(name, f"t/r1/{name}", config(changes))], ignore)[name]
        assert outcome.error is None
        return outcome

    def starts(self, outcome: VariantOutcome):
        return outcome.plan.index.starts_of(outcome.eras)


@pytest.fixture
def desk(market: Path, tmp_path: Path) -> Desk:
    return Desk(market, tmp_path)


def test_seeds_are_averaged_and_each_is_a_fit_of_its_own(desk) -> None:
    both = desk.run({"model": {"seeds": [3, 4]}})
    alone = [desk.run({"model": {"params": {"random_state": seed}}}) for seed in (3, 4)]
    np.testing.assert_array_equal(both.prediction, np.mean([each.prediction for each in alone], axis=0))
    assert all(fold.stored for each in alone for fold in each.folds)
    assert [fold.part for fold in both.folds[:2]] == ["seed 3", "seed 4"]
    assert len(both.plan.fits) == 2 * len(both.plan.folds.trainable)


def test_targets_are_mixed_by_weight_and_scored_against_one(desk) -> None:
    mixed = desk.run(TWO_TARGETS)
    alone = [desk.run({"data": {"target": name}}) for name in ("target_ender_20", "target_ender_60")]
    expected = blend([each.prediction for each in alone], [2.0, 1.0], desk.starts(mixed))
    np.testing.assert_array_equal(mixed.prediction, expected)
    assert mixed.metrics.corr.mean != alone[0].metrics.corr.mean


def test_members_are_mixed_and_share_their_fits_with_other_variants(desk) -> None:
    mixed = desk.run(ENSEMBLE)
    alone = [desk.run(change) for change in ENSEMBLE_ALONE]
    assert all(fold.stored for each in alone for fold in each.folds)
    expected = blend([each.prediction for each in alone], [1.0, 1.0], desk.starts(mixed))
    np.testing.assert_array_equal(mixed.prediction, expected)
    gauss = desk.run({"ensemble": {**ENSEMBLE["ensemble"], "scale": "gauss", "weights": {"small": 3.0, "other": 1.0}}})
    expected = (
        3 * rank_gauss(alone[0].prediction, desk.starts(mixed)) + rank_gauss(alone[1].prediction, desk.starts(mixed))
    ) / 4
    np.testing.assert_allclose(gauss.prediction, expected, atol=1e-12)


@pytest.mark.parametrize("method", ["nnls", "ridge"])
def test_a_stacked_fold_sees_only_earlier_folds(desk, method) -> None:
    stack = {"ensemble": {**ENSEMBLE["ensemble"], "stack": {"method": method, "min_fit_eras": 5}}}
    whole = desk.run(stack)
    first = whole.fold.min()
    plain = desk.run(ENSEMBLE)
    same = whole.fold == first  # nothing comes before it: all members weigh alike
    np.testing.assert_allclose(whole.prediction[same], plain.prediction[same], atol=1e-12)
    assert not np.allclose(whole.prediction[~same], plain.prediction[~same])
    beginning, *others = whole.weights
    assert (beginning.weights, beginning.learned) == ({"small": 0.5, "other": 0.5}, False)
    assert [each.fold for each in whole.weights] == [fold.index for fold in whole.plan.folds.trainable]
    assert all(each.learned and each.fit_eras >= 5 for each in others)
    members = [desk.run(change).prediction for change in ENSEMBLE_ALONE]
    for each in others:
        rows, starts = whole.fold == each.fold, desk.starts(whole)
        mixed = sum(w * rank(p, starts) for w, p in zip(each.weights.values(), members, strict=True))
        np.testing.assert_allclose(
            whole.prediction[rows], mixed[rows] + 0.5 * (1 - sum(each.weights.values())), atol=1e-9
        )
    told = results_json(whole, "out", "p.parquet")
    Draft202012Validator(schema_of("train")).validate(json.loads(to_json(told)))
    assert [each["weights"] for each in told["diagnostics"]["stack"]] == [each.weights for each in whole.weights]
    assert "stack" not in results_json(plain, "out", "p.parquet")["diagnostics"]


def test_what_mattered_counts_as_much_as_its_fit_does(desk) -> None:
    def shares(changes) -> dict[str, float]:
        return results_json(desk.run(changes), "o", "p")["diagnostics"]["importance"]["per_feature"]

    alone = [shares({"data": {"target": name}}) for name in ("target_ender_20", "target_ender_60")]
    for name, share in shares(TWO_TARGETS).items():
        assert share == pytest.approx((2 * alone[0].get(name, 0) + alone[1].get(name, 0)) / 3, abs=1e-12)
    members = [shares(change) for change in ENSEMBLE_ALONE]
    weighed = shares({"ensemble": {**ENSEMBLE["ensemble"], "weights": {"small": 3.0, "other": 1.0}}})
    for name, share in weighed.items():
        assert share == pytest.approx(0.75 * members[0].get(name, 0) + 0.25 * members[1].get(name, 0), abs=1e-12)


@pytest.mark.parametrize("proportion", [1.0, 0.4])
def test_neutralization_is_numerais_own_era_by_era(desk, proportion) -> None:
    plain = desk.run({})
    found = desk.run({"post": {"neutralize": {"to": "small", "proportion": proportion}}})
    assert all(fold.stored for fold in found.folds), "post costs no training"
    features = load_features(found.plan.index, found.plan.neutralizers)
    starts = desk.starts(found)
    gaussian = rank_gauss(plain.prediction, starts)
    for start, stop in list(pairwise(starts))[::7]:
        rows = found.rows[start:stop]
        x = pd.DataFrame({name: column[rows] for name, column in zip(features.names, features.columns, strict=True)})
        theirs = official_neutralize(pd.DataFrame({"p": gaussian[start:stop]}), x, proportion)["p"].to_numpy()
        ours = found.prediction[start:stop]
        np.testing.assert_allclose(ours / ours.std(), theirs / theirs.std(), atol=1e-8)


def test_blend_and_rank_cost_no_training(desk) -> None:
    plain = desk.run({})
    found = desk.run({"post": {"blend": {"benchmark": 0.25}, "rank": True}})
    columns = desk.runner.columns(found.plan)
    benchmark = columns.benchmarks["v52_lgbm_ender20"][found.rows]
    expected = rank(blend([plain.prediction, benchmark], [0.75, 0.25], desk.starts(found)), desk.starts(found))
    np.testing.assert_array_equal(found.prediction, expected)
    assert found.metrics.avg_corr_with_benchmark > plain.metrics.avg_corr_with_benchmark
    away = desk.run({"post": {"neutralize": {"to": "benchmark"}}})
    assert abs(away.metrics.avg_corr_with_benchmark) < 0.1


def test_transforms_weights_and_samples_are_fits_of_their_own(desk) -> None:
    changes = [
        {"target_transform": {"type": "rank"}},
        {"target_transform": {"type": "residual_to_benchmark", "proportion": 0.5}},
        {"target_transform": {"type": "subtract_benchmark_zscore"}},
        {"era_weights": {"type": "recency", "half_life_eras": 26.0}},
        {"era_weights": {"type": "equal"}},
        {"era_sample": {"every": 2}},
        {"era_sample": {"fraction": 0.5}, "seeds": [3]},
        {"feature_sample": {"fraction": 0.5, "groups": ["small"]}},
    ]
    blocked = {"cv": {"mode": "blocked"}}  # the early eras have no benchmark to look at
    outcomes = [desk.run({**blocked, "model": each}, f"v{number}") for number, each in enumerate(changes)]
    keys = [fold.key for outcome in outcomes for fold in outcome.folds]
    assert len(set(keys)) == len(keys)
    predictions = [outcome.prediction for outcome in [desk.run(blocked), *outcomes]]
    assert len({each.tobytes() for each in predictions}) >= len(predictions) - 1  # equal eras may weigh alike already


def test_walk_forward_trains_on_its_window_alone(desk) -> None:
    plan = desk.catalog.plan("w", "t/r1/w", config({"cv": {"mode": "walk_forward", "window_eras": 20}}))
    for fold in plan.folds.trainable:
        first = fold.validation_eras[0]
        assert set(fold.train_eras) == {era for era in plan.index.eras if first - 36 <= era < first - 16}


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"model": {"type": "nowhere.py:Model"}}, "$.model.type", "cannot be found"),
        (
            {"ensemble": {"members": {"a": {"model": {"params": {"num_leafs": 3}}}}}},
            "$.ensemble.members.a",
            "num_leaves",
        ),
    ],
)
def test_problems_are_placed(desk, changes, where, words) -> None:
    with pytest.raises(ConfigError) as refusal:
        desk.catalog.plan("x", "t/r1/x", config(changes))
    assert refusal.value.problems[0].path.startswith(where)
    assert words in refusal.value.problems[0].message


def test_a_users_model_travels_with_its_fit(market, tmp_path) -> None:
    """A worker has no copy of the file: what is sent to it must bring the text, and no class of this process."""
    (tmp_path / "mean.py").write_text(
        "import numpy as np\n"
        "class Mean:\n"
        "  def fit(self, rows): return self\n"
        "  def predict(self, rows): return rows.features.mean(axis=1)\n"
    )
    own = validate(Config, {**SMALL, "model": {"type": "mean.py:Mean"}}, "user config")
    spec = Catalog(market, tmp_path).plan("u", "t/r1/u", own).fits[0]
    assert spec.model.problems({}) == []
    (tmp_path / "spec.pickle").write_bytes(pickle.dumps(spec))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).model.fit_rows.__name__)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "spec.pickle")], capture_output=True, check=False)
    assert done.stdout == b"fit_rows\n", done.stderr


@pytest.mark.parametrize("post", [{"blend": {"benchmark": 0.2}}, {"neutralize": {"to": "benchmark"}}])
def test_rows_without_the_benchmark_that_post_looks_at_are_told_of(desk, post) -> None:
    found = desk.run({"cv": {"mode": "blocked"}, "post": post})
    columns = desk.runner.columns(found.plan)
    missing = np.isnan(columns.benchmarks["v52_lgbm_ender20"][found.rows])
    assert missing.any()
    np.testing.assert_array_equal(np.isnan(found.prediction), missing)
    (note,) = [note for note in found.notes if note.startswith("post looks at a benchmark")]
    assert f"{missing.sum():,} of {len(missing):,} predicted rows" in note
    assert results_json(found, "o", "p")["notes"] == list(found.notes)
    assert found.notes != desk.run({"cv": {"mode": "blocked"}}).notes


def test_results_tell_all_that_a_variant_was(desk) -> None:
    changes = {
        **ENSEMBLE,
        "model": {"seeds": [3, 4], "target_transform": {"type": "rank"}, "era_weights": {"type": "equal"}},
        "post": {"neutralize": {"to": "small", "proportion": 0.5}, "blend": {"benchmark": 0.1}, "rank": True},
    }
    found = desk.run(changes)
    told = results_json(found, "o", "p")["config"]
    assert validate(Config, told, "told") == found.plan.config
    assert leaves(changes).items() <= leaves(told).items()


def test_a_prediction_is_solved_once_for_all_proportions(monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []

    def solve() -> np.ndarray:
        solved.append(1)
        return np.ones(2)

    parts = LinearParts()
    one, other = np.array([0.1, 0.2]), np.array([0.1, 0.3])
    for prediction, against in ((one, "a"), (one.copy(), "a"), (other, "a"), (one, "b"), (one, "a")):
        assert parts.of(prediction, against, solve).tolist() == [1, 1]
    assert len(solved) == 3
    monkeypatch.setattr("numerai_ray.training.linear_parts.ROOM_BYTES", 20)
    parts.of(other, "b", solve)
    parts.of(one, "a", solve)
    assert len(solved) == 5, "the oldest went"
