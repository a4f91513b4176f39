"""``compare``: experiments side by side, or Numerai's benchmark columns, as a table, a picture or JSON."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.errors import RequestError
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.metrics.scoring import Metrics
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import data_place, data_root, experiment_paths, open_experiment
from numerai_ray.system.json_text import without_nan

COLUMNS = {
    "bmc_last_200_eras": 5,
    "bmc": 5,
    "bmc_sharpe": 2,
    "bmc_max_drawdown": 3,
    "corr": 4,
    "avg_corr_with_benchmark": 3,
}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray compare experiments/a experiments/b --plot ab.png · "
        "numerai-ray compare experiments/a --baseline small_lgbm_ender20_downsampled · "
        "numerai-ray compare experiments/a --benchmarks --start-era 800"
    )(compare)


@dataclass(frozen=True)
class Asked:
    """What was asked for beside the experiments."""

    plot: Path | None
    start_era: int | None
    dark: bool
    as_json: bool


@dataclass(frozen=True, eq=False)
class Compared:
    """Table rows, and the lines of the picture."""

    title: str
    against: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)
    # Stage and data file of each experiment: where there are several, values do not compare.
    grounds: set[tuple[str, str]] = field(default_factory=set)


def compare(
    exps: Annotated[list[Path], typer.Argument(metavar="EXP…", help="Folders of experiments.")],
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw cumulative scores too.")] = None,
    start_era: Annotated[
        int | None, typer.Option("--start-era", callback=within(1), help="Count eras from this one on.")
    ] = None,
    data_dir: DataDirOption = None,
    *,
    dark: Annotated[bool, typer.Option("--dark", help="Draw for a dark page.")] = False,
    baseline: Annotated[
        list[str] | None,
        typer.Option("--baseline", metavar="NAME", help="With the stored results of this baseline; may be repeated."),
    ] = None,
    benchmarks: Annotated[
        bool, typer.Option("--benchmarks", help="Numerai's benchmark columns, on the first experiment's data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Experiments side by side: base, baseline and winner of the latest stage each reached, a holdout aside."""
    if plot is not None and plot.suffix != ".png":
        raise RequestError(f"--plot must be a .png file, but is {plot}; give another name")
    asked = Asked(plot, start_era, dark, as_json)
    if benchmarks:
        _show(_benchmarks(exps[0], data_dir, asked), asked)
        return
    together = Compared("Latest stage of each experiment", "each one's benchmark")
    for exp in exps:
        _add_experiment(exp, together, asked)
    for name in baseline or ():
        _add_baseline(name, data_dir, together, asked)
    _show(together, asked)


def _add_experiment(exp: Path, together: Compared, asked: Asked) -> None:
    from numerai_ray.experiment.scores import ScoreReader
    from numerai_ray.report.plots.cumulative import cumulative_line

    paths = experiment_paths(exp)
    last = last_compared(read_ledger(paths.ledger))
    if last is None:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    reader = ScoreReader(paths)
    together.grounds.add((last.stage, last.origin.get("the eras", last.origin.get("the data file", exp.name))))
    for variant in last.variants:
        won = variant.id == last.decision.winner
        if variant.role == "variant" and not won:
            continue
        plain = variant.name in {variant.role, "winner"}
        name = variant.name if plain else f"{variant.name} ({variant.role})"
        metrics = variant.metrics
        stored = reader.read(variant.id)
        if stored is not None:
            metrics = _since(stored.eras, stored.scores, asked) or metrics
        together.rows.append(
            {
                "experiment": exp.name,
                "stage": last.stage,
                "configuration": name,
                "id": variant.id,
                "winner": won,
                **_numbers(metrics),
                "changes": dict(last.decision.changes) if won else dict(variant.changes),
            }
        )
        if stored is not None and won:
            together.lines.append(cumulative_line(exp.name, stored, asked.start_era))


