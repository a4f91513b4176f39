"""Eras: their order, downsampling, and embargoed folds.

An era is one week, written as a zero-padded string in Numerai's files and held as an ``int`` here. Labels span
20 or 60 trading days plus a lag, so the labels of nearby eras overlap: a training era too close to a validation
era has seen part of its label. The embargo is the number of eras skipped between the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from numerai_ray.config import CvConfig

# Labels of 20 (60) trading days plus two lag days overlap for 4 (12) later eras; the least honest gap is one more.
LEAST_HONEST_GAP = {20: 5, 60: 13}


# What makes the digests of eras: today's, and what did before December 2026.
Hash = Literal["xxh3", "sha256"]
TODAY: Hash = "xxh3"


@dataclass(frozen=True)
class Remembered:
    """How an experiment knows its eras: the last that it keeps to (None: all), and what makes their digests."""

    last_era: int | None = None
    hashed: Hash = TODAY


@dataclass(frozen=True)
class Fold:
    """One train/validation split; eras ascending. ``train_eras`` is never empty."""

    index: int
    train_eras: tuple[int, ...]
    validation_eras: tuple[int, ...]

    @property
    def gap_eras(self) -> int:
        """Smallest number of calendar eras skipped between a training and a validation era."""
        first, last = self.validation_eras[0], self.validation_eras[-1]
        before = max((era for era in self.train_eras if era < first), default=None)
        after = min((era for era in self.train_eras if era > last), default=None)
        gaps = [first - before - 1] if before is not None else []
        gaps += [after - last - 1] if after is not None else []
        return min(gaps)


@dataclass(frozen=True)
class Folds:
    """The folds that train, and the validation blocks that do not: with no training eras, or too few of them."""

    trainable: tuple[Fold, ...]
    untrainable: tuple[tuple[int, ...], ...]

    @property
    def gap_eras(self) -> int:
        """Smallest gap of all folds, in calendar eras."""
        return min(fold.gap_eras for fold in self.trainable)


@dataclass(frozen=True)
class Holdout:
    """The last ``eras`` weeks of the data, which no fit and no decision of a search may see."""

    eras: int

    def searched(self, eras: Sequence[int], gap: int) -> tuple[int, ...]:
        """Eras that may be trained on and scored: all but the kept ones and ``gap`` weeks before them."""
        return tuple(era for era in eras if era < self._first(eras) - gap)

    def fold(self, eras: Sequence[int], gap: int) -> Fold:
        """The one fold that scores the kept eras, trained on everything that was searched.

        Raises:
            FoldError: nothing is left to train on.

        """
        train = self.searched(eras, gap)
        if not train:
            raise FoldError(f"holdout_eras must leave eras to train on, but keeps {self.eras} of {len(eras)}; lower it")
        return Fold(0, train, tuple(era for era in eras if era >= self._first(eras)))

    def _first(self, eras: Sequence[int]) -> int:
        return max(eras) - self.eras + 1


class FoldError(ValueError):
    """The eras cannot be cut as asked; the message holds the numbers."""


def era_number(era: str) -> int:
    """Number of an era as Numerai writes it (``"0575"`` -> 575)."""
    return int(era)


def era_label(era: int) -> str:
    """Inverse of :func:`era_number` (575 -> ``"0575"``)."""
    return f"{era:04d}"


def least_honest_gap(targets: Iterable[str]) -> int:
    """Smallest honest gap in eras for these target names: 13 when any spans 60 days, else 5."""
    days = 60 if any(name.endswith("_60") for name in targets) else 20
    return LEAST_HONEST_GAP[days]


def era_folds(eras: Iterable[int], cv: CvConfig) -> Folds:
    """Cut ``eras`` into ``cv.n_splits`` equal validation blocks (the remainder joins the last).

    ``cv.embargo_eras`` counts calendar eras (``embargo_unit="weeks"``: on every-4th-era data an embargo of 16 skips 4
    retained eras) or, as the official pipeline does, eras present in the file (``"retained"``). In ``walk_forward``
    mode a fold trains on the last ``window_eras`` before its embargo, counted in the same unit. A fold with fewer than
    ``min_train_eras``, counted in eras of the file, is left out and not predicted; counting retained eras it is
    refused, as the official pipeline does.

    With ``embargo_unit="retained"`` the folds are those of the official pipeline
    (``numerai/example-scripts``, ``agents/modeling/utils/numerai_cv.py::era_cv_splits``).

    Raises:
        FoldError: more splits than eras, no fold that can train, or, as the official pipeline has it, any fold with
            fewer than ``min_train_eras``.

    """
    ordered = sorted(set(eras))
    if cv.n_splits > len(ordered):
        raise FoldError(f"n_splits must be at most the number of eras, but got {cv.n_splits} > {len(ordered)}")
    size = len(ordered) // cv.n_splits
    trainable: list[Fold] = []
    untrainable: list[tuple[int, ...]] = []
    for index in range(cv.n_splits):
        start = index * size
        end = len(ordered) if index == cv.n_splits - 1 else start + size
        train = _train_eras(ordered, start, end, cv)
        if len(train) < cv.min_train_eras and cv.embargo_unit == "retained":
            raise FoldError(
                f"fold {index} has {len(train)} training eras, fewer than min_train_eras={cv.min_train_eras}; "
                f"lower n_splits, the embargo or min_train_eras"
            )
        if len(train) >= max(1, cv.min_train_eras):
            trainable.append(Fold(index, tuple(train), tuple(ordered[start:end])))
        else:
            untrainable.append(tuple(ordered[start:end]))
    if not trainable:
        few, lower = "training eras left", ""
        if cv.min_train_eras > 1:
            few, lower = f"min_train_eras={cv.min_train_eras} training eras", ", a lower min_train_eras"
        raise FoldError(
            f"no fold has {few}: {len(ordered)} eras in {cv.n_splits} {cv.mode} splits with an "
            f"embargo of {cv.embargo_eras} ({cv.embargo_unit}); use more eras{lower}, fewer splits or a smaller embargo"
        )
    return Folds(tuple(trainable), tuple(untrainable))


def _train_eras(ordered: Sequence[int], start: int, end: int, cv: CvConfig) -> list[int]:
    if cv.embargo_unit == "retained":
        before = list(ordered[: max(0, start - cv.embargo_eras)])
        after = list(ordered[end + cv.embargo_eras :])
    else:
        first, last = ordered[start], ordered[end - 1]
        before = [era for era in ordered[:start] if first - era - 1 >= cv.embargo_eras]
        after = [era for era in ordered[end:] if era - last - 1 >= cv.embargo_eras]
    if cv.mode == "blocked":
        return before + after
    if cv.mode == "expanding" or cv.window_eras is None:
        return before
    if cv.embargo_unit == "retained":
        return before[-cv.window_eras :]
    return [era for era in before if ordered[start] - era - 1 < cv.embargo_eras + cv.window_eras]
