"""Predictions of others beside an experiment's variants: scored alike, marked, checked for leaks, deciding nothing."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.eras import era_label, least_honest_gap
from numerai_ray.data.predictions import read_predictions
from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.evaluation import Evaluated, Matched, evaluated, evaluation_json, match
from numerai_ray.experiment.paths import FOREIGN, ExperimentPaths
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.metrics.scoring import SCORING_VERSION
from numerai_ray.session.compare import as_latest_stage
from numerai_ray.session.evaluate import Ground, Scoring, ground_of
from numerai_ray.session.settings import check_named
from numerai_ray.session.subject import Subject
from numerai_ray.system.files import whole_file
from numerai_ray.system.json_text import read_json, write_json

UNCHECKED = "unchecked: which eras the model was trained on is not said, so nobody can tell whether it saw these labels"
TrainEras = Mapping[int, Iterable[int]] | None


def add_foreign(experiment: Subject, name: str, predictions: Any, train_eras: TrainEras, scoring: Scoring) -> None:
    """Score and keep predictions as ``foreign-NAME``; see :meth:`Experiment.add_predictions`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}", name):
        raise RequestError(f"name must be letters, digits and ._=+- (at most 100), but is {name!r}; give another")
    check_named(Scoring, scoring, "add_predictions, scoring")
    ground = ground_of(as_latest_stage(experiment.paths, scoring))
    given = read_predictions(predictions, scoring.get("column"), source=name)
    matched = match(given, ground.index, ground.columns)
    found = evaluated(name, matched, ground.index, ground.columns, ground.score)
    flags = (*found.flags, *leak_flags(ground, matched, train_eras))
    paths, trial = experiment.paths, f"{FOREIGN}{name}"
    _write(paths, trial, ground, matched, found, flags)


def leak_flags(ground: Ground, matched: Matched, train_eras: TrainEras) -> tuple[str, ...]:
    """What the claimed folds say of leaks: eras that fall apart, folds without a claim, labels that overlap."""
    claimed = {int(fold): sorted(set(eras)) for fold, eras in (train_eras or {}).items()}
    known = matched.folds >= 0
    era_of_row = np.repeat(
        np.asarray(ground.index.eras)[list(matched.positions)],
        np.diff(ground.index.era_starts)[list(matched.positions)],
    )
    if not known.any() and len(claimed) != 1:
        return (UNCHECKED,) if not claimed else ("unchecked: no column cv_fold says which rows which model predicted",)
    folds = matched.folds if known.any() else np.full(len(matched.rows), next(iter(claimed)))
    flags = []
    pairs = pd.DataFrame({"era": era_of_row, "fold": folds})[folds >= 0].drop_duplicates()
    several = pairs["era"][pairs["era"].duplicated()]
    if len(several):
        rule = "labels of one era are in training and validation"
        flags.append(f"suspect: era {era_label(int(several.iloc[0]))} is in several folds, so {rule}")
    needed = least_honest_gap([ground.score.target])
    for fold in sorted(set(pairs["fold"].tolist())):
        own = pairs["era"][pairs["fold"] == fold]
        if fold not in claimed:
            flags.append(f"unchecked: which eras fold {fold} was trained on is not said")
            continue
        validation, train = np.sort(own.to_numpy(np.int64)), np.asarray(claimed[fold], np.int64)
        apart = np.abs(train[:, None] - validation[None, :])
        if apart.size and apart.min() <= needed - 1:
            place = np.unravel_index(int(apart.argmin()), apart.shape)
            trained, seen = era_label(int(train[place[0]])), era_label(int(validation[place[1]]))
            there = f"was trained on era {trained} and predicts era {seen}"
            flags.append(f"suspect: fold {fold} {there}; labels overlap for {needed - 1} eras")
    return tuple(flags)


def foreign_table(paths: ExperimentPaths) -> pd.DataFrame:
    """One row for each, best first."""
    rows = []
    for trial in paths.foreign_ids():
        value = read_json(paths.results(trial))
        metrics = value.get("metrics") or {}
        rows.append(
            {
                "id": trial,
                "primary": _at(metrics, "bmc_last_200_eras", "mean"),
                "bmc_mean": _at(metrics, "bmc", "mean"),
                "corr_mean": _at(metrics, "corr", "mean"),
                "corr_with_benchmark": _at(metrics, "bmc", "avg_corr_with_benchmark"),
                "flags": "; ".join((value.get("foreign") or {}).get("flags", ())),
            }
        )
    columns = ["id", "primary", "bmc_mean", "corr_mean", "corr_with_benchmark", "flags"]
    return pd.DataFrame(rows, columns=columns).set_index("id").sort_values("primary", ascending=False)


def _write(
    paths: ExperimentPaths, trial: str, ground: Ground, matched: Matched, found: Evaluated, flags: tuple[str, ...]
) -> None:
    index = ground.index
    eras = [era_label(era) for era in index.eras]
    position = np.searchsorted(index.era_starts, matched.rows, side="right") - 1
    table = pa.table(
        {
            "id": pa.array(ground.columns.ids[matched.rows]).cast(pa.string()),
            "era": pa.array([eras[each] for each in position.tolist()]),
            ground.score.target: ground.columns.targets[ground.score.target][matched.rows],
            "prediction": matched.prediction,
            "cv_fold": matched.folds,
        }
    )
    try:
        with whole_file(paths.predictions(trial)) as partial:
            pq.write_table(table, partial, compression="zstd", compression_level=1)
    except pa.ArrowException as error:
        raise DataError(f"{paths.predictions(trial)}: cannot be written: {error}") from error
    told = evaluation_json(found)
    write_json(
        paths.results(trial),
        {
            "metrics": official_metrics(found.metrics),
            "per_era": per_era_json(found.eras, found.scores),
            "scoring_version": SCORING_VERSION,
            "config": {"score": {"metric": ground.score.metric}},
            "data": {"score_target": ground.score.target, "fingerprint": index.fingerprint},
            "foreign": {"coverage": told["coverage"], "flags": list(flags), "benchmark": ground.score.benchmark},
        },
    )


def _at(values: Mapping[str, Any], block: str, key: str) -> float:
    found = (values.get(block) or {}).get(key)
    return float("nan") if found is None else float(found)
