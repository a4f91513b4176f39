"""Evaluation: predictions from anywhere, matched to a data file and scored as a variant's are."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from numerai_ray.config import ScoreConfig
from numerai_ray.data.dataset import Columns, DatasetIndex
from numerai_ray.data.eras import era_label
from numerai_ray.data.predictions import Predictions
from numerai_ray.errors import DataError
from numerai_ray.experiment.decision import sanity_flags
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.experiment.scores import StoredScores, comparison_of
from numerai_ray.metrics.registry import BMC, METRICS
from numerai_ray.metrics.scoring import EraScores, Metrics
from numerai_ray.metrics.significance import Comparison, PairedDelta, Series, paired_delta, paired_deltas, verdict
from numerai_ray.training.outcome import era_scores, metrics_by

Floats = npt.NDArray[np.float64]
# Rows of an era without a prediction, beyond this share, are worth a word.
THIN_COVERAGE = 0.02


@dataclass(frozen=True)
class Coverage:
    """How predictions and a data file meet.

    ``rows`` were given; of them ``matched`` are in the file, ``extra`` are not, ``unknown`` hold NaN. In the ``eras``
    that are predicted, of ``file_eras`` in the file, ``missing`` rows of the file have no prediction.
    """

    rows: int
    matched: int
    extra: int
    unknown: int
    missing: int
    eras: int
    file_eras: int
    first_era: str
    last_era: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is not as it should be, one sentence each; none where every row has its partner."""
        found = []
        if self.extra:
            found.append(f"{self.extra:,} of {self.rows:,} rows have ids that the data file does not have: left out")
        if self.unknown:
            found.append(f"{self.unknown:,} predictions are NaN: left out, never filled")
        if self.missing:
            found.append(f"{self.missing:,} rows of the predicted eras have no prediction: scores are of the others")
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Matched:
    """Predictions in the order of a data file.

    ``positions`` are those of the predicted eras in the file's index; ``prediction``, ``rows`` (places in the file)
    and ``folds`` (−1 where nobody says) are (n,) rows of these eras.
    """

    positions: tuple[int, ...]
    rows: npt.NDArray[np.int64]
    prediction: Floats
    folds: npt.NDArray[np.int64]
    coverage: Coverage


@dataclass(frozen=True)
class Against:
    """Predictions minus a reference on the eras that both have; None where they have none in common."""

    name: str
    primary: PairedDelta | None
    bmc: PairedDelta | None
    corr: PairedDelta | None


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What scoring found: ``scores`` are (n_eras,) in the order of ``eras``."""

    name: str
    score: ScoreConfig
    eras: tuple[int, ...]
    scores: EraScores
    metrics: Metrics
    coverage: Coverage
    flags: tuple[str, ...]
    against: tuple[Against, ...] = ()

    @property
    def stored(self) -> StoredScores:
        """The same as what a variant's results file holds."""
        return StoredScores(self.eras, self.scores, {}, {}, primary=self.score.primary)

    def rows(self) -> list[dict[str, Any]]:
        """Every metric as ``metric``, ``value`` and, for means of per-era scores, ``low`` and ``high``."""
        return metric_rows(self.eras, self.scores, self.metrics, self.score)


def match(predictions: Predictions, index: DatasetIndex, columns: Columns) -> Matched:
    """Find each prediction's row in a data file; rows are matched by id, whatever their order.

    Raises:
        DataError: no id is in the file, ids need their era and have none, or a row claims another era than the file's.

    """
    ids, era_of_row = _texts_of(columns.ids), np.repeat(np.asarray(index.eras), np.diff(index.era_starts))
    keys, own = ids, predictions.ids
    if columns.ids_persist:
        if predictions.eras is None:
            rule = "ids of this data stand in several eras, so predictions need a column 'era' too"
            raise DataError(f"{predictions.source}: {rule}; add it")
        keys = pc.binary_join_element_wise(pa.array(era_of_row).cast(pa.string()), ids, "/")
        own = pc.binary_join_element_wise(pa.array(predictions.eras).cast(pa.string()), own, "/")
    found = pc.index_in(own, value_set=keys)
    known = np.asarray(pc.is_valid(found).to_numpy(zero_copy_only=False), bool)
    places = np.asarray(pc.fill_null(found, 0).to_numpy(zero_copy_only=False), np.int64)
    if not known.any():
        rule = f"none of its {len(own):,} ids is in {index.path}"
        raise DataError(f"{predictions.source}: {rule}; check the data version, and that 'id' holds Numerai's ids")
    if predictions.eras is not None:
        _check_eras(predictions, era_of_row[places], known)
    given = np.zeros(index.n_rows, bool)
    given[places[known]] = True
    prediction = np.full(index.n_rows, np.nan)
    folds = np.full(index.n_rows, -1, np.int64)
    prediction[places[known]] = predictions.values[known]
    if predictions.folds is not None:
        folds[places[known]] = predictions.folds[known]
    there = np.logical_or.reduceat(~np.isnan(prediction), index.era_starts[:-1])
    positions = tuple(np.flatnonzero(there).tolist())
    if not positions:
        raise DataError(f"{predictions.source}: every prediction is NaN; nothing can be scored")
    rows = np.concatenate([np.arange(*index.era_starts[position : position + 2]) for position in positions])
    coverage = Coverage(
        rows=len(own),
        matched=int(known.sum()),
        extra=int((~known).sum()),
        unknown=int(np.isnan(predictions.values[known]).sum()),
        missing=int((~given[rows]).sum()),
        eras=len(positions),
        file_eras=len(index.eras),
        first_era=era_label(index.eras[positions[0]]),
        last_era=era_label(index.eras[positions[-1]]),
    )
    return Matched(positions, rows, prediction[rows], folds[rows], coverage)


