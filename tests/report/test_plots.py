"""Plots: what each shows is right, and each is a picture with something in it, in both themes, drawn when needed."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import History, Market, experiment, finished_experiment
from matplotlib.image import imread
from report_text import ROWS, write_predictions
from scipy.stats import spearmanr

from numerai_ray.report.plots.correlation import correlation_info, draw_correlation
from numerai_ray.report.plots.cumulative import cumulative_caption, cumulative_info
from numerai_ray.report.plots.delta import delta_info
from numerai_ray.report.plots.drawing import LIGHT, THEMES, spread, two_lines
from numerai_ray.report.plots.importances import importances_caption, importances_info
from numerai_ray.report.plots.per_era import per_era_info
from numerai_ray.report.plots.registry import PLOTS, drawn_plots, gathered, write_plots
from numerai_ray.report.plots.rounds import rounds_info
from numerai_ray.report.plots.sweeps import sweeps_info
from numerai_ray.report.reading import Reading
from numerai_ray.report.writer import ReportWriter, write_report, write_report_text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_predictions(history, {"r01-base": 0.1, "r01-num_leaves=63": 0.2, "r01-num_leaves=7": 2.0})
    last = max(at for at, record in enumerate(history.records) if record.stage == "scout")
    told = {"max_depth": 0.25, "num_leaves": 0.75}
    history.records[last] = replace(history.records[last], importances=told, kind="joint")
    write_report(history.loaded, history.paths, history.records)
    return history


def reading(history: History, start_era: int | None = None) -> Reading:
    return Reading(history.loaded, history.paths, tuple(history.records), start_era)


def test_importances_are_shown_from_the_most_important(finished: History) -> None:
    info = importances_info(reading(finished))
    assert info is not None
    assert (info.names, info.shares, info.hidden) == (("num_leaves", "max_depth"), (0.75, 0.25), 0)
    scored = {v.id for r in finished.records if r.kind == "joint" for v in r.variants if v.metrics}
    assert 0 < info.results <= len(scored)
    assert f"over its values in {info.results} results of joint rounds" in importances_caption(info)
    none = [replace(each, importances={}) for each in finished.records]
    assert importances_info(Reading(finished.loaded, finished.paths, tuple(none))) is None


# --- what is shown -----------------------------------------------------------------------------------------------


def test_cumulative_info_sums_scored_eras_and_keeps_unknown_ones_unknown(finished: History) -> None:
    info = cumulative_info(reading(finished))
    assert info is not None
    assert info.stage == "final"
    assert list(info.lines) == ["best", "baseline", "benchmark"]
    line = info.lines["best"]
    per_era = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    known = [value for value in per_era["bmc"] if value is not None]
    assert np.isnan(line.bmc[:10]).all()
    assert line.bmc[-1] == pytest.approx(sum(known))
    assert line.bmc[10] == known[0]
    assert line.corr[-1] == pytest.approx(sum(per_era["corr"]))
    assert info.window == (325, 1121)
    assert info.uncovered_eras == 10


def test_cumulative_sums_begin_at_the_start_era(finished: History) -> None:
    whole, late = cumulative_info(reading(finished)), cumulative_info(reading(finished, 801))
    assert whole is not None
    assert late is not None
    best = late.lines["best"]
    assert best.eras[0] == 801
    before = whole.lines["best"].eras.index(797)
    assert best.bmc[-1] == pytest.approx(whole.lines["best"].bmc[-1] - whole.lines["best"].bmc[before])
    assert "begin at era 0801" in cumulative_caption(late)
    assert cumulative_info(reading(finished, 9999)) is None


def test_cumulative_info_names_what_is_the_same_and_the_runners_up(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {7: 0.0001})
    info = cumulative_info(reading(history))
    assert info is not None
    assert info.lines["best"].label == "best = base = baseline"
    history.scout("max_depth", {8: 0.0087})
    info = cumulative_info(reading(history))
    assert info is not None
    assert {kind: line.label for kind, line in info.lines.items()} == {
        "best": "best", "base": "base = baseline", "benchmark": "benchmark", "second": "num_leaves=7",
    }  # fmt: skip


def test_delta_ends_at_the_headlines_interval_times_the_eras(finished: History) -> None:
    read = reading(finished)
    info = delta_info(read)
    assert info is not None
    assert [line.stage for line in info.lines] == ["scout", "confirm", "final"]
    for line in info.lines:
        headline = read.headline(line.stage)  # type: ignore[arg-type]
        assert headline is not None
        assert headline.paired is not None
        n = headline.paired.eras
        assert len(line.eras) == n == 231
        assert line.total[-1] == pytest.approx(n * headline.paired.mean)
        assert line.low[-1] == pytest.approx(n * headline.paired.low)
        assert line.high[-1] == pytest.approx(n * headline.paired.high)
        assert (line.low <= line.total).all()
        assert (line.total <= line.high).all()


def test_sweeps_order_values_by_size_and_count_failures(finished: History) -> None:
    info = sweeps_info(reading(finished))
    assert info is not None
    assert [panel.dimension for panel in info.panels] == ["num_leaves", "learning_rate", "max_depth"]
    leaves = info.panels[0]
    assert leaves.scale == "log"
    assert [point.value for point in leaves.points] == ["7", "15", "31", "63", "127"]
    assert [point.kind for point in leaves.points] == ["variant", "variant", "base", "variant", "winner"]
    winner = next(v for v in finished.records[0].variants if v.id == finished.records[0].decision.winner)
    assert winner.metrics is not None
    assert leaves.points[4].primary == winner.metrics.primary
    assert min(leaves.points[4].bar) > 0
    assert info.panels[1].failed == 1
    assert sweeps_info(Reading(finished.loaded, finished.paths, ())) is None


def test_rounds_info(finished: History) -> None:
    info = rounds_info(reading(finished))
    assert info is not None
    assert info.failed == 1
    assert info.borders == (3.5, 4.5)
    assert info.ticks[0] == (1, "num_leaves")
    assert len(info.best_so_far) == 3
    values = [value for _, value in info.best_so_far]
    assert values == sorted(values)
    assert [point.kind for point in info.points if point.x == 5] == ["winner", "baseline"]
    assert rounds_info(Reading(finished.loaded, finished.paths, ())) is None


def test_per_era_distribution_has_every_known_score_once(finished: History) -> None:
    info = per_era_info(reading(finished))
    assert info is not None
    assert [each.label for each in info.spreads] == ["best", "baseline", "benchmark"]
    stored = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    assert sorted(info.spreads[0].bmc) == sorted(v for v in stored["bmc"] if v is not None)
    assert info.spreads[-1].bmc.size == 0


def test_correlation_is_spearmans_mean_over_eras(finished: History) -> None:
    info = correlation_info(reading(finished))
    assert info is not None
    assert info.stage == "scout"
    assert info.names == ("r01-num_leaves=63", "r01-base", "r01-num_leaves=7")
    assert info.eras == 3
    assert np.allclose(np.diag(info.matrix), 1)
    one, other = (
        pq.read_table(finished.paths.predictions(name))["prediction"].to_numpy().reshape(3, ROWS)
        for name in ("r01-num_leaves=63", "r01-num_leaves=7")
    )
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)])
    assert info.matrix[0, 2] == pytest.approx(expected)
    assert info.left_out == 5


def test_correlation_is_of_the_rows_that_both_predict(tmp_path: Path) -> None:
    """A blend predicts nothing where the benchmark has no rows."""
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047, 7: 0.003})
    write_predictions(history, {"r01-base": 0.1, "r01-num_leaves=63": 0.2, "r01-num_leaves=7": 0.3})
    path = history.paths.predictions("r01-num_leaves=7")
    table = pq.read_table(path)
    holed = table["prediction"].to_numpy().copy()
    holed[:ROWS] = np.nan
    holed[2 * ROWS] = np.nan
    pq.write_table(table.set_column(table.schema.get_field_index("prediction"), "prediction", pa.array(holed)), path)
    other = pq.read_table(history.paths.predictions("r01-num_leaves=63"))["prediction"].to_numpy()
    rows = (slice(ROWS, 2 * ROWS), slice(2 * ROWS + 1, 3 * ROWS))
    info = correlation_info(reading(history))
    assert info is not None
    expected = np.mean([spearmanr(other[each], holed[each]).statistic for each in rows])
    assert info.matrix[0, 2] == pytest.approx(expected)
    assert not np.isnan(info.matrix).any()


def test_correlated_targets_can_be_told_apart(finished: History) -> None:
    """Cut names that all begin with the same word say nothing."""
    info = correlation_info(reading(finished))
    assert info is not None
    names = ("r02-target=target_teager2b_20", "r02-target=target_ender_20", "r02-target=target_ender_60")
    axes = draw_correlation(replace(info, names=names), LIGHT).axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == [
        "r02-target=teager2b_20  1", "r02-target=ender_20  2", "r02-target=ender_60  3",
    ]  # fmt: skip
    assert [each.get_text() for each in axes.get_xticklabels()] == ["1", "2", "3"], "a column has its row's number"


def test_correlation_leaves_out_what_does_not_have_the_same_rows(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047, 7: 0.003})
    assert correlation_info(reading(history)) is None
    write_predictions(history, {"r01-base": 0.1, "r01-num_leaves=63": 0.2, "r01-num_leaves=7": 0.3})
    path = history.paths.predictions("r01-num_leaves=7")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    history.paths.predictions("r01-base").write_bytes(b"damaged")
    assert correlation_info(reading(history)) is None


def test_labels_are_moved_apart_and_stay_in_order() -> None:
    placed = spread({"a": 0.99, "b": 0.985, "c": 0.2}, 0.1)
    assert placed["c"] == 0.2
    assert placed["a"] <= 1.0
    assert placed["a"] - placed["b"] == pytest.approx(0.1)
    assert spread({}, 0.1) == {}


# --- pictures ----------------------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_colour_can_be_read_on_its_background(theme: object) -> None:
    back = luminance(theme.background)  # type: ignore[attr-defined]
    for color in {*theme.kinds.values(), *theme.series, theme.text}:  # type: ignore[attr-defined]
        light, dark = sorted((luminance(color), back), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, color


@pytest.mark.pictures
def test_plots_are_pictures_with_something_in_them(finished: History) -> None:
    shutil.rmtree(finished.paths.plots)
    write_plots(reading(finished), gathered(reading(finished)))
    shown = [plot for plot in PLOTS if plot.name != "since"]  # nothing was rechecked here
    assert set(drawn_plots(finished.paths)) == {plot.name for plot in shown}, "each has something to show here"
    backgrounds: dict[str, list[float]] = {"light": [], "dark": []}
    for plot in shown:
        for theme in THEMES:
            image = imread(finished.paths.plot(f"{plot.name}-{theme.name}"))
            assert min(image.shape[:2]) >= 450
            background = image[0, 0, :3]
            inked = (np.abs(image[..., :3] - background).max(axis=2) > 0.2).mean()
            assert 0.005 < inked < 0.9, plot.name
            backgrounds[theme.name].append(float(background.mean()))
    assert min(backgrounds["light"]) > 0.9
    assert max(backgrounds["dark"]) < 0.2


def test_a_plot_is_drawn_again_only_when_its_data_changed(tmp_path: Path, finished: History) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.001))
    history.scout("num_leaves", {63: 0.0047})
    write_plots(reading(history), gathered(reading(history)))
    times = {path.name: path.stat().st_mtime_ns for path in history.paths.plots.iterdir()}
    write_plots(reading(history), gathered(reading(history)))
    again = {path.name: path.stat().st_mtime_ns for path in history.paths.plots.iterdir()}
    assert {name for name in times if times[name] != again[name]} <= {"plots.json"}
    history.paths.plot("rounds-dark").unlink()
    history.paths.plot_index.write_text("[")
    drawn = write_plots(reading(history), gathered(reading(history)))
    assert set(drawn) == {"cumulative", "delta", "rounds", "sweeps", "tradeoff", "per-era", "groups"}
    assert history.paths.plot("rounds-dark").exists()


def test_a_report_that_is_newer_than_its_pictures_says_so(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    write_report(history.loaded, history.paths, history.records)
    history.scout("max_depth", {8: 0.0049})
    text = write_report_text(history.loaded, history.paths, history.records).read_text()
    assert "Drawn after round 1." in text
    assert "### Round 2: max_depth" in text


def test_the_writer_writes_text_beside_draws_when_there_is_time_and_survives_a_tracker(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo")
    history.scout("num_leaves", {63: 0.0047})
    told: list[int] = []

    def broken(records: object) -> None:
        raise OSError("no such server")

    with ReportWriter(history.loaded, history.paths, (lambda records: told.append(len(records)), broken)) as writer:
        writer(history.records)
    assert "### Round 1" in history.paths.report.read_text()
    assert told == [1]
    assert writer.problems == ["function: OSError: no such server"]
    # The round took 83 s, and drawing as much as a twentieth of that, so it waits for more.
    assert not history.paths.plots.exists()
    history.confirm(0.004)
    history.final(0.0042)
    with ReportWriter(history.loaded, history.paths) as writer:
        writer(history.records)
    assert history.paths.html.exists()
    assert all(each.rounds == 3 for each in drawn_plots(history.paths).values())
    assert not math.isnan(history.records[-1].wall_s)


def test_a_long_name_takes_two_lines_and_breaks_between_its_parts() -> None:
    assert two_lines("r03-target=ender_60", 26) == "r03-target=ender_60"
    assert two_lines("r07-neutralize=to-benchmark-proportion-0.5", 26) == "r07-neutralize=to-\nbenchmark-proportion-0.5"
    assert two_lines("a" * 60, 10) == f"{'a' * 10}\n{'a' * 9}…"
