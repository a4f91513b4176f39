"""``compare``: experiments side by side, or Numerai's benchmark columns, as a table, a picture or JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.errors import RequestError
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import say
from numerai_ray.session.compare import COLUMNS, Compared, benchmarks_of, numbers
from numerai_ray.session.compare import compare as compare_items
from numerai_ray.session.evaluate import Scoring
from numerai_ray.session.places import data_place, data_root
from numerai_ray.system.json_text import without_nan


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


def compare(
    exps: Annotated[list[Path], typer.Argument(metavar="EXP…", help="Folders of experiments, files of predictions.")],
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
        _show(benchmarks_of(exps[0], data_root(data_dir), start_era), asked)
        return
    scoring: Scoring = {"data": data_dir}
    together = compare_items(exps, start_era=start_era, **scoring)
    for name in baseline or ():
        _add_baseline(name, data_dir, together, asked)
    _show(together, asked)


def _add_baseline(name: str, data_dir: str | None, together: Compared, asked: Asked) -> None:
    from numerai_ray.cli.commands.baseline import baseline_plan
    from numerai_ray.experiment.baselines import BaselineStore
    from numerai_ray.experiment.score_values import per_era_scores
    from numerai_ray.experiment.scores import StoredScores

    root = data_place(data_dir)
    plan = baseline_plan(name, None, root)
    store = BaselineStore.below(root)
    entry = store.find(plan)
    if entry is None:
        why = store.why_not(plan) or f"{name} was not run on these data"
        raise RequestError(f"--baseline: {why}; run it with `numerai-ray baseline {name}`")
    eras, scores = per_era_scores(entry.value["per_era"])
    stored = StoredScores(eras, scores, {}, {})
    data = entry.config["data"]
    together.rows.append(
        {
            "experiment": "",
            "stage": f"{data['version']}, {data['file']}, {data['feature_set']}",
            "configuration": f"{name} (stored baseline)",
            "id": name,
            "winner": False,
            **numbers(stored.since(asked.start_era).metrics(entry.metrics.bmc_last.n_eras)),
            "changes": {},
        }
    )
    together.lines[name] = stored


def _show(found: Compared, asked: Asked) -> None:
    if asked.plot is not None:
        from numerai_ray.report.plots.compare import compare_info, draw_compare
        from numerai_ray.report.plots.cumulative import cumulative_line
        from numerai_ray.report.plots.drawing import DARK, LIGHT, write_picture

        lines = [cumulative_line(name, each, asked.start_era) for name, each in found.lines.items()]
        info = compare_info(found.title, lines, found.against)
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
