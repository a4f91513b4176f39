"""Comparison: experiments, baselines and predictions from anywhere side by side, as rows and as lines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from numerai_ray.data.dataset import load_columns, open_parquet
from numerai_ray.errors import RequestError
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.scores import ScoreReader, StoredScores
from numerai_ray.metrics.scoring import Metrics, score_eras
from numerai_ray.session.evaluate import Evaluation, Scoring, evaluate
from numerai_ray.session.places import open_experiment
from numerai_ray.session.plotting import figure_of_lines
from numerai_ray.session.settings import check_named, first_era
from numerai_ray.session.subject import Subject, paths_of
from numerai_ray.system.storage import Place
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import metrics_by

# Columns of numbers, and how many digits of each are shown.
COLUMNS = {
    "bmc_last_200_eras": 5,
    "bmc": 5,
    "bmc_sharpe": 2,
    "bmc_max_drawdown": 3,
    "corr": 4,
    "avg_corr_with_benchmark": 3,
}
FILES = (".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class Compared:
    """What is compared: ``rows`` of the table and ``lines`` of the picture by name.

    ``grounds`` are stage and data file of each experiment: where there are several, values do not compare.
    """

    title: str
    against: str
    start_era: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, StoredScores] = field(default_factory=dict)
    grounds: set[tuple[str, str]] = field(default_factory=set)

    def table(self) -> pd.DataFrame:
        """A row a configuration: whose it is, in which stage, whether it won, and its metrics; NaN where unknown."""
        return pd.DataFrame(self.rows)

    def plot(self, *, ax: Any = None, start_era: int | str | None = None, dark: bool = False) -> Any:
        """Cumulative CORR and BMC of winners and foreign predictions: a matplotlib figure of two panels.

        Args:
            ax: two axes of yours; else a new figure is made.
            start_era: where sums begin; else where the comparison does.
            dark: draw for a dark page.

        Returns:
            The figure, ``ax``'s own where that is given.

        Raises:
            RequestError: no per-era score is there to draw.

        """
        first = self.start_era if start_era is None else start_era
        return figure_of_lines(self.title, self.lines, ax, first, dark=dark, against=self.against)

    def _repr_html_(self) -> str:
        shown = self.table().drop(columns=["changes"], errors="ignore")
        note = "" if len(self.grounds) < 2 else "<p>Stages or data differ, so values of one do not compare.</p>"
        return f"{shown.to_html(index=False, float_format='{:.5f}'.format, na_rep='–')}{note}"


def compare(items: Iterable[Any], *, start_era: int | str | None = None, **scoring: Unpack[Scoring]) -> Compared:
    """Put experiments and predictions from anywhere side by side.

    >>> from numerai_ray import compare, load_targets
    >>> labels = load_targets("tiny", "target_ender_60").rename(columns={"target_ender_60": "prediction"})
    >>> found = compare([{"another target": labels}], data_version="tiny")
    >>> found.table()[["configuration", "stage"]].values.tolist()
    [['another target', 'foreign']]

    Args:
        items: experiments or their folders (base, baseline and winner of the latest stage of each); results of
            :func:`evaluate`; paths of files of predictions; or mappings of names to frames of predictions.
        start_era: count eras from this one on.
        **scoring: see :class:`Scoring`; what it leaves out is as in the first experiment's latest stage.

    Returns:
        What is compared: :meth:`Compared.table` is a frame, :meth:`Compared.plot` a figure.

    Raises:
        RequestError: nothing is given, an experiment has no decided round, or an item is none of these.
        DataError: predictions or data are missing or damaged.

    """
    check_named(Scoring, scoring, "compare")
    listed = list(items)
    if not listed:
        raise RequestError("compare: nothing is given; give experiments, files or frames of predictions")
    together = Compared("Latest stage of each", "each one's benchmark", first_era(start_era))
    settled = _scoring_of(listed, scoring)
    for item in listed:
        if isinstance(item, Mapping):
            for name, frame in item.items():
                named: Scoring = {**settled, "name": str(name)}
                add_evaluation(evaluate(frame, **named), together)
        elif isinstance(item, Evaluation):
            add_evaluation(item, together)
        elif isinstance(item, str | Path) and Path(item).suffix in FILES:
            add_evaluation(evaluate(item, **settled), together)
        elif isinstance(item, str | Path) or hasattr(item, "stored_scores"):
            add_experiment(item, together)
        else:
            rule = (
                "must be an experiment, a folder, a file of predictions, an evaluation, or a mapping of names to frames"
            )
            raise RequestError(f"compare: each item {rule}, but one is {type(item).__name__}")
    return together


def add_experiment(item: str | Path | Subject, together: Compared) -> None:
    """Base, baseline and winner of the latest stage that an experiment reached, a holdout aside."""
    paths: ExperimentPaths = paths_of(item)
    last = last_compared(read_ledger(paths.ledger))
    if last is None:
        raise RequestError(f"{paths.root}: no round is decided yet; start with `numerai-ray run {paths.root}`")
    reader = ScoreReader(paths)
    name_of_all = paths.root.name
    together.grounds.add((last.stage, last.origin.get("the eras", last.origin.get("the data file", name_of_all))))
    for variant in last.variants:
        won = variant.id == last.decision.winner
        if variant.role == "variant" and not won:
            continue
        plain = variant.name in {variant.role, "winner"}
        stored = reader.read(variant.id)
        metrics = variant.metrics
        if stored is not None and metrics is not None and together.start_era is not None:
            metrics = stored.since(together.start_era).metrics(metrics.bmc_last.n_eras)
        together.rows.append(
            {
                "experiment": name_of_all,
                "stage": last.stage,
                "configuration": variant.name if plain else f"{variant.name} ({variant.role})",
                "id": variant.id,
                "winner": won,
                **numbers(metrics),
                "changes": dict(last.decision.changes) if won else dict(variant.changes),
            }
        )
        if stored is not None and won:
            together.lines[name_of_all] = stored


def add_evaluation(found: Evaluation, together: Compared) -> None:
    """Predictions from anywhere, scored."""
    own = found.found
    together.rows.append(
        {
            "experiment": "",
            "stage": "foreign",
            "configuration": own.name,
            "id": own.name,
            "winner": False,
            **numbers(own.stored.since(together.start_era).metrics(own.score.last_eras)),
            "changes": {},
        }
    )
    together.lines[own.name] = own.stored


def benchmarks_of(folder: Path, root: Place, start_era: int | None) -> Compared:
    """Every benchmark column scored like a prediction on an experiment's final data."""
    _, loaded = open_experiment(folder)
    config = loaded.config("final", {})
    data, score = config.data, config.score
    index = Catalog(root).index(data)
    file = open_parquet(index.benchmark_path, "build it again")
    names = [name for name in file.schema_arrow.names if name not in {data.id_col, data.era_col, "data_type"}]
    columns = load_columns(index, data, [score.target], names)
    target, against = columns.targets[score.target], columns.benchmarks[score.benchmark]
    together = Compared(f"Benchmarks of {data.version} on {score.target}", score.benchmark)
    keep = np.array(index.eras) >= (start_era or 0)
    eras = tuple(era for era, kept in zip(index.eras, keep.tolist(), strict=True) if kept)
    for name in names:
        found = score_eras(columns.benchmarks[name], target, against, index.era_starts)
        # Its contribution beyond itself is rounding around 0.
        bmc = np.where(np.isnan(found.bmc), np.nan, 0.0) if name == score.benchmark else found.bmc
        scores = replace(found, bmc=bmc).at(keep)
        metrics = metrics_by(score, scores)
        together.rows.append({"benchmark": name, "eras": metrics.corr.n_eras, **numbers(metrics)})
        together.lines[name] = StoredScores(eras, scores, {}, {})
    together.rows.sort(key=lambda row: -(row["corr"] if row["corr"] == row["corr"] else -9))
    return together


