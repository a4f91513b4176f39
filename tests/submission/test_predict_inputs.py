"""Damaged and hostile live data: a right answer or one clear sentence, never a wrong prediction.

The function under test is the one that every exported pickle holds; here it runs in our own environment, and
``test_submission_verify`` runs it in Numerai's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from numerai_ray.submission.container.inside.frame import build

FEATURES = [f"feature_{name}" for name in ("ash", "birch", "cedar", "dogwood", "elm")]
ROWS = 40
Damage = Callable[[pd.DataFrame, pd.DataFrame], tuple[Any, Any]]


def linear(payload: Any) -> Callable[[Any], Any]:
    """A stand-in for a trained model: weights; a missing value counts as 10, so that it shows."""
    return lambda matrix: np.where(np.isnan(matrix), 10, matrix) @ np.asarray(payload)


MODEL = {
    "do": "model",
    "type": "linear",
    "inside": "linear",
    "features": None,
    "missing": "two",
    "payload": [5.0, -3.0, 2.0, 0.7, 0.11],
}
NAN_MODEL = MODEL | {"missing": "nan"}
BENCHMARK = {"do": "benchmark", "column": "v52_lgbm_ender20"}
NEUTRAL = {"do": "neutralize", "part": MODEL, "features": [0, 1], "benchmarks": [], "proportion": 0.5}
RECIPES: dict[str, dict[str, Any]] = {
    "two": {"features": FEATURES, "benchmarks": [], "recipe": MODEL},
    "nan": {"features": FEATURES, "benchmarks": [], "recipe": NAN_MODEL},
    "blend": {
        "features": FEATURES,
        "benchmarks": ["v52_lgbm_ender20"],
        "recipe": {"do": "blend", "parts": [NEUTRAL, BENCHMARK], "weights": [0.7, 0.3], "scale": "rank"},
    },
}


def live(era: str = "X", rows: int = ROWS, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"n{seed:02d}{row:013x}" for row in range(rows)], name="id")
    features = pd.DataFrame(rng.integers(0, 5, (rows, len(FEATURES))).astype(np.int8), index=ids, columns=FEATURES)
    features.insert(0, "era", era)
    features["target"] = np.float32(np.nan)
    benchmarks = pd.DataFrame({"era": era, "v52_lgbm_ender20": rng.random(rows)}, index=ids)
    return features, benchmarks


def predict(recipe: str, features: Any, benchmarks: Any) -> Any:
    return build(RECIPES[recipe], {"linear": linear})(features, benchmarks)


def right(recipe: str) -> pd.DataFrame:
    return predict(recipe, *live())


def with_column(name: str, value: Any) -> Damage:
    return lambda f, b: (f.assign(**{name: value}), b)


def cell(value: Any, kind: Any = np.float64) -> Damage:
    def damage(f: pd.DataFrame, b: pd.DataFrame) -> tuple[Any, Any]:
        changed = f.assign(**{FEATURES[2]: f[FEATURES[2]].astype(kind)})
        changed.iloc[3, changed.columns.get_loc(FEATURES[2])] = value
        return changed, b

    return damage


def converted(kind: Any) -> Damage:
    return lambda f, b: (f.astype(dict.fromkeys(FEATURES, kind)), b)


def renamed(frame: pd.DataFrame, **names: str) -> pd.DataFrame:
    return frame.rename(columns=names)


# name -> damage; the answer must be that for the undamaged data, row by row
HARMLESS: dict[str, Damage] = {
    "nothing": lambda f, b: (f, b),
    "extra feature": with_column("feature_zebra", 3),
    "extra text column": with_column("note", "hello"),
    "extra target": with_column("target_ender_60", 0.5),
    "features in reverse order": lambda f, b: (f[f.columns[::-1]], b),
    "features sorted elsewhere": lambda f, b: (f[sorted(f.columns, key=lambda name: name[-2:])], b),
    "rows in reverse order": lambda f, b: (f[::-1], b[::-1]),
    "rows shuffled": lambda f, b: (f.sample(frac=1, random_state=3), b),
    "benchmark rows shuffled": lambda f, b: (f, b.sample(frac=1, random_state=3)),
    "benchmark of more rows": lambda f, b: (f, pd.concat([live(seed=1)[1], b])),
    "benchmark columns in another order": lambda f, b: (f, b[b.columns[::-1]]),
    "extra benchmark": lambda f, b: (f, b.assign(v52_lgbm_other=0.5)),
    "era as a number": with_column("era", 1234),
    "era as a padded text": with_column("era", "0575"),
    "era as a long text": with_column("era", "era1234"),
    "era as a category": lambda f, b: (f.assign(era=f["era"].astype("category")), b),
    "era as a float": with_column("era", 1234.0),
    "no era": lambda f, b: (f.drop(columns="era"), b),
    "no target": lambda f, b: (f.drop(columns="target"), b),
    "id as a column": lambda f, b: (f.reset_index(), b),
    "id as a column in both": lambda f, b: (f.reset_index(), b.reset_index()),
    "index without a name": lambda f, b: (f.rename_axis(None), b.rename_axis(None)),
    "features as float32": converted(np.float32),
    "features as float64": converted(np.float64),
    "features as int64": converted(np.int64),
    "features as uint8": converted(np.uint8),
    "features as nullable integers": converted("Int8"),
    "features as nullable floats": converted("Float32"),
    "frame that forbids duplicates": lambda f, b: (f.set_flags(allows_duplicate_labels=False), b),
    "benchmark as float32 that keeps its order": lambda f, b: (f, b.astype({"v52_lgbm_ender20": np.float32})),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str, recipe: str) -> None:
    features, benchmarks = HARMLESS[name](*live())
    before = features.copy(deep=True)
    given = predict(recipe, features, benchmarks)
    assert list(given.columns) == ["prediction"]
    expected = right(recipe)
    ids = features.get("id", features.index)
    assert list(given.index) == list(ids)
    np.testing.assert_array_equal(given["prediction"], expected["prediction"].reindex(list(ids)))
    pd.testing.assert_frame_equal(features, before)


# name -> damage, words of the one sentence
HARMFUL: dict[str, tuple[Damage, str]] = {
    "missing feature": (lambda f, b: (f.drop(columns=FEATURES[1]), b), "lacks 1 of 5 features.*feature_birch"),
    "all features missing": (lambda f, b: (f[["era"]], b), "lacks 5 of 5 features.*feature_ash"),
    "feature in capitals": (lambda f, b: (renamed(f, feature_ash="FEATURE_ASH"), b), "lacks 1 of 5.*feature_ash"),
    "feature with a space": (lambda f, b: (renamed(f, feature_ash="feature_ash "), b), "lacks 1 of 5.*feature_ash"),
    "feature twice": (lambda f, b: (pd.concat([f, f[[FEATURES[0]]]], axis=1), b), "'feature_ash' more than once"),
    "era twice": (lambda f, b: (pd.concat([f, f[["era"]]], axis=1), b), "'era' more than once"),
    "no rows": (lambda f, b: (f.iloc[:0], b), "at least one row"),
    "an empty frame": (lambda _f, b: (pd.DataFrame(), b), "at least one row"),
    "ids twice": (lambda f, b: (pd.concat([f, f.iloc[:2]]), b), "2 ids more than once.*n00"),
    "the same id throughout": (lambda f, b: (f.set_axis(["n1"] * ROWS), b), "39 ids more than once.*n1"),
    "a row without an id": (lambda f, b: (f.set_axis([None, *f.index[1:]]), b), "without an id"),
    "a value of 5": (cell(5), "feature_cedar' must hold whole numbers 0..4, but holds 5"),
    "a value of -1": (cell(-1), "feature_cedar' must hold whole numbers 0..4, but holds -1"),
    "a value of a half": (cell(0.5), "feature_cedar' must hold whole numbers 0..4, but holds 0.5"),
    "a value of infinity": (cell(np.inf), "feature_cedar' must hold whole numbers 0..4, but holds inf"),
    "a huge value": (cell(1e30), "feature_cedar' must hold whole numbers 0..4"),
    "quarters, as in old data": (lambda f, b: (f.assign(**{n: f[n] / 4 for n in FEATURES}), b), "whole numbers 0..4"),
    "features as text": (converted(str), "feature_ash' must hold numbers 0..4, but holds"),
    "features as objects": (converted(object), "feature_ash' must hold numbers 0..4, but holds object"),
    "features as dates": (with_column(FEATURES[3], pd.Timestamp("2026-01-01")), "feature_dogwood' must hold numbers"),
    "features as complex numbers": (converted(np.complex128), "feature_ash' must hold numbers 0..4, but holds complex"),
    "features as categories": (converted("category"), "feature_ash' must hold numbers 0..4, but holds category"),
    "a row without an era": (lambda f, b: (f.assign(era=["X"] * (ROWS - 1) + [None]), b), "1 rows without an era"),
    "an array": (lambda f, b: (f[FEATURES].to_numpy(), b), "must be a pandas DataFrame, but is ndarray"),
    "a dictionary": (lambda f, b: (f.to_dict(), b), "must be a pandas DataFrame, but is dict"),
    "nothing at all": (lambda _f, b: (None, b), "must be a pandas DataFrame, but is NoneType"),
    "a column": (lambda f, b: (f[FEATURES[0]], b), "must be a pandas DataFrame, but is Series"),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", HARMFUL)
def test_harmful(name: str, recipe: str) -> None:
    damage, words = HARMFUL[name]
    with pytest.raises(ValueError, match=words):
        predict(recipe, *damage(*live()))


BENCHMARK_HARM: dict[str, tuple[Damage, str]] = {
    "none": (lambda f, _b: (f, None), "needs live_benchmark_models with v52_lgbm_ender20, but got None"),
    "an array": (lambda f, b: (f, b.to_numpy()), "needs live_benchmark_models with v52_lgbm_ender20"),
    "another column": (lambda f, b: (f, renamed(b, v52_lgbm_ender20="v53_lgbm_ender20")), "lacks the column 'v52"),
    "other ids": (lambda f, _b: (f, live(seed=2)[1]), "no 'v52_lgbm_ender20' for 40 of 40 rows"),
    "a row too few": (lambda f, b: (f, b.iloc[1:]), "no 'v52_lgbm_ender20' for 1 of 40 rows"),
    "ids twice": (lambda f, b: (f, pd.concat([b, b.iloc[:1]])), "holds 1 ids more than once"),
    "a NaN": (lambda f, b: (f, b.where(b["v52_lgbm_ender20"] < 0.9)), "no 'v52_lgbm_ender20' for"),
    "infinity": (lambda f, b: (f, b.replace(b.iloc[0, 1], np.inf)), "no 'v52_lgbm_ender20' for 1 of 40 rows"),
    "text": (lambda f, b: (f, b.assign(v52_lgbm_ender20="half")), "no 'v52_lgbm_ender20' for 40 of 40 rows"),
    "empty": (lambda f, b: (f, b.iloc[:0]), "no 'v52_lgbm_ender20' for 40 of 40 rows"),
}


@pytest.mark.parametrize("name", BENCHMARK_HARM)
def test_benchmarks(name: str) -> None:
    damage, words = BENCHMARK_HARM[name]
    features, benchmarks = damage(*live())
    with pytest.raises(ValueError, match=words):
        predict("blend", features, benchmarks)
    # Whoever does not need benchmark models does not look at them.
    np.testing.assert_array_equal(predict("two", features, benchmarks), right("two"))


def test_one_row() -> None:
    features, benchmarks = live(rows=1)
    for recipe in RECIPES:
        given = predict(recipe, features, benchmarks)
        assert given["prediction"].tolist() == [0.5], recipe


def test_constant_predictions_share_their_rank() -> None:
    features, benchmarks = live()
    features[FEATURES] = np.int8(1)
    assert set(predict("two", features, benchmarks)["prediction"]) == {0.5}


def test_nan_counts_as_missing() -> None:
    features, benchmarks = live()
    gap = features.astype(dict.fromkeys(FEATURES, np.float64))
    gap.iloc[3, 3] = np.nan
    two = features.copy()
    two.iloc[3, 3] = 2
    np.testing.assert_array_equal(predict("two", gap, benchmarks), predict("two", two, benchmarks))
    assert predict("nan", gap, benchmarks)["prediction"].iloc[3] > predict("nan", two, benchmarks)["prediction"].iloc[3]


def test_a_feature_of_twos_is_missing_where_the_model_was_trained_so() -> None:
    features, benchmarks = live()
    features[FEATURES[0]] = np.int8(2)
    gone = features.astype({FEATURES[0]: np.float64})
    gone[FEATURES[0]] = np.nan
    np.testing.assert_array_equal(predict("nan", features, benchmarks), predict("nan", gone, benchmarks))


def test_eras_are_ranked_one_by_one() -> None:
    both = [live("0001", seed=1), live("0002", seed=2)]
    joined = predict(
        "blend", pd.concat([f for f, _ in both]).sample(frac=1, random_state=0), pd.concat([b for _, b in both])
    )
    for features, benchmarks in both:
        alone = predict("blend", features, benchmarks)
        np.testing.assert_array_equal(joined.loc[alone.index], alone)


def test_the_same_answer_twice() -> None:
    function = build(RECIPES["blend"], {"linear": linear})
    np.testing.assert_array_equal(function(*live()), function(*live()))


@pytest.mark.parametrize(
    "answer", [np.zeros(3), np.full(ROWS, np.nan), np.full(ROWS, np.inf)], ids=["few", "nan", "inf"]
)
def test_a_model_that_fails_is_told(answer: Any) -> None:
    function = build(RECIPES["two"], {"linear": lambda _: lambda _matrix: answer})
    with pytest.raises(ValueError, match="linear model gave"):
        function(*live())
