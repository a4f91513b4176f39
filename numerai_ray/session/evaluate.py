"""Evaluation in the hands of a user: predictions from anywhere, scored on a data version, as frames and pictures."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from numerai_ray.config import DataConfig, Json, ScoreConfig, validate
from numerai_ray.config.official import OfficialData
from numerai_ray.config.schema import DATA_FILES, DataFile
from numerai_ray.data.dataset import META_MODEL, Columns, DatasetIndex, load_columns, open_index
from numerai_ray.data.predictions import Predictions, read_predictions
from numerai_ray.errors import DataError, RequestError, nearest
from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.experiment.evaluation import Against, Evaluated, evaluated, match, with_references
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.metrics.registry import MEAN
from numerai_ray.metrics.scoring import Metrics
from numerai_ray.metrics.significance import INTERVAL_PERCENT, verdict
from numerai_ray.session.places import data_place
from numerai_ray.session.settings import check_named
from numerai_ray.session.subject import Subject, winner_of
from numerai_ray.system.storage import Place, folders_in
from numerai_ray.training.outcome import era_scores


class Scoring(TypedDict, total=False):
    """What predictions are scored on and against; all of it may be left out.

    ``data_version`` names a folder of the data root (the only one there, else it must be given); ``file`` is "full"
    or "downsampled" (full where it was built); ``target`` and ``benchmark`` are column names; ``last_eras`` is the
    window of the primary metric; ``metric`` what differences are judged by, as in a plan (``bmc``, ``mmc``,
    ``payout.mean``, …); ``data`` the data root; ``column`` the column of predictions; ``name`` what it is called in
    tables and pictures.
    """

    data_version: str | None
    file: DataFile | None
    target: str | None
    benchmark: str | None
    last_eras: int
    data: str | Path | None
    column: str | None
    name: str | None
    metric: str


@dataclass(frozen=True, eq=False)
class Ground:
    """The data file that predictions are scored on, read once: index, columns, and what scores are taken against."""

    root: Place
    data: DataConfig
    index: DatasetIndex
    columns: Columns
    score: ScoreConfig


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of predictions from anywhere, as :func:`evaluate` found them.

    In a notebook it shows itself; :meth:`table`, :meth:`against` and :meth:`per_era` are frames, :meth:`plot` a figure.
    """

    found: Evaluated
    references: Mapping[str, StoredScores]

    @property
    def name(self) -> str:
        """What the predictions are called in tables and pictures."""
        return self.found.name

    @property
    def metrics(self) -> Metrics:
        """Summaries by the official definitions."""
        return self.found.metrics

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes the result doubtful, in sentences; one that begins with ``suspect`` looks like a leak."""
        return self.found.flags

    @property
    def coverage(self) -> dict[str, Any]:
        """Rows given, matched, extra (no such id), unknown (NaN) and missing (no prediction), and the eras."""
        return asdict(self.found.coverage)

    def table(self) -> pd.DataFrame:
        """Every metric: ``value`` and, for means of per-era scores, the 90 % interval from ``low`` to ``high``."""
        return pd.DataFrame(self.found.rows()).set_index("metric")

    def against(self) -> pd.DataFrame:
        """Mean per-era differences to each reference by the metric and its eras, with interval and verdict."""
        columns = [f"{self.found.score.primary.series}_delta", "low", "high", "verdict", "eras", "corr_delta"]
        rows = {each.name: _delta_row(each) for each in self.found.against}
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return frame.rename_axis("reference")

    def per_era(self) -> pd.DataFrame:
        """Scores by era: corr, bmc, corr_with_benchmark, mmc where there is a meta model; NaN where unknown."""
        scores = self.found.scores
        columns = {"corr": scores.corr, "bmc": scores.bmc, "corr_with_benchmark": scores.benchmark_corr}
        if not np.isnan(scores.mmc).all():
            columns["mmc"] = scores.mmc
        return pd.DataFrame(columns, index=pd.Index(self.found.eras, name="era"))

    def plot(self, *, ax: Any = None, start_era: int | str | None = None, dark: bool = False) -> Any:
        """Cumulative CORR and BMC beside the references: a matplotlib figure of two panels.

        Args:
            ax: two axes of yours; else a new figure is made.
            start_era: where sums begin; else at the first era.
            dark: draw for a dark page.

        Returns:
            The figure, ``ax``'s own where that is given.

        Raises:
            RequestError: no era is left to draw.

        """
        from numerai_ray.session.plotting import figure_of_lines

        lines = {self.name: self.found.stored, **self.references}
        return figure_of_lines(f"{self.name} on {self.found.score.target}", lines, ax, start_era, dark=dark)

    def _repr_html_(self) -> str:
        notes = [*self.found.flags, *self.found.coverage.sentences]
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        coverage = self.found.coverage
        head = (
            f"<p><b>{html.escape(self.name)}</b>: {coverage.matched:,} rows in {coverage.eras} eras, "
            f"{coverage.first_era}–{coverage.last_era}; {INTERVAL_PERCENT} % intervals</p>"
        )
        parts = [head, self.table().to_html(float_format="{:.5f}".format, na_rep="")]
        if self.found.against:
            parts.append(self.against().to_html(float_format="{:+.5f}".format, na_rep=""))
        return "".join([*parts, f"<ul>{listed}</ul>" if notes else ""])

    def __repr__(self) -> str:
        metrics = self.found.metrics
        return (
            f"<Evaluation {self.name}: {metrics.metric.name.removesuffix(MEAN)} {metrics.primary:.5f}, "
            f"bmc {metrics.bmc.mean:.5f}, corr {metrics.corr.mean:.4f}, {len(self.found.eras)} eras>"
        )


def evaluate(
    predictions: Any, *, against: Iterable[str | Path | Subject] = (), **scoring: Unpack[Scoring]
) -> Evaluation:
    """Score predictions from anywhere as a variant's out-of-fold predictions are scored.

    >>> import pandas as pd
    >>> from numerai_ray import evaluate, load_targets
    >>> labels = load_targets("tiny", "target_ender_20")
    >>> guess = labels[["target_ender_20"]].rename(columns={"target_ender_20": "prediction"})
    >>> found = evaluate(guess, data_version="tiny", name="the answer itself")
    >>> found.flags[0]
    'suspect: corr_mean 0.9994 is above 0.04, look for leakage'
    >>> found.per_era().columns.tolist()
    ['corr', 'bmc', 'corr_with_benchmark', 'mmc']

    Args:
        predictions: a DataFrame or Series of pandas, a frame of polars, a table of Arrow, or the path of a ``.parquet``
            or ``.csv`` file: a row an id (column ``id`` or pandas' index) with a column ``prediction``, or with one
            column of numbers. Rows may come in any order; what is missing is told and never filled.
        against: experiments (or their folders) whose winners it is held against, beside the benchmark and the stored
            baselines of the data version.
        **scoring: see :class:`Scoring`.

    Returns:
        The scores, with intervals, per era, and held against the references.

    Raises:
        DataError: an id stands twice, no id is in the data, or the data version is not there.
        RequestError: which column, version, target or benchmark is meant is not clear, or a setting is unknown.

    """
    check_named(Scoring, scoring, "evaluate")
    given = read_predictions(predictions, scoring.get("column"), source=_source(predictions))
    ground = ground_of(scoring)
    name = scoring.get("name") or _name(predictions)
    found = evaluate_on(ground, given, name)
    return with_all_references(found, ground, against)


def evaluate_on(ground: Ground, given: Predictions, name: str) -> Evaluated:
    """Score predictions on data that are open already."""
    return evaluated(name, match(given, ground.index, ground.columns), ground.index, ground.columns, ground.score)


def with_all_references(found: Evaluated, ground: Ground, against: Iterable[str | Path | Subject]) -> Evaluation:
    """``found`` held against the benchmark, stored baselines of the same data version, and experiments' winners."""
    references = {ground.score.benchmark: benchmark_scores(ground, found.eras), **_baselines(ground)}
    for each in against:
        name, stored = winner_of(each)
        references[name] = stored
    return Evaluation(with_references(found, references), references)


def ground_of(scoring: Scoring) -> Ground:
    """Open what predictions are scored on.

    Raises:
        DataError: the data version, its files or a column are not there.
        RequestError: several versions are there and none is named.

    """
    data_dir = scoring.get("data")
    root = data_place(None if data_dir is None else str(data_dir))
    version = scoring.get("data_version") or _only_version(root)
    data = DataConfig(version=version, file=scoring.get("file") or _built_file(root, version))
    index = open_index(root, data)
    target = scoring.get("target") or ScoreConfig().target
    if target not in index.columns:
        targets = [name for name in index.columns if name.startswith("target")]
        raise DataError(f"{index.path}: no target {target!r}{nearest(target, targets)}")
    benchmark = scoring.get("benchmark") or _usual_benchmark(version, index)
    if benchmark not in index.benchmark_columns:
        raise DataError(
            f"{index.benchmark_path}: no benchmark {benchmark!r}{nearest(benchmark, index.benchmark_columns)}"
        )
    asked: Json = {key: scoring[key] for key in ("last_eras", "metric") if key in scoring}
    score = validate(ScoreConfig, {"target": target, "benchmark": benchmark, **asked}, "evaluate")
    return Ground(root, data, index, load_columns(index, data, score.targets, [benchmark, META_MODEL]), score)


def benchmark_scores(ground: Ground, eras: tuple[int, ...] | None = None) -> StoredScores:
    """The benchmark column scored like a prediction, on some eras of the file; its own BMC is 0 by definition."""
    columns, score = ground.columns, ground.score
    values = columns.benchmarks[score.benchmark]
    found = era_scores(score, values, columns, lambda column: column, ground.index.era_starts)
    kept = ground.index.positions(eras if eras is not None else ground.index.eras)
    scores = replace(found, bmc=found.bmc * 0.0).at(kept)
    return StoredScores(tuple(ground.index.eras[each] for each in kept), scores, {}, {}, primary=score.primary)


def _baselines(ground: Ground) -> dict[str, StoredScores]:
    """Stored baselines that were scored on this version against the same target and benchmark."""
    found = {}
    for entry in BaselineStore.below(ground.root).all():
        config = entry.config
        same_score = all(config["score"][key] == getattr(ground.score, key) for key in ("target", "benchmark"))
        if config["data"]["version"] == ground.data.version and same_score:
            eras, scores = per_era_scores(entry.value["per_era"])
            found[f"{entry.name} (baseline)"] = StoredScores(eras, scores, {}, {}, primary=ground.score.primary)
    return found


def _delta_row(each: Against) -> tuple[Any, ...]:
    nothing = float("nan")
    delta = each.primary
    if delta is None:
        return (nothing, nothing, nothing, "no era in common", 0, nothing)
    corr = nothing if each.corr is None else each.corr.mean
    return (delta.mean, delta.low, delta.high, verdict(delta), delta.eras, corr)


def _only_version(root: Place) -> str:
    there = [name for name in folders_in(root) if (root / name / "features.json").exists()]
    if len(there) == 1:
        return there[0]
    if not there:
        raise DataError(f"{root}: holds no data version; download one with `numerai-ray data download`")
    raise RequestError(f"data_version: several are in {root}: {', '.join(there)}; name the one that is meant")


def _built_file(root: Place, version: str) -> DataFile:
    full = root / version / DATA_FILES["full"][0]
    return "full" if full.exists() or not (root / version / DATA_FILES["downsampled"][0]).exists() else "downsampled"


def _usual_benchmark(version: str, index: DatasetIndex) -> str:
    """The version's own, as official configs mean it; else the one of that name that the file has."""
    usual = OfficialData(data_version=version).benchmark
    if usual in index.benchmark_columns:
        return usual
    alike = [name for name in index.benchmark_columns if name.endswith("_lgbm_ender20")]
    if len(alike) == 1:
        return alike[0]
    raise RequestError(
        f"benchmark: {index.benchmark_path} has no {usual}; name one of {', '.join(index.benchmark_columns)}"
    )


def _source(predictions: Any) -> str:
    return str(predictions) if isinstance(predictions, str | Path) else "predictions"


def _name(predictions: Any) -> str:
    return Path(predictions).stem if isinstance(predictions, str | Path) else "predictions"
