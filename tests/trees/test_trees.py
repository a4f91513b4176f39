"""Trees: the ones that LightGBM grows, whatever the rows and the settings. Only a tie may part them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees_beside_lightgbm import Case, compare, plain_case, random_case

from numerai_ray.trees import grower
from numerai_ray.trees.draws import Seeds, seeds_from
from numerai_ray.trees.forest import Forest
from numerai_ray.trees.grower import Settings, TrainingRows
from numerai_ray.trees.growing import grow


def assert_equal(case: Case, threads: int = 1) -> Forest:
    """Both engines' trees are equal, no tie either. Returns ours."""
    found = compare(case, threads)
    assert found.equal, found
    return case.ours(threads)


def features_of(forest: Forest) -> list[list[int]]:
    return [sorted(set(tree.feature.tolist())) for tree in forest.trees]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), threads=st.sampled_from([1, 2]))
def test_any_case_has_lightgbms_trees(seed: int, threads: int) -> None:
    found = compare(random_case(seed), threads)
    assert found.fine, found


SMALL = {
    "rows": st.integers(20, 3000),
    "features": st.integers(1, 30),
    "trees": st.integers(1, 12),
    "data": st.integers(0, 99),
    "weighted": st.booleans(),
    "unused": st.booleans(),
    "rounded": st.booleans(),
    "cut": st.lists(st.integers(0, 4), max_size=30),  # columns whose greatest value is less than 4
    "seed": st.none() | st.integers(0, 2**31 - 1),
}
SETTINGS = {
    "learning_rate": st.sampled_from([0.1, 0.01, 0.3]),
    "num_leaves": st.integers(2, 80),
    "max_depth": st.integers(-1, 9),
    "min_data_in_leaf": st.integers(20, 100),
    "min_sum_hessian_in_leaf": st.sampled_from([1e-3, 0.0, 25.0]),
    "lambda_l1": st.sampled_from([0.0, 0.1, 3.0]),
    "lambda_l2": st.sampled_from([0.0, 0.1, 20.0]),
    "min_gain_to_split": st.sampled_from([0.0, 0.1, 2.0]),
    "feature_fraction": st.sampled_from([1.0, 0.99, 0.6, 0.3, 0.01]),
    "bagging_fraction": st.sampled_from([1.0, 0.9, 0.4]),
    "bagging_freq": st.integers(0, 4),
    "pre_filter": st.booleans(),
}


def small_case(given_settings: dict[str, Any], has: dict[str, Any]) -> Case:
    """A case that shrinks: to fewer rows and features, and to LightGBM's defaults."""
    seeds = Seeds() if has["seed"] is None else seeds_from(has["seed"])
    case = plain_case(has["rows"], has["features"], has["trees"], seed=has["data"], seeds=seeds, **given_settings)
    case.seed, rng = has["seed"], np.random.default_rng(has["data"])
    if has["weighted"]:
        case.weight = rng.choice(np.array([0.25, 1, 1.5], np.float32), has["rows"])
    if has["unused"]:
        case.used = rng.random(has["rows"]) < 0.9
        case.used[0] = True
    if has["rounded"]:
        case.target = np.round(case.target)
    for column, most in zip(case.columns, has["cut"], strict=False):
        np.minimum(column, most, out=column)
    return case


@settings(max_examples=100)
@given(own=st.fixed_dictionaries(SETTINGS), has=st.fixed_dictionaries(SMALL), threads=st.sampled_from([1, 2]))
def test_any_settings_have_lightgbms_trees(own: dict[str, Any], has: dict[str, Any], threads: int) -> None:
    found = compare(small_case(own, has), threads)
    assert found.fine, found


