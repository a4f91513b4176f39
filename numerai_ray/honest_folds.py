"""Folds of a config: its eras cut as it says, and refused where labels of training and validation would overlap."""

from collections.abc import Sequence

import numpy as np

from numerai_ray.config import Config
from numerai_ray.dataset import DatasetIndex
from numerai_ray.eras import FoldError, Folds, Holdout, era_folds, least_honest_gap
from numerai_ray.errors import ConfigError, Problem


def _label_names(config: Config) -> tuple[str, ...]:
    return (*config.trained_targets(), config.score.target)


def honest_folds(label: str, config: Config, index: DatasetIndex, holdout: Holdout | None, *, kept: bool) -> Folds:
    """The folds of a config, without the eras of the ``holdout``; with ``kept`` the one fold that scores those.

    Raises :class:`ConfigError` where they cannot be made, or labels overlap.
    """
    names = _label_names(config)
    needed = least_honest_gap(names)
    gap = max(needed, config.cv.embargo_eras if config.cv.embargo_unit == "weeks" else 0)
    eras = index.eras if holdout is None else holdout.searched(index.eras, gap)
    try:
        if holdout is not None and kept:
            return Folds((holdout.fold(index.eras, gap),), ())
        folds = era_folds(eras, config.cv)
    except FoldError as error:
        rule = str(error)
        if holdout is not None and not kept and _can_be_cut(index.eras, config):
            there = f"holdout_eras: {holdout.eras} and the embargo before them leave {len(eras)} of the file's"
            rule = f"{there} {len(index.eras)} eras to search; lower it ({error})"
        raise ConfigError(label, [Problem("$.cv", rule)]) from error
    if config.cv.embargo_unit == "weeks" and folds.gap_eras < needed:
        rule = (
            f"leaves {folds.gap_eras} eras between training and validation, but labels of {_listed(names)} "
            f"overlap, so at least {needed} are needed; raise it"
        )
        raise ConfigError(label, [Problem("$.cv.embargo_eras", rule)])
    return folds


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"


def _can_be_cut(eras: Sequence[int], config: Config) -> bool:
    try:
        return bool(era_folds(eras, config.cv).trainable)
    except FoldError:
        return False


def one_row_eras(index: DatasetIndex, eras: Sequence[int]) -> list[int]:
    """Those of ``eras`` that have a single row: nothing varies there, so nothing can be made neutral."""
    sizes = np.diff(index.era_starts)[index.positions(eras)]
    return [era for era, size in zip(eras, sizes.tolist(), strict=True) if size == 1]


def fold_notes(config: Config, folds: Folds, index: DatasetIndex) -> tuple[str, ...]:
    """What a reader of the results must know about the folds."""
    few = f"fewer than {config.cv.min_train_eras}" if config.cv.min_train_eras > 1 else "no"
    notes = [
        f"validation eras {block[0]:04d}–{block[-1]:04d} have {few} training eras before them and are not predicted"
        for block in folds.untrainable
    ]
    needed = least_honest_gap(_label_names(config))
    if folds.gap_eras < needed:
        notes.append(f"the smallest gap is {folds.gap_eras} eras, but labels overlap: at least {needed} are needed")
    predicted = [era for fold in folds.trainable for era in fold.validation_eras]
    if config.post.neutralize is not None and (alone := one_row_eras(index, predicted)):
        count = f"{len(alone)} of {len(predicted)} predicted eras, the first {alone[0]:04d}, have a single row"
        notes.append(f"{count}, which cannot be neutralized: they have no prediction and no score")
    return tuple(notes)
