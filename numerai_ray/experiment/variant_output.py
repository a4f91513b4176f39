"""Output of a variant: its results file and its predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.config.official_words import to_official
from numerai_ray.data.dataset import Columns
from numerai_ray.data.eras import era_label, least_honest_gap
from numerai_ray.experiment.diagnostics_output import Alike, diagnostics_json
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.metrics.scoring import SCORING_VERSION
from numerai_ray.system.files import whole_file
from numerai_ray.system.json_text import write_json
from numerai_ray.training.outcome import FoldRecord, VariantOutcome

# Rows without a label, or scored eras without a benchmark, beyond this share of all are worth a word.
THIN_COVERAGE = 0.2


def results_json(
    outcome: VariantOutcome,
    output_dir: str,
    predictions_file: str,
    alike: Alike = MappingProxyType({}),
    told: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The official results of a trial that succeeded, and beside them per-era scores, fold records and its config.

    ``config`` is all that decided it: the official sections know nothing of ensembles, seeds, weights and ``post``.
    ``diagnostics`` says what kind of model it is; ``alike`` are its correlations with other variants. ``told`` are
    the sections that repeat the config in words of its own, where it has some.
    """
    if outcome.metrics is None:
        raise ValueError(f"{outcome.plan.id} failed and has no results")
    config, index = outcome.plan.config, outcome.plan.index
    official = dict(to_official(config) if told is None else told)
    official["data"] = official["data"] | {
        "full_rows": index.n_rows,
        "full_eras": len(index.eras),
        "oof_rows": len(outcome.rows),
        "oof_eras": len(outcome.eras),
        "score_target": config.score.target,
        "missing": config.data.missing,
        "fingerprint": index.fingerprint,
    }
    return official | {
        "output": {"output_dir": output_dir, "predictions_file": predictions_file},
        "metrics": official_metrics(outcome.metrics),
        "cv": _cv(outcome),
        "fingerprint": config.fingerprint(),
        "scoring_version": SCORING_VERSION,
        "notes": list(outcome.notes),
        "config": config.to_json(),
        "engines": list(outcome.plan.engines),
        "diagnostics": diagnostics_json(outcome, alike),
        "per_era": per_era_json(outcome.eras, outcome.scores),
    }


def _cv(outcome: VariantOutcome) -> dict[str, Any]:
    cv = outcome.plan.config.cv
    folds: dict[int, list[FoldRecord]] = {}
    for fit in outcome.folds:
        folds.setdefault(fit.fold, []).append(fit)
    return {
        "n_splits": cv.n_splits,
        "embargo": cv.embargo_eras,
        "embargo_unit": cv.embargo_unit,
        "mode": cv.mode,
        "min_train_size": cv.min_train_eras,
        "folds_used": len(folds),
        "smallest_gap_eras": outcome.plan.folds.gap_eras,
        "folds": [_fold(fits) for fits in folds.values()],
        "untrained_eras": [[era_label(block[0]), era_label(block[-1])] for block in outcome.plan.folds.untrainable],
    }


def _fold(fits: Sequence[FoldRecord]) -> dict[str, Any]:
    """One fold in the official keys: its first fit's rows; ``fits`` has each where there are several."""
    first = fits[0]
    fold = {
        "fold": first.fold,
        "train_eras": len(first.train_eras),
        "train_rows": first.train_rows,
        "train_era_range": [era_label(first.train_eras[0]), era_label(first.train_eras[-1])],
        "val_eras": len(first.validation_eras),
        "val_rows": first.validation_rows,
        "val_era_range": [era_label(first.validation_eras[0]), era_label(first.validation_eras[-1])],
        "dropped_rows": first.dropped_rows,
        "fit": first.key,
    }
    if len(fits) > 1:
        fold["fits"] = [
            {
                "part": fit.part,
                "train_eras": len(fit.train_eras),
                "train_rows": fit.train_rows,
                "dropped_rows": fit.dropped_rows,
                "fit": fit.key,
            }
            for fit in fits
        ]
    return fold


def predictions_table(outcome: VariantOutcome, columns: Columns) -> pa.Table:
    """One row an out-of-fold id: id, era, the score target, prediction, cv_fold; official column names.

    Eras are text such as ``0575``, as in Numerai's files, or integers where the data file has integers.
    """
    config, index = outcome.plan.config, outcome.plan.index
    positions = np.searchsorted(index.era_starts, outcome.rows, side="right") - 1
    kind = index.types.get(config.data.era_col, "")
    if kind.startswith(("int", "uint")):
        eras = pa.array(np.asarray(index.eras)[positions]).cast(kind)
    else:
        labels = pa.array([era_label(era) for era in index.eras])
        eras = pa.DictionaryArray.from_arrays(pa.array(positions, pa.int32()), labels).cast(pa.string())
    target = config.score.target
    return pa.table(
        {
            config.data.id_col: pa.array(columns.ids[outcome.rows]).cast(pa.string()),
            config.data.era_col: eras,
            target: columns.targets[target][outcome.rows],
            "prediction": outcome.prediction,
            "cv_fold": outcome.fold,
        }
    )


def write_variant(
    outcome: VariantOutcome,
    columns: Columns,
    results: Path,
    predictions: Path,
    alike: Alike = MappingProxyType({}),
    told: Mapping[str, Any] | None = None,
) -> None:
    """Write both files, each whole or not at all; ``results`` names ``predictions`` relative to their common folder.

    That folder is named as it was given where a config is ``told`` in its own words, and by its last part otherwise: an
    experiment may move.
    """
    root = results.parent.parent
    place = root.name if told is None else str(root)
    with whole_file(predictions) as partial:
        pq.write_table(predictions_table(outcome, columns), partial, compression="zstd", compression_level=1)
    relative = predictions.relative_to(root) if predictions.is_relative_to(root) else predictions
    write_json(results, results_json(outcome, place, str(relative), alike, told))


def data_flags(outcome: VariantOutcome) -> tuple[str, ...]:
    """What folds and coverage say about a result: eras too close together, labels or benchmarks missing."""
    if outcome.error is not None or outcome.metrics is None:
        return ()
    flags = []
    config, gap = outcome.plan.config, outcome.plan.folds.gap_eras
    needed = least_honest_gap((*outcome.plan.targets, *config.score.targets))
    if gap < needed:
        flags.append(f"suspect: training and validation eras are {gap} apart, labels overlap for {needed - 1}")
    dropped = sum(fold.dropped_rows for fold in outcome.folds)
    rows = dropped + sum(fold.train_rows for fold in outcome.folds)
    if rows and dropped / rows > THIN_COVERAGE:
        flags.append(f"coverage: {dropped / rows:.0%} of the training rows have no label")
    scored = np.asarray(config.score.primary.values(outcome.scores), np.float64)
    missing = float(np.isnan(scored).mean()) if len(scored) else 0.0
    if missing > THIN_COVERAGE:
        needs = "meta model" if config.score.primary.series == "mmc" else "benchmark"
        flags.append(f"coverage: {missing:.0%} of the predicted eras have no {needs} or label to score with")
    return tuple(flags)
