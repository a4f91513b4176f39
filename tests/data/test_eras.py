"""Folds: those of the official pipeline, and what must hold for any eras, splits and embargo."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import oracle_era_folds

from numerai_ray.config import Config, CvConfig
from numerai_ray.config.schema import EmbargoUnit
from numerai_ray.data.eras import Fold, FoldError, Folds, era_folds, era_label, era_number
from numerai_ray.data.folds import fold_notes

ERAS = st.lists(st.integers(1, 1300), min_size=1, max_size=60)
MODES = st.sampled_from(["expanding", "blocked"])
N_SPLITS = st.integers(2, 8)


def cv(n_splits: int, mode: str, embargo: int, unit: str) -> CvConfig:
    return CvConfig(n_splits=n_splits, mode=mode, embargo_eras=embargo, embargo_unit=unit)


@st.composite
def cuttable(draw: st.DrawFn, *, weekly: bool = False, unit: EmbargoUnit = "weeks") -> tuple[list[int], CvConfig]:
    """Eras in any order and a plan whose embargo leaves the last block something to train on."""
    if weekly:
        first = draw(st.integers(1, 900))
        eras = list(range(first, first + draw(st.integers(2, 80))))
    else:
        eras = draw(st.lists(st.integers(1, 1300), min_size=2, max_size=60, unique=True))
    ordered = sorted(eras)
    n_splits = draw(st.integers(2, min(8, len(eras))))
    last_block = (n_splits - 1) * (len(eras) // n_splits)
    largest = ordered[last_block] - ordered[0] - 1 if unit == "weeks" else last_block - 1
    return eras, cv(n_splits, draw(MODES), draw(st.integers(0, min(60, largest))), unit)


def all_blocks(folds: Folds) -> list[tuple[int, ...]]:
    return sorted([fold.validation_eras for fold in folds.trainable] + list(folds.untrainable))


# The official pipeline


@given(ERAS, N_SPLITS, st.integers(0, 20), MODES)
def test_folds_that_count_retained_eras_are_the_official_ones(eras, n_splits, embargo, mode) -> None:
    assume(n_splits <= len(set(eras)))
    expected = oracle_era_folds(eras, n_splits, embargo, mode)
    trainable = [Fold(i, tuple(train), tuple(held)) for i, (train, held) in enumerate(expected) if train]
    plan = cv(n_splits, mode, embargo, "retained")
    if not trainable:
        with pytest.raises(FoldError, match="no fold has training eras left"):
            era_folds(eras, plan)
        return
    folds = era_folds(eras, plan)
    assert list(folds.trainable) == trainable
    assert list(folds.untrainable) == [tuple(held) for train, held in expected if not train]


def test_official_folds_by_hand() -> None:
    folds = era_folds(range(1, 12), CvConfig(n_splits=3, mode="expanding", embargo_eras=2, embargo_unit="retained"))
    assert folds.untrainable == ((1, 2, 3),)
    assert folds.trainable == (Fold(1, (1,), (4, 5, 6)), Fold(2, (1, 2, 3, 4), (7, 8, 9, 10, 11)))
    blocked = era_folds(range(1, 12), CvConfig(n_splits=3, mode="blocked", embargo_eras=2, embargo_unit="retained"))
    assert blocked.trainable[1] == Fold(1, (1, 9, 10, 11), (4, 5, 6))
    assert blocked.untrainable == ()


# Whatever the eras


@given(cuttable())
def test_train_and_validation_never_meet_and_keep_the_embargo(case) -> None:
    eras, plan = case
    folds = era_folds(eras, plan)
    gaps = []
    for fold in folds.trainable:
        distances = [abs(held - era) for held in fold.validation_eras for era in fold.train_eras]
        gaps.append(min(distances) - 1)
        assert fold.gap_eras == gaps[-1] >= plan.embargo_eras
    assert folds.gap_eras == min(gaps)


@given(st.one_of(cuttable(), cuttable(unit="retained")))
def test_validation_blocks_partition_the_eras_in_order(case) -> None:
    eras, plan = case
    blocks = all_blocks(era_folds(eras, plan))
    assert [era for block in blocks for era in block] == sorted(set(eras))
    assert len(blocks) == plan.n_splits
    assert len({len(block) for block in blocks[:-1]}) <= 1
    assert all(len(block) <= len(blocks[-1]) < len(block) + plan.n_splits for block in blocks)


@given(cuttable())
def test_no_era_is_left_out_that_the_embargo_allows(case) -> None:
    eras, plan = case
    blocked = plan.mode == "blocked"
    for fold in era_folds(eras, plan).trainable:
        first, last = fold.validation_eras[0], fold.validation_eras[-1]
        allowed = {
            era for era in eras if first - era > plan.embargo_eras or (blocked and era - last > plan.embargo_eras)
        }
        assert set(fold.train_eras) == allowed
        assert list(fold.train_eras) == sorted(fold.train_eras)


@given(cuttable(weekly=True))
def test_on_weekly_data_weeks_and_retained_eras_are_one(case) -> None:
    eras, plan = case
    assert era_folds(eras, plan) == era_folds(eras, plan.model_copy(update={"embargo_unit": "retained"}))


@given(cuttable(), st.randoms())
def test_neither_order_nor_repetition_of_eras_matters(case, random) -> None:
    eras, plan = case
    folds = era_folds(eras, plan)
    mixed = [*eras, *eras]
    random.shuffle(mixed)
    assert era_folds(mixed, plan) == folds


@pytest.mark.parametrize("mode", ["expanding", "blocked"])
def test_an_embargo_of_16_weeks_on_every_4th_era(mode) -> None:
    eras = list(range(1, 401, 4))
    folds = era_folds(eras, CvConfig(n_splits=5, mode=mode, embargo_eras=16, embargo_unit="weeks"))
    # four retained eras are skipped, no more: 20 weeks apart, 19 between them
    assert folds.gap_eras == 19
    assert {fold.gap_eras for fold in folds.trainable} == {19}
    second = folds.trainable[0] if mode == "expanding" else folds.trainable[1]
    assert (max(era for era in second.train_eras if era < 81), second.validation_eras[0]) == (61, 81)
    # the official count of 13 retained eras leaves a gap of 55 weeks instead
    assert era_folds(eras, cv(5, mode, 13, "retained")).gap_eras == 55


def test_blocks_without_training_eras_are_reported() -> None:
    folds = era_folds(range(1, 101), CvConfig(n_splits=5, mode="expanding", embargo_eras=45, embargo_unit="weeks"))
    assert folds.untrainable == (tuple(range(1, 21)), tuple(range(21, 41)), tuple(range(41, 61)))
    assert [fold.index for fold in folds.trainable] == [3, 4]
    assert folds.trainable[0].train_eras == tuple(range(1, 16))
    index: Any = None
    config = Config.model_validate({"data": {"target": "target_ender_20"}, "model": {"type": "lightgbm"}})
    note, *_ = fold_notes(config, folds, index)
    assert note == "validation eras 0001–0060 have no training eras before them and are not predicted"


# Refusals


def test_more_splits_than_eras_are_refused() -> None:
    with pytest.raises(FoldError, match=r"n_splits must be at most the number of eras, but got 5 > 4"):
        era_folds([1, 2, 3, 4, 4], CvConfig(n_splits=5))


def test_too_few_training_eras_are_refused_as_in_the_official_pipeline() -> None:
    plan = CvConfig(n_splits=4, mode="blocked", embargo_eras=3, embargo_unit="retained", min_train_eras=28)
    assert len(era_folds(range(1, 41), plan.model_copy(update={"min_train_eras": 24})).trainable) == 4
    with pytest.raises(FoldError) as refusal:
        era_folds(range(1, 41), plan)
    # the first block loses 10 eras and 3 after it
    assert str(refusal.value).startswith("fold 0 has 27 training eras, fewer than min_train_eras=28; lower n_splits")
    with pytest.raises(FoldError, match="fold 0 has 0 training eras, fewer than min_train_eras=1"):
        era_folds(range(1, 41), CvConfig(n_splits=4, embargo_unit="retained", min_train_eras=1))


@pytest.mark.parametrize(("least", "left"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (6, [2, 3]), (15, [2, 3]), (16, [3])])
def test_folds_with_too_few_training_eras_are_left_out_and_the_others_stay_as_they_are(least, left) -> None:
    plan = CvConfig(n_splits=4, embargo_eras=5)
    everything, some = (
        era_folds(range(1, 41), plan.model_copy(update={"min_train_eras": each})) for each in (0, least)
    )
    assert [fold.index for fold in some.trainable] == left
    assert some.trainable == everything.trainable[-len(left) :]
    assert some.untrainable == tuple(tuple(range(1 + 10 * each, 11 + 10 * each)) for each in range(4 - len(left)))


def test_no_fold_with_enough_training_eras_is_refused() -> None:
    with pytest.raises(FoldError, match=r"no fold has min_train_eras=99 training eras: .*lower min_train_eras"):
        era_folds(range(1, 41), CvConfig(n_splits=4, min_train_eras=99))


@pytest.mark.parametrize("unit", ["weeks", "retained"])
def test_an_embargo_that_leaves_nothing_is_refused(unit) -> None:
    with pytest.raises(FoldError) as refusal:
        era_folds(range(1, 41), CvConfig(n_splits=4, mode="blocked", embargo_eras=40, embargo_unit=unit))
    message = str(refusal.value)
    assert f"40 eras in 4 blocked splits with an embargo of 40 ({unit})" in message
    assert "use more eras, fewer splits or a smaller embargo" in message


# Small change


@given(st.integers(1, 9999))
def test_labels_are_four_digits_and_read_back(era) -> None:
    assert len(era_label(era)) == 4
    assert era_number(era_label(era)) == era


def test_era_numbers_are_decimal_whatever_their_zeros() -> None:
    assert (era_number("0575"), era_label(7), era_label(12345)) == (575, "0007", "12345")
