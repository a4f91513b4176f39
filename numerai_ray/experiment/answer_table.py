"""Table of the answer: winner, baseline and benchmark by metric, with intervals of what the winner differs by."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.experiment.standing import Standing, listed
from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.registry import METRICS
from numerai_ray.metrics.scoring import last_eras, summarize
from numerai_ray.metrics.selection import LEVEL, best_of
from numerai_ray.metrics.series import sharpe_values
from numerai_ray.metrics.significance import INTERVAL_PERCENT, PairedDelta, Series, e4_interval, paired_delta

# Rows in which a loss is no cost of its own: what is made of others is not counted beside them.
_MADE_OF_OTHERS = ("payout",)

TABLE_HEADER = ("Metric", f"Winner to baseline ({INTERVAL_PERCENT} % interval)", "Winner", "Baseline", "Benchmark")


@dataclass(frozen=True)
class Difference:
    """Winner minus baseline with its 90 % interval, and how often noise loses as much; NaN where unknown."""

    mean: float
    low: float
    high: float
    p_loss: float


@dataclass(frozen=True)
class TableRow:
    """One metric over the scored eras of the stage; NaN where unknown. ``eras`` is how many the winner's counts.

    ``digits`` are those of its values in a table, ``in_e4`` says whether differences are told in units of 1e-4.
    """

    metric: str
    title: str
    winner: float
    baseline: float
    benchmark: float
    difference: Difference | None
    eras: int
    digits: int = 5
    in_e4: bool = True


@dataclass(frozen=True)
class _Statistic:
    """What a row shows of a series: ``value`` summarizes it, ``values`` are per-era numbers whose mean that is."""

    value: Callable[[FloatArray], float]
    values: Callable[[FloatArray], FloatArray] | None
    digits: int
    in_e4: bool


_MEAN = _Statistic(lambda scores: summarize(scores).mean, lambda scores: scores, 5, in_e4=True)
_LEVEL = _Statistic(lambda scores: summarize(scores).mean, lambda scores: scores, 3, in_e4=False)
_SHARPE = _Statistic(lambda scores: summarize(scores).sharpe, sharpe_values, 2, in_e4=False)
# Of the diagnostics, which say nothing of single eras' differences. Churn is known where ids come again.
_DIAGNOSED = (
    ("fnc", "Feature-neutral CORR", ("feature_neutral_corr", "mean"), 5),
    ("churn", "Churn", ("churn", "mean"), 3),
    ("turnover", "Turnover", ("churn", "turnover"), 3),
)
_DRAWDOWN = _Statistic(lambda scores: summarize(scores).max_drawdown, None, 3, in_e4=False)


def answer_table(standing: Standing, stage: Stage, best: VariantRecord) -> tuple[TableRow, ...]:
    """Rows of the answer, the primary metric first; a metric that nobody has is left out.

    The baseline is that of the stage, and the experiment's base where the stage did not run the baseline.
    """
    other = standing.baseline(stage) or standing.base(stage)
    stored = [standing.scores(each) for each in (best, other, standing.benchmark(stage))]
    last = standing.score_config.score.last_eras
    primary = standing.metric

    def windowed(scores: FloatArray) -> float:
        return summarize(last_eras(scores, last)).mean if (~np.isnan(scores)).any() else math.nan

    recent = _Statistic(windowed, lambda scores: _only_last(scores, last), 5, in_e4=True)
    paying = [(each.name, each.title, each.name, _MEAN) for each in METRICS.values() if each.pays]
    title = f"{primary.metric.title}, last {last} eras"
    own = (f"{primary.series}_last_{last}_eras", title, primary.series, recent)
    first = own if primary.recent else next(each for each in paying if each[0] == primary.series)
    asked = [
        first,
        *(each for each in paying if each != first),
        ("bmc_sharpe", "BMC Sharpe", "bmc", _SHARPE),
        ("corr_sharpe", "CORR Sharpe", "corr", _SHARPE),
        ("bmc_max_drawdown", "BMC max drawdown", "bmc", _DRAWDOWN),
        ("corr_with_benchmark", "CORR with benchmark", "corr_with_benchmark", _LEVEL),
    ]
    rows = [_row(standing, stored, *each) for each in asked]
    for name, title, where, digits in _DIAGNOSED:
        ours, theirs, benchmark = (_diagnosed(each, *where) for each in stored)
        rows.insert(-1, TableRow(name, title, ours, theirs, benchmark, None, rows[0].eras, digits))
    return tuple(row for row in rows if not all(map(math.isnan, (row.winner, row.baseline))))


def table_cells(row: TableRow) -> tuple[str, str, str, str, str]:
    """Metric, difference to the baseline with its interval, winner, baseline and benchmark, as texts have them."""
    values = (row.winner, row.baseline, row.benchmark)
    shown = [f"{value:.{row.digits}f}" if math.isfinite(value) else "–" for value in values]
    delta = row.difference
    told = "–" if delta is None or not math.isfinite(delta.mean) else _shown(row, delta)
    return (row.title, told, shown[0], shown[1], shown[2])


def costs_of(table: Sequence[TableRow], primary: str = "bmc") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a gain in ``primary`` costs, as sentences; and the titles of what it loses by more than noise does.

    A loss is clear as the worst of the metrics that are asked, because any of them would be named.
    """
    means = [name for name, each in METRICS.items() if each.pays and name not in (primary, *_MADE_OF_OTHERS)]
    asked = (*means, "corr_sharpe", "bmc_sharpe")
    rows = [row for row in table if row.metric in asked and row.difference is not None]
    known = [row for row in rows if row.difference is not None and math.isfinite(row.difference.p_loss)]
    costs, lost = [], []
    for row in known:
        delta = row.difference
        if delta is None or delta.mean >= 0:
            continue
        clear = best_of(delta.p_loss, len(known)) <= LEVEL
        if clear:
            lost.append(row.title)
        shown = _shown(row, delta)
        sure = "a loss clear of the noise" if clear else "inside the noise"
        costs.append(
            f"{row.title} falls from {row.baseline:.{row.digits}f} to {row.winner:.{row.digits}f}: {shown}, {sure}"
        )
    if not costs and known:
        costs.append(f"No cost in {listed([row.title for row in known])}")
    # What is lost for certain comes first.
    return tuple(sorted(costs, key=lambda cost: "clear" not in cost)), tuple(lost)