def numbers(metrics: Metrics | None) -> dict[str, float | None]:
    """The columns of numbers; None where a trial failed."""
    if metrics is None:
        return {**dict.fromkeys(COLUMNS), "corr_sharpe": None}
    return {
        "bmc_last_200_eras": metrics.primary,
        "bmc": metrics.bmc.mean,
        "bmc_sharpe": metrics.bmc.sharpe,
        "bmc_max_drawdown": metrics.bmc.max_drawdown,
        "corr": metrics.corr.mean,
        "corr_sharpe": metrics.corr.sharpe,
        "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
    }


def _scoring_of(items: list[Any], scoring: Scoring) -> Scoring:
    """Foreign predictions are scored as the first experiment among the items is, where nothing else is said."""
    for item in items:
        folder = isinstance(item, str | Path) and Path(item).suffix not in FILES
        if folder or hasattr(item, "stored_scores"):
            return as_latest_stage(paths_of(item), scoring)
    return scoring


def as_latest_stage(paths: ExperimentPaths, scoring: Scoring) -> Scoring:
    """``scoring``, and what it leaves out as in the latest stage that an experiment reached, else as in scouting."""
    _, loaded = open_experiment(paths.root)
    ran = {record.stage for record in read_ledger(paths.ledger)}
    stages = [each for each in loaded.stages if each in ran and each != "holdout"]
    config = loaded.config(stages[-1] if stages else "scout", {})
    own: Scoring = {
        "data_version": config.data.version,
        "file": config.data.file,
        "target": config.score.target,
        "benchmark": config.score.benchmark,
        "last_eras": config.score.last_eras,
        "metric": config.score.metric,
    }
    return {**own, **scoring}
