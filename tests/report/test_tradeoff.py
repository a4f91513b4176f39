"""The trade-off picture: which variants lie on the front of CORR and BMC (or MMC), and what is left out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import History, finished_experiment
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray import Experiment, RequestError
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.metrics.scoring import Summary
from numerai_ray.report.plots.drawing import THEMES, draw_figure
from numerai_ray.report.plots.tradeoff import draw_tradeoff, front_of, tradeoff_caption, tradeoff_info
from numerai_ray.report.reading import Reading
from numerai_ray.report.writer import write_report


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("ws") / "demo")


def scored(record: VariantRecord, corr: float, bmc: float, mmc: float | None = None) -> VariantRecord:
    """A variant with other means."""
    assert record.metrics is not None
    own = record.metrics
    contribution = None if mmc is None else Summary(mmc, 0.01, mmc / 0.01, 0.1, 40)
    metrics = replace(own, corr=replace(own.corr, mean=corr), bmc=replace(own.bmc, mean=bmc), mmc=contribution)
    return replace(record, metrics=metrics, flags=())


def reading_of(history: History, *variants: VariantRecord) -> Reading:
    first: RoundRecord = history.records[0]
    return Reading(history.loaded, history.paths, (replace(first, variants=variants),))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    found = front_of([(float(across), float(up)) for across, up in points])

    def beaten(own: tuple[int, int]) -> bool:
        return any(other != own and other[0] >= own[0] and other[1] >= own[1] for other in points)

    assert {points[place] for place in found} == {own for own in points if not beaten(own)}
    assert len({points[place] for place in found}) == len(found)


def test_points_are_the_ledgers_means_and_the_front_is_marked(finished: History) -> None:
    base, *others = [each for each in finished.records[0].variants if each.role in ("base", "variant")][:4]
    made = [scored(base, 0.020, 0.003)] + [
        scored(each, corr, bmc)
        for each, (corr, bmc) in zip(others, [(0.025, 0.001), (0.010, 0.006), (0.015, 0.002)], strict=False)
    ]
    info = tradeoff_info(reading_of(finished, *made))
    assert info is not None
    assert [(each.label, each.corr, each.contribution) for each in info.points] == sorted(
        ((each.id, each.metrics.corr.mean, each.metrics.bmc.mean) for each in made if each.metrics),
        key=lambda each: -each[1],
    )
    assert {each.label for each in info.points if each.front} == {made[0].id, made[1].id, made[2].id}
    assert {each.kind for each in info.points} >= {"variant", "baseline"} or "base" in {e.kind for e in info.points}
    assert "without" not in tradeoff_caption(info)


def test_a_leak_is_left_out_and_told(finished: History) -> None:
    base, one, two = [each for each in finished.records[0].variants if each.role in ("base", "variant")][:3]
    leak = replace(scored(two, 0.9, 0.5), flags=("suspect: corr_mean 0.9000 is above 0.04, look for leakage",))
    info = tradeoff_info(reading_of(finished, scored(base, 0.02, 0.003), scored(one, 0.021, 0.002), leak))
    assert info is not None
    assert two.id not in {each.label for each in info.points}
    assert "1 suspected of a leak is not shown" in tradeoff_caption(info)
    every = [replace(each, flags=leak.flags) for each in (scored(base, 0.2, 0.03), scored(one, 0.21, 0.02))]
    assert tradeoff_info(reading_of(finished, *every)) is not None


def test_mmc_is_drawn_where_it_is_known(finished: History) -> None:
    base, one, two = [each for each in finished.records[0].variants if each.role in ("base", "variant")][:3]
    made = [scored(base, 0.02, 0.003, 0.001), scored(one, 0.021, 0.002, 0.004), scored(two, 0.03, 0.001)]
    info = tradeoff_info(reading_of(finished, *made), "mmc")
    assert info is not None
    assert (info.metric, info.eras, info.unknown) == ("mmc", 40, 1)
    assert [each.contribution for each in info.points] == [0.004, 0.001]
    assert [each.front for each in info.points] == [True, False]
    assert "MMC over 40 of them" in tradeoff_caption(info)
    assert "1 without MMC is not shown" in tradeoff_caption(info)
    assert tradeoff_info(reading_of(finished, *(scored(each, 0.02, 0.001) for each in (base, one))), "mmc") is None


def test_a_notebook_draws_what_the_report_shows(finished: History, tmp_path: Path) -> None:
    write_report(finished.loaded, finished.paths, finished.records)
    text = finished.paths.report.read_text()
    assert "CORR against the contribution, and their front" in text
    experiment = Experiment.load(finished.paths.root)
    info = tradeoff_info(Reading(finished.loaded, finished.paths, tuple(finished.records)))
    assert info is not None
    for dark in (False, True):
        figure = experiment.plot.tradeoff(dark=dark)
        (axes,) = figure.axes
        drawn = {tuple(np.round(each, 9)) for group in axes.collections for each in group.get_offsets()}
        assert drawn == {(round(each.corr, 9), round(each.contribution * 1e4, 9)) for each in info.points}
        figure.savefig(tmp_path / f"{dark}.png")
        assert (tmp_path / f"{dark}.png").stat().st_size > 10_000
    own = draw_figure(lambda theme: draw_tradeoff(info, theme), THEMES[0])
    assert experiment.plot.tradeoff(ax=own.axes[0]) is own
    chosen = [each.label for each in info.points if each.kind == "variant"][:1]
    few = experiment.plot.tradeoff(variants=chosen)
    assert sum(len(group.get_offsets()) for group in few.axes[0].collections) < len(info.points)
    with pytest.raises(RequestError, match="metric must be 'bmc' or 'mmc', but is 'corr'"):
        experiment.plot.tradeoff("corr")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="nothing of this kind was scored"):
        experiment.plot.tradeoff("mmc")
    assert math.isfinite(info.points[0].corr)
