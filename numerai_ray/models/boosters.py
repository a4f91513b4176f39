"""LightGBM's boosters: grown on rows of the shared bins, asked for predictions."""

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from numerai_ray.errors import FitError
from numerai_ray.models.bin_columns import BinColumns
from numerai_ray.models.protocol import Batch, Params
from numerai_ray.models.pulse import beat
from numerai_ray.models.shared_bins import SharedBins
from numerai_ray.models.telling import tell_importance, tell_model
from numerai_ray.models.tree_bits import Tree, predicted, read_trees

Floats = npt.NDArray[np.float64]
# A model of many large trees is gigabytes as text.
TREES_A_TEXT = 200


class FittedLightGBM:
    """A booster."""

    def __init__(self, booster: lgb.Booster):
        self.booster = booster

    @property
    def native(self) -> lgb.Booster:
        return self.booster

    def predict(self, batch: Batch, threads: int, length: int | None = None) -> npt.NDArray[np.float64]:
        """Predictions of the whole booster, or of its first ``length`` trees."""
        rows = sum(stop - start for start, stop in batch.ranges)
        out = np.empty(rows, np.float64)
        done = 0
        for ranges in _pieces(batch.ranges, 100_000):
            if batch.missing_as_null:
                data: Any = batch.matrix().to_arrow(ranges, missing_as_null=True)
            else:
                data = batch.matrix().to_numpy(ranges, np.float32)
            part = self.booster.predict(data, num_iteration=length, num_threads=threads)
            out[done : done + len(part)] = part
            done += len(part)
        return out


def grown(settings: Params, bins: SharedBins, train: Batch, validation: Batch, lengths: Sequence[int]) -> list[Floats]:
    """Validation predictions (n,) after each of ``lengths`` trees, of one booster grown to the longest.

    Raises:
        FitError: LightGBM refuses, in its words.

    """
    try:
        rows = rows_of(bins, train)
        booster = _new(settings, rows)
        found = _read_afterwards(booster, bins, validation, lengths)
        if found is None:
            booster = _new(settings, rows)
            found = _told_meanwhile(booster, rows_of(bins, validation), lengths)
    except lgb.basic.LightGBMError as error:
        raise FitError(f"LightGBM says: {error}") from error
    for length in lengths:
        tell_gain(booster, length)
    tell_model(FittedLightGBM(booster))
    return found


def rows_of(bins: SharedBins, batch: Batch) -> lgb.Dataset:
    """The batch's rows out of the shared bins; labelled and weighted when the batch is."""
    dataset = bins.rows(batch.rows())
    if batch.target is not None:
        dataset.set_label(batch.target)
    return dataset if batch.weights is None else dataset.set_weight(batch.weights)


def tell_gain(booster: lgb.Booster, trees: int | None = None) -> None:
    """How much each feature gained, in all trees or in the first ``trees``."""
    tell_importance("gain", booster.feature_importance("gain", iteration=trees), trees)


def _new(settings: Params, rows: lgb.Dataset) -> lgb.Booster:
    return lgb.Booster({**settings, "verbosity": -1, "metric": "None"}, rows)


def _read_afterwards(
    booster: lgb.Booster, bins: SharedBins, validation: Batch, lengths: Sequence[int]
) -> list[Floats] | None:
    """Grow, and read the trees for rows that LightGBM never sees; None where that cannot be, of trees or of bins."""
    if bins.by_feature is None or read_trees(booster.model_to_string()) is None:
        return None
    columns = BinColumns(*bins.by_feature, validation.rows())
    if not columns.plain:
        return None
    grown_by: dict[int, int] = {}
    for trees in range(1, max(lengths) + 1):
        booster.update()
        beat(trees, max(lengths))
        if trees in lengths:
            grown_by[trees] = booster.num_trees()  # fewer, where a try found no feature to split
    read: list[Tree] = []
    for first in range(0, booster.num_trees(), TREES_A_TEXT):
        piece = read_trees(booster.model_to_string(TREES_A_TEXT, first))
        if piece is None:
            return None
        read += piece
    return predicted(read, columns, [grown_by[length] for length in lengths])


def _told_meanwhile(booster: lgb.Booster, validation: lgb.Dataset, lengths: Sequence[int]) -> list[Floats]:
    """Grow, each new tree being added by LightGBM to the scores of validation rows that it holds."""
    found: dict[int, Floats] = {}
    booster.add_valid(validation, "validation")
    for trees in range(1, max(lengths) + 1):
        booster.update()
        beat(trees, max(lengths))
        if trees in lengths:
            found[trees] = _scores(booster)
    return [found[length] for length in lengths]


def _scores(booster: lgb.Booster) -> Floats:
    """What the booster predicts for its validation rows by now."""
    found: list[Floats] = []

    def keep(prediction: Floats, _: lgb.Dataset) -> tuple[str, float, bool]:
        found.append(prediction.copy())
        return "none", 0.0, True

    booster.eval_valid(keep)
    return found[0]


def _pieces(ranges: Sequence[tuple[int, int]], rows: int) -> list[tuple[tuple[int, int]]]:
    """``ranges`` cut into pieces of at most ``rows``: prediction copies, and a copy of a piece is small."""
    return [((at, min(at + rows, stop)),) for start, stop in ranges for at in range(start, stop, rows)]