def _shown(row: TableRow, delta: Difference) -> str:
    if row.in_e4:
        return e4_interval(delta.mean, delta)
    mean, low, high = (_signed(each) for each in (delta.mean, delta.low, delta.high))
    return mean + (f" [{low}, {high}]" if math.isfinite(delta.low) else "")


def _signed(value: float) -> str:
    """Two digits and a sign; what rounds to zero has none."""
    shown = round(value, 2) or 0.0
    return f"{shown:+.2f}" if shown else "0.00"


def _row(
    standing: Standing, stored: Sequence[StoredScores | None], name: str, title: str, series: str, kind: _Statistic
) -> TableRow:
    held = [None if each is None else METRICS[series].per_era(each.scores, standing.payout) for each in stored]
    winner, baseline, benchmark = (math.nan if each is None else kind.value(each) for each in held)
    difference, ours, theirs = None, stored[0], stored[1]
    if kind.values and ours is not None and theirs is not None and held[0] is not None and held[1] is not None:
        pair = (Series(ours.eras, kind.values(held[0])), Series(theirs.eras, kind.values(held[1])))
        paired = paired_delta(*pair, standing.overall) if ours is not theirs else None
        difference = None if paired is None else _difference(paired)
    eras = 0 if held[0] is None else int((~np.isnan(held[0])).sum())
    title = _covered(title, series, ours)
    return TableRow(name, title, winner, baseline, benchmark, difference, eras, kind.digits, kind.in_e4)


def _covered(title: str, series: str, ours: StoredScores | None) -> str:
    """The title, with the eras that have the meta model where not all have."""
    if ours is None or series not in ("mmc", "payout"):
        return title
    scored, known = int((~np.isnan(ours.scores.bmc)).sum()), int((~np.isnan(ours.scores.mmc)).sum())
    if series == "mmc":
        return title if known >= scored else f"{title} ({known} of {scored} eras have it)"
    return title if known >= scored else f"{title} (BMC for MMC in {scored - known} of {scored} eras)"


def _difference(paired: PairedDelta) -> Difference:
    return Difference(paired.mean, paired.low, paired.high, paired.p_loss)


def _only_last(scores: FloatArray, last: int) -> FloatArray:
    after = np.cumsum(~np.isnan(scores)[::-1])[::-1]
    found: FloatArray = np.where(after <= last, scores, np.nan)
    return found


def _diagnosed(stored: StoredScores | None, part: str, key: str) -> float:
    value = (stored.diagnostics.get(part) or {}).get(key) if stored else None
    return math.nan if value is None else float(value)