def _add_baseline(name: str, data_dir: str | None, together: Compared, asked: Asked) -> None:
    from numerai_ray.cli.commands.baseline import baseline_plan
    from numerai_ray.experiment.baselines import BaselineStore
    from numerai_ray.experiment.scores import StoredScores
    from numerai_ray.experiment.variant_output import per_era_scores
    from numerai_ray.report.plots.cumulative import cumulative_line

    root = data_place(data_dir)
    plan = baseline_plan(name, None, root)
    store = BaselineStore.below(root)
    entry = store.find(plan)
    if entry is None:
        why = store.why_not(plan) or f"{name} was not run on these data"
        raise RequestError(f"--baseline: {why}; run it with `numerai-ray baseline {name}`")
    eras, scores = per_era_scores(entry.value["per_era"])
    data = entry.config["data"]
    together.rows.append(
        {
            "experiment": "",
            "stage": f"{data['version']}, {data['file']}, {data['feature_set']}",
            "configuration": f"{name} (stored baseline)",
            "id": name,
            "winner": False,
            **_numbers(_since(eras, scores, asked) or entry.metrics),
            "changes": {},
        }
    )
    together.lines.append(cumulative_line(name, StoredScores(eras, scores, {}, {}), asked.start_era))


def _since(eras: tuple[int, ...], scores: Any, asked: Asked) -> Metrics | None:
    """Metrics from the asked era on, None where all eras count."""
    from numerai_ray.metrics.scoring import EraScores, metrics_of

    if asked.start_era is None:
        return None
    keep = [era >= asked.start_era for era in eras]
    return metrics_of(EraScores(scores.corr[keep], scores.bmc[keep], scores.benchmark_corr[keep]), 200)


def _benchmarks(exp: Path, data_dir: str | None, asked: Asked) -> Compared:
    """Every benchmark column scored like a prediction on the experiment's final data."""
    import numpy as np

    from numerai_ray.data.dataset import load_columns, open_parquet
    from numerai_ray.experiment.scores import StoredScores
    from numerai_ray.metrics.scoring import EraScores, metrics_of, score_eras
    from numerai_ray.report.plots.cumulative import cumulative_line
    from numerai_ray.training.catalog import Catalog

    _, loaded = open_experiment(exp)
    config = loaded.config("final", {})
    data, score = config.data, config.score
    index = Catalog(data_root(data_dir)).index(data)
    file = open_parquet(index.benchmark_path, "build it again")
    names = [name for name in file.schema_arrow.names if name not in {data.id_col, data.era_col, "data_type"}]
    columns = load_columns(index, data, [score.target], names)
    target, against = columns.targets[score.target], columns.benchmarks[score.benchmark]
    together = Compared(f"Benchmarks of {data.version} on {score.target}", score.benchmark)
    keep = np.array(index.eras) >= (asked.start_era or 0)
    for name in names:
        found = score_eras(columns.benchmarks[name], target, against, index.era_starts)
        # Its contribution beyond itself is rounding around 0.
        bmc = np.where(np.isnan(found.bmc), np.nan, 0.0) if name == score.benchmark else found.bmc
        scores = EraScores(found.corr[keep], bmc[keep], found.benchmark_corr[keep])
        metrics = metrics_of(scores, score.last_eras)
        together.rows.append({"benchmark": name, "eras": metrics.corr.n_eras, **_numbers(metrics)})
        eras = tuple(era for era, kept in zip(index.eras, keep.tolist(), strict=True) if kept)
        together.lines.append(cumulative_line(name, StoredScores(eras, scores, {}, {}), None))
    together.rows.sort(key=lambda row: -(row["corr"] if row["corr"] == row["corr"] else -9))
    return together


def _numbers(metrics: Metrics | None) -> dict[str, float | None]:
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


def _show(found: Compared, asked: Asked) -> None:
    if asked.plot is not None:
        from numerai_ray.report.plots.compare import compare_info, draw_compare
        from numerai_ray.report.plots.drawing import DARK, LIGHT, write_picture

        info = compare_info(found.title, found.lines, found.against)
        if info is None:
            raise RequestError("--plot: no per-era score is there to draw; run the experiments, or lower --start-era")
        write_picture(asked.plot, lambda theme: draw_compare(info, theme), DARK if asked.dark else LIGHT)
    if asked.as_json:
        say(json.dumps(without_nan({"rows": found.rows, "plot": asked.plot and str(asked.plot)}), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    texts: list[str] = [key for key in ("experiment", "stage", "configuration", "benchmark") if key in found.rows[0]]
    for text in texts:
        table.add_column(text, overflow="fold")
    for key in COLUMNS:
        table.add_column(key.replace("avg_corr_with_benchmark", "corr_w_bench"), justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(*(row[key] for key in texts), *(number(row[key], digits) for key, digits in COLUMNS.items()))
    wide_console().print(table)
    if len(found.grounds) > 1:
        say("Stages or data differ, so the values of one experiment do not compare with another's.")
    if asked.plot is not None:
        say(str(asked.plot))