def evaluated(name: str, matched: Matched, index: DatasetIndex, columns: Columns, score: ScoreConfig) -> Evaluated:
    """Score matched predictions: per era, in sum, and what is doubtful about them."""
    sizes = np.diff(index.era_starts)[list(matched.positions)]
    starts = np.append(0, np.cumsum(sizes))
    scores = era_scores(score, matched.prediction, columns, lambda column: column[matched.rows], starts)
    eras = tuple(index.eras[position] for position in matched.positions)
    metrics = metrics_by(score, scores)
    record = VariantRecord(name, name, "variant", "", {}, metrics)
    flags = [*sanity_flags(record, None), *_coverage_flags(matched.coverage, scores)]
    return Evaluated(name, score, eras, scores, metrics, matched.coverage, tuple(flags))


def with_references(found: Evaluated, references: Mapping[str, StoredScores]) -> Evaluated:
    """``found`` held against other scores, by name; the benchmark's own BMC is 0 by definition."""
    return replace(found, against=tuple(_against(found, name, each) for name, each in references.items()))


def metric_rows(eras: tuple[int, ...], scores: EraScores, metrics: Metrics, score: ScoreConfig) -> list[dict[str, Any]]:
    """Every summary that results files hold, in their names; an interval for what is a mean of per-era scores."""
    every = replace(comparison_of(score), last=max(1, len(eras)))
    per_era = {name: each.per_era(scores, score.payout.terms) for name, each in METRICS.items() if each.pays}
    intervals = {f"{name}.mean": mean_interval(eras, values, every) for name, values in per_era.items()} | {
        BMC.name: mean_interval(eras, scores.bmc, replace(every, last=score.last_eras)),
        "bmc.avg_corr_with_benchmark": mean_interval(eras, scores.benchmark_corr, every),
    }
    rows = []
    for block, values in official_metrics(metrics).items():
        for key, value in values.items():
            low, high = intervals.get(f"{block}.{key}", (math.nan, math.nan))
            rows.append({"metric": f"{block}.{key}", "value": value, "low": low, "high": high})
    return rows


def mean_interval(eras: tuple[int, ...], values: Floats, comparison: Comparison) -> tuple[float, float]:
    """The 90 % interval of the mean of per-era scores, by the rule by which differences are judged."""
    if not len(values) or np.isnan(values).all():
        return math.nan, math.nan
    found = paired_deltas(np.asarray(values, np.float64)[:, None], eras, comparison)[0]
    return found.low, found.high


def evaluation_json(found: Evaluated) -> dict[str, Any]:
    """What ``evaluate --json`` tells."""
    return {
        "name": found.name,
        "metric": found.score.metric,
        "target": found.score.target,
        "benchmark": found.score.benchmark,
        "coverage": asdict(found.coverage),
        "flags": list(found.flags),
        "notes": list(found.coverage.sentences),
        "metrics": found.rows(),
        "against": [
            {
                "name": each.name,
                "verdict": verdict(each.primary),
                "primary": each.primary and asdict(each.primary),
                "bmc": each.bmc and asdict(each.bmc),
                "corr": each.corr and asdict(each.corr),
            }
            for each in found.against
        ],
        "per_era": per_era_json(found.eras, found.scores),
    }


def _against(found: Evaluated, name: str, other: StoredScores) -> Against:
    comparison = comparison_of(found.score)

    def delta(ours: Floats, theirs: Floats) -> PairedDelta | None:
        return paired_delta(Series(found.eras, ours), Series(other.eras, theirs), comparison)

    primary = found.score.primary
    return Against(
        name,
        delta(primary.values(found.scores), primary.values(other.scores)),
        delta(found.scores.bmc, other.scores.bmc),
        delta(found.scores.corr, other.scores.corr),
    )


def _check_eras(predictions: Predictions, theirs: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> None:
    if predictions.eras is None:
        return
    apart = np.flatnonzero(known & (predictions.eras != theirs))
    if not apart.size:
        return
    first = int(apart[0])
    told, there = era_label(int(predictions.eras[first])), era_label(int(theirs[first]))
    rule = f"{len(apart):,} rows name another era than the data file has for their id, the first {told} for {there}"
    raise DataError(f"{predictions.source}: {rule}; mend the column 'era', or drop it")


def _coverage_flags(coverage: Coverage, scores: EraScores) -> list[str]:
    flags = []
    wanted = coverage.matched + coverage.missing
    if wanted and coverage.missing / wanted > THIN_COVERAGE:
        flags.append(f"coverage: {coverage.missing / wanted:.0%} of the rows of the predicted eras have no prediction")
    without = float(np.isnan(scores.bmc).mean())
    if without > THIN_COVERAGE:
        flags.append(f"coverage: {without:.0%} of the predicted eras have no benchmark or label to score with")
    return flags


def _texts_of(ids: npt.NDArray[np.bytes_]) -> pa.Array:
    return pa.array(ids).cast(pa.string())