@pytest.mark.parametrize("first", [1, 2])
def test_of_two_leaves_that_gain_the_same_that_of_the_first_feature_is_split(first: int) -> None:
    """All sums are exact, so this is no tie to be forgiven."""
    half, part = np.arange(800) // 400, (np.arange(800) // 100 % 2).astype(np.int8)
    other = (np.arange(800) // 50 % 2).astype(np.int8)
    known, blind = np.where(half == first - 1, part, other), np.where(half == first - 1, other, part)
    columns = [(4 * half).astype(np.int8), known, blind]
    target = np.where(half == 1, 4.0, -4.0) + np.where(part == 1, 1.0, -1.0)
    case = Case(columns, target.astype(np.float32), None, None, Settings(num_leaves=3), None, 1)
    for threads in (1, 2):
        assert assert_equal(case, threads).trees[0].feature.tolist() == [0, 1]


def test_mirrored_columns() -> None:
    """A mirrored column gains what the column does, to rounding: which of the two is taken, nobody can say."""
    case = plain_case(3000, 6, 8)
    mirrored = replace(case, columns=[*case.columns, *(4 - column for column in case.columns)])
    for seed in range(10):
        target = np.random.default_rng(seed).normal(size=3000).astype(np.float32)
        found = compare(replace(mirrored, target=target))
        assert found.fine, found


def test_a_tie_is_seen() -> None:
    """Two columns that gain the same, by a grower that would take the last of them."""

    class Backwards(Case):
        def ours(self, threads: int = 1) -> Forest:
            forest = Case(**{**vars(self), "columns": self.columns[::-1]}).ours(threads)
            last = len(self.columns) - 1
            return replace(forest, trees=tuple(replace(tree, feature=last - tree.feature) for tree in forest.trees))

    case = plain_case(2500, 2, 3, num_leaves=2)
    case.columns = [(np.arange(2500) // step % 5).astype(np.int8) for step in (1, 5)]
    case.target = (case.columns[0] * case.columns[1]).astype(np.float32)
    found = compare(Backwards(**vars(case)))
    assert not found.equal, found
    assert found.tie, found


@pytest.mark.parametrize("other", [{"lambda_l2": 40.0}, {"num_leaves": 30}, {"min_data_in_leaf": 60}])
@pytest.mark.parametrize("bag", [{}, {"bagging_fraction": 0.6, "bagging_freq": 2}])
def test_a_difference_is_no_tie(other: dict[str, Any], bag: dict[str, Any]) -> None:
    """What the other tests rely on: trees of other settings are found to differ, and not to be ties."""

    class Mixed(Case):
        def ours(self, threads: int = 1) -> Forest:
            return Case(**{**vars(self), "settings": replace(self.settings, **other)}).ours(threads)

    case = plain_case(4000, 8, 4, **bag)
    assert compare(case).equal
    found = compare(Mixed(**vars(case)))
    assert not found.fine, found


@pytest.mark.parametrize("rows", [20, 39, 40, 41, 60])
@pytest.mark.parametrize("features", [1, 3])
def test_few_rows(rows: int, features: int) -> None:
    case = plain_case(rows, features, 3)
    case.columns[0][:] = np.arange(rows) % 2 * 4
    case.target = (case.target + case.columns[0]).astype(np.float32)
    forest = assert_equal(case)
    assert (forest.trees[0].n_leaves > 1) == (rows >= 40)


def test_one_feature() -> None:
    assert features_of(assert_equal(plain_case(5000, 1, 5))) == [[0]] * 5


@pytest.mark.parametrize("offset", [0.0, 0.1, 0.5, 1e3])
def test_a_constant_target(offset: float) -> None:
    case = plain_case(1000, 4, 3)
    assert_equal(replace(case, target=np.full(1000, offset, np.float32)))


@pytest.mark.parametrize("kind", ["constant", "too few rows"])
@pytest.mark.parametrize("bag", [{}, {"bagging_fraction": 0.5, "bagging_freq": 1}])
def test_all_features_are_filtered(kind: str, bag: dict[str, Any]) -> None:
    case = plain_case(1000, 5, 4, min_data_in_leaf=20 if kind == "constant" else 501, **bag)
    if kind == "constant":
        case.columns = [np.full(1000, place % 5, np.int8) for place in range(5)]
    forest = assert_equal(case)
    assert not len(forest.bins.usable)
    assert [tree.n_leaves for tree in forest.trees] == [1]
    assert forest.after == (1, 1, 1, 1)


@pytest.mark.parametrize("bag", [{}, {"bagging_fraction": 0.7, "bagging_freq": 3}])
def test_a_try_that_finds_no_split(bag: dict[str, Any]) -> None:
    """A first one stays as a constant, a later one adds no tree, and both move the draws on."""
    starts, later = [], []
    for seed in range(12):
        case = plain_case(2000, 10, 12, feature_fraction=0.2, min_gain_to_split=12.0, learning_rate=0.3, **bag)
        case.settings, case.seed = replace(case.settings, seeds=seeds_from(seed)), seed
        forest = assert_equal(case)
        starts.append(forest.trees[0].n_leaves)
        later.append(len(forest.trees) < 12)
    assert min(starts) == 1 < max(starts), "some begin with a constant, some do not"
    assert any(later)


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("fraction", [0.2, 0.75, 0.999])
def test_bags(every: int, fraction: float) -> None:
    case = plain_case(5000, 6, 11, bagging_fraction=fraction, bagging_freq=every)
    forest = assert_equal(case)
    counts = [int(tree.leaf_count.sum()) for tree in forest.trees]
    assert all(count == counts[number - number % every] for number, count in enumerate(counts))
    assert max(counts) < 5000
    assert len(set(counts)) > 1


def test_a_first_bag_of_all_rows_is_kept() -> None:
    forest = assert_equal(plain_case(1500, 6, 40, bagging_fraction=0.9995, bagging_freq=1))
    assert {int(tree.leaf_count.sum()) for tree in forest.trees} == {1500}


@pytest.mark.parametrize("off", [{"bagging_fraction": 0.5, "bagging_freq": 0}, {"bagging_freq": 2}])
def test_no_bags_without_a_share_or_a_frequency(off: dict[str, Any]) -> None:
    assert assert_equal(plain_case(2000, 4, 3, **off)).trees[2].leaf_count.sum() == 2000


@pytest.mark.parametrize("more", [{}, {"bagging_fraction": 0.5, "bagging_freq": 2}, {"min_sum_hessian_in_leaf": 90.0}])
@pytest.mark.parametrize("kind", ["eras", "some zero", "an era of zero", "one", "tiny", "decay", "wide"])
def test_weights(kind: str, more: dict[str, Any]) -> None:
    case, rng = plain_case(6000, 9, 6, **more), np.random.default_rng(1)
    eras = np.repeat(rng.uniform(0.3, 3, 60), 100)
    weights = {
        "eras": eras,
        "some zero": eras * (rng.random(6000) < 0.8),
        "an era of zero": np.where(np.arange(6000) < 700, 0, eras),
        "one": np.ones(6000),
        "tiny": eras * 1e-6,
        "decay": 1e4 ** (np.arange(6000) // 100 / 60 - 1),
        "wide": np.exp(rng.normal(size=6000)),
    }
    case.columns[1] = (np.arange(6000) // 1200).astype(np.int8)  # leaves of early eras alone
    case.weight = weights[kind].astype(np.float32)
    assert_equal(case)
    assert_equal(case, threads=2)


def test_weights_change_trees() -> None:
    case = plain_case(6000, 9, 3)
    weighted = replace(case, weight=np.linspace(0.1, 2, 6000).astype(np.float32))
    assert features_of(case.ours()) != features_of(weighted.ours())


def test_the_pre_filter_changes_what_is_drawn_from() -> None:
    case = plain_case(3000, 30, 6, feature_fraction=0.3)
    for place in (3, 11, 20):
        case.columns[place][:] = place % 5
    case.columns[25][:] = 1
    case.columns[25][:15] = 4
    assert list(case.ours().bins.usable) == [place for place in range(30) if place not in {3, 11, 20, 25}]
    kept = replace(case, settings=replace(case.settings, pre_filter=False))
    # A constant that is not 0 has two bins, as 0 has one of its own.
    assert list(kept.ours().bins.usable) == [place for place in range(30) if place != 20]
    assert features_of(assert_equal(case)) != features_of(assert_equal(kept))


@pytest.mark.parametrize("seen", [1, 2, 3, 4])
@pytest.mark.parametrize("value", range(5))
def test_a_rare_value_is_merged_into_a_neighbours_bin(seen: int, value: int) -> None:
    """One that is seen fewer than three times has no bin of its own, but 0 has."""
    case, rng = plain_case(2000, 4, 4), np.random.default_rng(value)
    rare = rng.choice([each for each in range(5) if each != value], 2000).astype(np.int8)
    rare[rng.choice(2000, seen, replace=False)] = value
    case.columns[0] = rare
    case.target = (case.target + 0.7 * rare).astype(np.float32)
    forest = assert_equal(case)
    assert any(0 in each for each in features_of(forest))
    # The greatest value's bin is what is left, however little that is.
    assert np.isnan(forest.bins.bounds[0]).any() == (seen < 3 and 0 < value < 4)


@pytest.mark.parametrize("kept", [[0, 1], [0, 4], [1, 2], [1, 3], [2, 4], [0, 2, 4], [1, 2, 4], [3, 4], [0, 1, 2, 3]])
def test_a_feature_of_some_values(kept: list[int]) -> None:
    """Where a threshold lies between values that are not neighbours shows with values that training did not have."""
    case = plain_case(2000, 3, 4)
    seen = np.random.default_rng(0).choice(kept, 2000).astype(np.int8)
    case.columns[0] = seen
    case.target = (case.target + 0.7 * seen).astype(np.float32)
    case.used = np.arange(2000) < 1500
    case.columns[0][1500:] = np.arange(500) % 5
    assert 0 in features_of(assert_equal(case))[0]


def test_values_that_the_sample_of_rows_does_not_show() -> None:
    """Bins are made of 200,000 rows: of 250,000, two that alone have a value may be among the others."""
    case = plain_case(250_000, 3, 3, num_leaves=7)
    sample = grower.sampled_rows(250_000, 200_000, 1)
    outside = np.setdiff1d(np.arange(250_000), sample)
    for column, low, high in zip(case.columns, (1, 0, 0), (4, 3, 4), strict=True):
        np.clip(column, low, high, out=column)
    case.columns[0][outside[::500]] = 0
    case.columns[1][outside[::500]] = 4
    case.columns[2][:] = np.where(case.columns[2] > 2, 4, 1)
    case.columns[2][outside[::500]] = 2
    forest = assert_equal(case)
    assert list(zip(forest.bins.lowest, forest.bins.highest, strict=True)) == [(1, 4), (0, 3), (1, 4)]


DRAWS = [(1, 0.1), (2, 0.5), (5, 0.5), (30, 0.9), (30, 0.1), (400, 0.1), (400, 0.6), (11_000, 0.1)]


@pytest.mark.parametrize(("features", "fraction"), DRAWS)
def test_draws_of_features(features: int, fraction: float) -> None:
    """Each tree splits once, so the trees tell which features were drawn; few and many are drawn by two rules."""
    case = plain_case(200, features, 10, feature_fraction=fraction, num_leaves=2)
    forest = assert_equal(case)
    assert len({tuple(each) for each in features_of(forest)}) > 1 or features == 1


SMALL_SAMPLE = 1500


@pytest.mark.parametrize("seeds", [Seeds(), Seeds(data=9), Seeds(bagging=9), Seeds(features=9), Seeds(77, 78, 79)])
def test_seeds_given_one_by_one(seeds: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equal(of_all_draws(monkeypatch, seeds, None))


@pytest.mark.parametrize("seed", [0, 1, 42, 1337, 2**31 - 1])
def test_seeds_that_follow_from_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equal(of_all_draws(monkeypatch, seeds_from(seed), seed))


def test_each_seed_changes_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [Seeds(), Seeds(data=9), Seeds(bagging=9), Seeds(features=9)]
    assert len({of_all_draws(monkeypatch, seeds, None).text() for seeds in each}) == 4


def of_all_draws(monkeypatch: pytest.MonkeyPatch, seeds: Seeds, seed: int | None) -> Case:
    """A case that draws features, bags, and rows to make bins of: fewer than usual, and rare values depend on them."""

    class Sampled(Case):
        def lightgbm_params(self) -> dict[str, Any]:
            return super().lightgbm_params() | {"bin_construct_sample_cnt": SMALL_SAMPLE}

    monkeypatch.setattr(grower, "SAMPLED_ROWS", SMALL_SAMPLE)
    case = plain_case(4000, 40, 6, feature_fraction=0.4, bagging_fraction=0.6, bagging_freq=2, seeds=seeds)
    rng = np.random.default_rng(3)
    for place, column in enumerate(case.columns[:35]):
        column[:] = 1 + 2 * (rng.random(4000) < 30 * (place + 1) / 4000)  # many are near what the filter asks for
        column[rng.choice(4000, 7)] = 4
    return Sampled(**{**vars(case), "seed": seed})


def test_many_leaves_and_trees() -> None:
    case = plain_case(30_000, 10, 3, num_leaves=700, min_data_in_leaf=20)
    forest = assert_equal(case)
    assert forest.trees[0].n_leaves > 256
    assert_equal(plain_case(30_000, 10, 3, num_leaves=300, bagging_fraction=0.5, bagging_freq=1))
    assert_equal(plain_case(3000, 10, 150, feature_fraction=0.5))


def test_columns_may_be_read_only_and_lie_anywhere() -> None:
    case = plain_case(3000, 5, 3)
    block = np.zeros((5, 3001), np.int8)  # rows begin at odd addresses
    for place, column in enumerate(case.columns):
        block[place, 1:] = column
    block.flags.writeable = False
    case.target.flags.writeable = False
    assert replace(case, columns=[row[1:] for row in block]).text() == case.text()


@pytest.mark.parametrize("wrong", ["other type", "strided", "backwards"])
def test_a_column_that_is_not_contiguous_int8_is_refused(wrong: str) -> None:
    case = plain_case(100, 3, 1)
    bad = {
        "other type": case.columns[1].astype(np.uint8),
        "strided": np.repeat(case.columns[1], 2)[::2],
        "backwards": case.columns[1][::-1],
    }[wrong]
    case.columns[1] = bad
    with pytest.raises(ValueError, match="a column must be contiguous int8"):
        case.ours()
    forest = plain_case(100, 3, 1).ours()
    with pytest.raises(ValueError, match="a column must be contiguous int8"):
        forest.predict(case.columns, [(0, 100)])


def test_a_column_of_too_few_rows_is_refused() -> None:
    """A kernel would read what lies behind it in memory."""
    case = plain_case(100, 3, 1)
    case.columns[2] = case.columns[2][:99]
    with pytest.raises(ValueError, match="a column must have a row for each of 100 targets, but column 2 has 99"):
        case.ours()


def test_rows_to_predict_must_be_there() -> None:
    case = plain_case(100, 3, 1)
    forest = case.ours()
    for ranges in ([(0, 101)], [(0, 50), (-1, 3)]):
        with pytest.raises(ValueError, match=r"rows to predict must be among the 100 of the columns, but are"):
            forest.predict(case.columns, ranges)
    with pytest.raises(ValueError, match="the forest was grown on 3 columns, but is given 2"):
        forest.predict(case.columns[:2], [(0, 100)])


def test_no_used_row_is_refused() -> None:
    case = plain_case(100, 3, 1)
    with pytest.raises(ValueError, match="no row is used"):
        grow(TrainingRows(case.columns, case.target, None, np.zeros(100, bool)), Settings(), 1)
