"""The text of grown trees: LightGBM's own, line by line; and the same for any threads, any order, any unused rows."""

import hashlib
import multiprocessing
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from trees_beside_lightgbm import Case, plain_case, random_case

from numerai_ray.trees.grower import TrainingRows
from numerai_ray.trees.growing import grow
from numerai_ray.trees.model_text import model_text
from numerai_ray.trees.together import ROWS_FOR_ALL

# Lines that LightGBM rounds, or sums in another order. All others must be the same, character by character.
ROUNDED = {
    "split_gain": 1e-5,
    "leaf_value": 1e-9,
    "leaf_weight": 1e-5,
    "internal_value": 1e-5,
    "internal_weight": 1e-5,
}


def weighted(case: Case) -> Case:
    eras = np.repeat(np.random.default_rng(8).uniform(0.2, 2, len(case.target) // 50 + 1), 50)
    return replace(case, weight=eras[: len(case.target)].astype(np.float32))


def partly_used(case: Case) -> Case:
    """Without a block in the middle, and without single rows."""
    used = np.random.default_rng(9).random(len(case.target)) < 0.97
    used[len(used) // 3 : len(used) // 2] = False
    return replace(case, used=used)


def of_odd_columns(case: Case) -> Case:
    """Constants, two values alone, rare ones."""
    columns = [column.copy() for column in case.columns]
    columns[2][:] = 3
    columns[3][:] = 0
    columns[4] = np.where(columns[4] > 2, 4, 1).astype(np.int8)
    columns[5][:] = np.where(np.arange(len(case.target)) % 2000 == 0, 2, 4 * (columns[5] > 1))
    columns[6] = np.minimum(columns[6], 2)
    return replace(case, columns=columns, target=(case.target + 0.5 * columns[4]).astype(np.float32))


CASES: dict[str, Callable[[], Case]] = {
    "plain": lambda: plain_case(6000, 12, 4),
    "one leaf": lambda: plain_case(600, 3, 4, min_gain_to_split=1e6),
    "some tries without a split": lambda: plain_case(2000, 10, 12, feature_fraction=0.2, min_gain_to_split=12.0),
    "depth": lambda: plain_case(6000, 12, 4, max_depth=4, num_leaves=16),
    "many leaves": lambda: plain_case(30_000, 8, 2, num_leaves=600),
    "l1, l2, least gain": lambda: plain_case(6000, 8, 4, lambda_l1=3.0, lambda_l2=9.0, min_gain_to_split=0.5),
    "average 0": lambda: replace(plain_case(4000, 4, 3), target=np.tile(np.float32([-1, 1]), 2000)),
    "weights": lambda: weighted(plain_case(6000, 12, 4, feature_fraction=0.6)),
    "bags": lambda: plain_case(6000, 12, 7, bagging_fraction=0.6, bagging_freq=3),
    "weights and bags": lambda: weighted(plain_case(6000, 12, 7, bagging_fraction=0.6, bagging_freq=3)),
    "unused rows": lambda: partly_used(plain_case(9000, 12, 4)),
    "odd columns": lambda: of_odd_columns(plain_case(6000, 10, 6, feature_fraction=0.5)),
    "odd columns, no filter": lambda: of_odd_columns(plain_case(6000, 10, 6, feature_fraction=0.5, pre_filter=False)),
    "all at once": lambda: of_odd_columns(
        partly_used(weighted(plain_case(9000, 10, 6, feature_fraction=0.5, bagging_fraction=0.6, bagging_freq=1)))
    ),
}


def lines_of(text: str) -> list[tuple[str, str]]:
    """Name and value of each line up to the importances; where trees begin in the file depends on digits."""
    body = text.split("feature_importances:", maxsplit=1)[0]
    parted = [tuple(line.split("=", 1)) if "=" in line else (line, "") for line in body.splitlines() if line]
    return [(name, value) for name, value in parted if name != "tree_sizes"]


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_lightgbms_line_by_line(name: str) -> None:
    case = CASES[name]()
    ours, theirs = lines_of(case.text()), lines_of(case.lightgbm().model_to_string())
    assert [line for line, _ in ours] == [line for line, _ in theirs]
    for (line, own), (_, other) in zip(ours, theirs, strict=True):
        if line in ROUNDED:
            numbers = [np.array(text.split(), float) for text in (own, other)]
            np.testing.assert_allclose(*numbers, rtol=ROUNDED[line], atol=1e-9, err_msg=line)
        else:
            assert own == other, line


@pytest.mark.parametrize("name", CASES)
def test_lightgbm_reads_the_text_and_predicts_the_same_to_the_last_bit(name: str) -> None:
    case = CASES[name]()
    forest = case.ours()
    booster = lgb.Booster(model_str=model_text(forest, case.names, {"num_leaves": 31, "flag": True}))
    matrix, everything = np.stack(case.columns, axis=1).astype(np.float32), [(0, len(case.target))]
    assert booster.num_trees() == len(forest.trees)
    assert booster.feature_name() == case.names
    assert np.array_equal(booster.predict(matrix), forest.predict(case.columns, everything)[0])
    assert np.array_equal(booster.predict(matrix), forest.predict(case.columns, everything, threads=3)[0])
    lengths = [1, 2, len(forest.after)]
    for length, own in zip(lengths, forest.predict(case.columns, everything, lengths), strict=True):
        assert np.array_equal(booster.predict(matrix, num_iteration=forest.after[length - 1]), own)
    assert lines_of(booster.model_to_string())[2:] == lines_of(lgb.Booster(model_str=case.text()).model_to_string())[2:]


@pytest.mark.parametrize("name", CASES)
def test_importances_are_lightgbms(name: str) -> None:
    case = CASES[name]()
    forest, booster = case.ours(), case.lightgbm()
    np.testing.assert_allclose(forest.importance(), booster.feature_importance("gain"), rtol=1e-6, atol=1e-6)
    texts = [case.text(), booster.model_to_string(importance_type="gain")]
    told, theirs = (text.split("feature_importances:\n")[1].split("parameters:")[0].split() for text in texts)
    assert told == theirs


def test_names_are_kept() -> None:
    case = plain_case(600, 3, 2)
    names = ["feature_untidy.x-1", "plain", "füñf"]
    assert lgb.Booster(model_str=model_text(case.ours(), names, {})).feature_name() == names


def large_case(**more: Any) -> Case:
    """Nodes that all threads expand together, and a limit of leaves that ends growth where more could be had."""
    return plain_case(int(2.5 * ROWS_FOR_ALL), 14, 3, num_leaves=45, feature_fraction=0.7, **more)


LARGE: dict[str, Callable[[], Case]] = {
    "plain": large_case,
    "weights": lambda: weighted(large_case()),
    "weights and many leaves": lambda: weighted(plain_case(int(2.2 * ROWS_FOR_ALL), 9, 2, num_leaves=400)),
    "bags": lambda: large_case(bagging_fraction=0.7, bagging_freq=2),
    "unused rows": lambda: partly_used(large_case()),
    "depth": lambda: large_case(max_depth=4),
    "many leaves": lambda: plain_case(int(2.2 * ROWS_FOR_ALL), 9, 2, num_leaves=400),
    "as many as there are": lambda: plain_case(int(2.2 * ROWS_FOR_ALL), 9, 2, num_leaves=400, min_data_in_leaf=900),
}


@pytest.mark.parametrize("name", LARGE)
def test_any_number_of_threads_grows_the_same(name: str) -> None:
    case = LARGE[name]()
    one = case.text()
    tree = case.ours().trees[0]
    assert (tree.n_leaves == case.settings.num_leaves) == (name not in {"depth", "as many as there are"})
    assert np.sum(tree.node_count >= ROWS_FOR_ALL) >= 2, "the root is not all that threads expand together"
    for threads in (2, 3, 4):
        assert case.text(threads) == one, f"{threads} threads"


@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_threads_grows_the_same_of_any_case(seed: int) -> None:
    case = random_case(seed, most_rows=8000)
    assert case.text(2) == case.text(3) == case.text(1)


def test_other_fits_before_or_at_once_change_nothing() -> None:
    bagged = plain_case(4000, 3, 5, bagging_fraction=0.5, bagging_freq=1)
    cases = [large_case(), weighted(plain_case(5000, 30, 5)), bagged]
    alone = [case.text() for case in cases]
    for order in ([2, 1, 0], [0, 0, 2, 1, 2]):
        assert [cases[place].text(1 + place % 2) for place in order] == [alone[place] for place in order]
    with ThreadPoolExecutor(3) as pool:
        jobs = [(place, threads) for threads in (2, 1, 2) for place in (0, 1, 2, 0)]
        found = list(pool.map(lambda job: cases[job[0]].text(job[1]), jobs))
    assert found == [alone[place] for place, _ in jobs]


def _digest(threads: int) -> str:
    return hashlib.sha256(large_case().text(threads).encode()).hexdigest()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_process_grows_the_same_after_a_fit_of_several_threads() -> None:
    own = _digest(2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_digest, (2,)).get(timeout=60) == own


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("more", [{}, {"bagging_fraction": 0.6, "bagging_freq": 2}])
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("junk", [np.nan, np.inf, -3e38])
def test_unused_rows_are_as_if_not_there(junk: float, weigh: bool, more: dict[str, Any], threads: int) -> None:
    case = partly_used(plain_case(7000, 11, 4, feature_fraction=0.6, **more))
    case = weighted(case) if weigh else case
    assert case.used is not None
    rows = case.rows
    alone = Case(
        [column[rows].copy() for column in case.columns],
        case.target[rows],
        None if case.weight is None else case.weight[rows],
        None,
        case.settings,
        None,
        case.trees,
    )
    dirty = replace(case, columns=[column.copy() for column in case.columns], target=case.target.copy())
    dirty.target[~case.used] = junk
    for place, column in enumerate(dirty.columns):
        column[~case.used] = (column[~case.used] + place) % 5
    if case.weight is not None:
        dirty.weight = case.weight.copy()
        dirty.weight[~case.used] = junk
    assert alone.text(threads) == case.text(threads) == dirty.text(threads)


def test_an_unused_row_is_predicted_like_any_other() -> None:
    case = partly_used(plain_case(7000, 11, 4))
    assert case.used is not None
    forest = case.ours()
    moved = [np.concatenate([column[~case.used], column[case.used]]) for column in case.columns]
    order = np.concatenate([np.flatnonzero(~case.used), np.flatnonzero(case.used)])
    everything = [(0, 7000)]
    assert np.array_equal(forest.predict(moved, everything)[0], forest.predict(case.columns, everything)[0][order])


def test_ranges_are_predicted_one_after_the_other() -> None:
    case = plain_case(9000, 11, 4)
    forest = case.ours()
    ranges = [(17, 4444), (4444, 4444), (5000, 9000), (0, 3)]
    whole = forest.predict(case.columns, [(0, 9000)])[0]
    wanted = np.concatenate([whole[start:stop] for start, stop in ranges])
    for threads in (1, 2, 4):
        assert np.array_equal(forest.predict(case.columns, ranges, threads=threads)[0], wanted)


@pytest.mark.parametrize("name", ["plain", "some tries without a split", "weights and bags", "one leaf"])
def test_a_ladder_is_as_many_fits(name: str) -> None:
    """What a forest predicts after some tries, and what features gained by then, is what a fit of so many has."""
    case = CASES[name]()
    forest, everything = case.ours(), [(0, len(case.target))]
    lengths = sorted({1, 2, case.trees // 2, case.trees})
    for length, own in zip(lengths, forest.predict(case.columns, everything, lengths), strict=True):
        short = replace(case, trees=length).ours()
        assert forest.after[:length] == short.after
        assert np.array_equal(own, short.predict(case.columns, everything)[0])
        assert np.array_equal(forest.importance(length), short.importance())


def test_some_tries_found_no_split() -> None:
    """What the ladder's case is for."""
    case = CASES["some tries without a split"]()
    after = case.ours().after
    assert 1 < after[-1] < case.trees == len(after)


def test_each_try_is_told_and_training_rows_are_let_go() -> None:
    case, told = CASES["some tries without a split"](), []
    training = TrainingRows([column.copy() for column in case.columns], case.target)
    kept = weakref.ref(training.columns[0])
    forest = grow(training, case.settings, 5, 1, lambda done, of: told.append((done, of)))
    del training
    assert told == [(number, 5) for number in range(1, 6)]
    assert kept() is None
    assert len(forest.after) == 5
