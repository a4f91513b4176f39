"""``evaluate``: predictions from anywhere, scored as a variant's are."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from numerai_ray.cli.options import DataDirOption, JsonOption, within
from numerai_ray.config.schema import DATA_FILES
from numerai_ray.errors import RequestError, nearest
from numerai_ray.experiment.evaluation import evaluation_json
from numerai_ray.metrics.significance import INTERVAL_PERCENT, PairedDelta, e4, verdict
from numerai_ray.progress.live_view import wide_console
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import Console, say
from numerai_ray.session.evaluate import Evaluation, Scoring
from numerai_ray.session.evaluate import evaluate as evaluated
from numerai_ray.system.json_text import without_nan


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray evaluate mine.parquet --data-version v5.3 --against experiments/wide · "
        "numerai-ray evaluate mine.csv --column score --plot mine.png"
    )(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .parquet or .csv: id and prediction, a row an id.")],
    *,
    data_version: Annotated[
        str | None, typer.Option("--data-version", help="Folder of the data root; else the only one there.")
    ] = None,
    data_file: Annotated[
        str | None, typer.Option("--file", help="full or downsampled; else full where it was built.")
    ] = None,
    column: Annotated[str | None, typer.Option("--column", help="The column of predictions.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Score against this target.")] = None,
    benchmark: Annotated[str | None, typer.Option("--benchmark", help="BMC beyond this benchmark column.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="What differences are judged by: bmc, mmc, corr, payout, bmc.mean, …")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="EXP", help="Held against this experiment's winner; may be repeated."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw cumulative scores too.")] = None,
    start_era: Annotated[
        int | None, typer.Option("--start-era", callback=within(1), help="Sums of the picture begin at this era.")
    ] = None,
    data_dir: DataDirOption = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw for a dark page.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score predictions from anywhere: per era, with intervals, against benchmark, baselines and experiments."""
    if plot is not None and plot.suffix != ".png":
        raise RequestError(f"--plot must be a .png file, but is {plot}; give another name")
    chosen = next((each for each in DATA_FILES if each == data_file), None)
    if data_file is not None and chosen is None:
        raise RequestError(f"--file: there is no file {data_file!r}{nearest(data_file, DATA_FILES)}")
    scoring: Scoring = {
        "data_version": data_version,
        "file": chosen,
        "column": column,
        "target": target,
        "benchmark": benchmark,
        "data": data_dir,
    }
    if metric is not None:
        scoring["metric"] = metric
    found = evaluated(file, against=against or (), **scoring)
    if plot is not None:
        _write_plot(found, plot, start_era, dark=dark)
    if as_json:
        say(json.dumps(without_nan({**evaluation_json(found.found), "plot": plot and str(plot)}), indent=2))
    else:
        _show(found, plot)


def _write_plot(found: Evaluation, plot: Path, start_era: int | None, *, dark: bool) -> None:
    from numerai_ray.report.plots.compare import compare_info, draw_compare
    from numerai_ray.report.plots.cumulative import cumulative_line
    from numerai_ray.report.plots.drawing import DARK, LIGHT, write_picture

    lines = {found.name: found.found.stored, **found.references}
    drawn = [cumulative_line(name, each, start_era) for name, each in lines.items()]
    info = compare_info(f"{found.name} on {found.found.score.target}", drawn, found.found.score.benchmark)
    if info is None:
        raise RequestError("--plot: no per-era score is there to draw; lower --start-era")
    write_picture(plot, lambda theme: draw_compare(info, theme), DARK if dark else LIGHT)


def _show(found: Evaluation, plot: Path | None) -> None:
    own, coverage = found.found, found.found.coverage
    console = wide_console()
    say(
        f"{own.name}: {coverage.matched:,} predictions in {coverage.eras} of {coverage.file_eras} eras "
        f"({coverage.first_era}–{coverage.last_era}), target {own.score.target}, benchmark {own.score.benchmark}"
    )
    for note in (*own.flags, *coverage.sentences):
        say(f"note: {note}")
    metrics = Table(box=None, pad_edge=False)
    metrics.add_column("metric", no_wrap=True)
    metrics.add_column("value", justify="right")
    metrics.add_column(f"{INTERVAL_PERCENT} % interval of the mean", no_wrap=True)
    for row in own.rows():
        interval = "" if row["low"] != row["low"] else f"{number(row['low'])} to {number(row['high'])}"
        metrics.add_row(row["metric"], number(row["value"]), interval)
    console.print(metrics)
    if own.against:
        console.print(_against_table(found))
    if plot is not None:
        Console().print(str(plot), highlight=False, soft_wrap=True)


def _against_table(found: Evaluation) -> Table:
    table = Table(box=None, pad_edge=False)
    primary = found.found.score.primary.metric.title
    for name in ("against", f"{primary}, difference", f"{INTERVAL_PERCENT} % interval", "", "eras", "CORR, difference"):
        table.add_column(name, no_wrap=True)
    for each in found.found.against:
        table.add_row(each.name, *_delta_cells(each.primary), "–" if each.corr is None else e4(each.corr.mean))
    return table


def _delta_cells(delta: PairedDelta | None) -> tuple[str, str, str, str]:
    if delta is None:
        return ("–", "–", "no era in common", "0")
    return (e4(delta.mean), f"{e4(delta.low)} to {e4(delta.high)}", verdict(delta), str(delta.eras))
