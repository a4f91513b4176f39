"""Every picture of an experiment takes the same: axes, variants, an era to begin at, a dark page; and heeds them."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
from builders import History, finished_experiment
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_text import write_predictions

from numerai_ray import Experiment, RequestError
from numerai_ray.metrics.significance import verdict
from numerai_ray.report.excerpt import excerpt
from numerai_ray.report.plots.delta import variants_delta_info
from numerai_ray.report.plots.drawing import DARK
from numerai_ray.report.plots.per_era import per_era_info
from numerai_ray.report.plots.rounds import rounds_info
from numerai_ray.report.plots.sweeps import sweeps_info
from numerai_ray.report.plots.tradeoff import tradeoff_info
from numerai_ray.report.reading import Reading

PLOTS = ("cumulative", "delta", "sweep", "rounds", "per_era", "correlation", "tradeoff")
TWO = ["num_leaves=63", "r01-num_leaves=7"]
IDS = ("r01-num_leaves=63", "r01-num_leaves=7")
LATE = 801


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = finished_experiment(tmp_path_factory.mktemp("ws") / "demo")
    write_predictions(history, {"r01-base": 0.1, "r01-num_leaves=63": 0.2, "r01-num_leaves=7": 2.0})
    # As `add_predictions` leaves them.
    own = json.loads(history.paths.results("r01-num_leaves=63").read_text())
    history.paths.results("foreign-mine").write_text(json.dumps({**own, "foreign": {"flags": []}}))
    shutil.copy(history.paths.predictions("r01-num_leaves=63"), history.paths.predictions("foreign-mine"))
    return history


@pytest.fixture(scope="module")
def plot(finished: History) -> Any:
    return Experiment.load(finished.paths.root).plot


def reading(history: History) -> Reading:
    return Reading(history.loaded, history.paths, tuple(history.records))


def known(history: History, variant: str, series: str = "bmc") -> dict[int, float]:
    stored = json.loads(history.paths.results(variant).read_text())["per_era"]
    both = zip(stored["era"], stored[series], strict=True)
    return {int(era): value for era, value in both if value is not None and int(era) >= LATE}


@pytest.mark.parametrize("name", PLOTS)
def test_all_of_them_take_all_of_it(plot: Any, name: str) -> None:
    start = 161 if name == "correlation" else LATE  # what is written of predictions here has few eras
    plain = getattr(plot, name)(variants=TWO, start_era=start, dark=True)
    assert to_hex(plain.get_facecolor()) == to_hex(DARK.background)
    assert plain._repr_png_().startswith(b"\x89PNG")
    count = len([each for each in plain.axes if each.get_label() != "<colorbar>"])
    figure = Figure()
    axes = figure.subplots(count, squeeze=False)[:, 0]
    assert getattr(plot, name)(ax=axes if count > 1 else axes[0], variants=TWO, start_era=f"{start:04d}") is figure
    if name in ("cumulative", "delta"):
        assert all(min(line.get_xdata()) >= LATE for each in axes for line in each.get_lines()[:1])
    else:
        assert all(f"eras from {start:04d} on" in each.get_xlabel() for each in axes)
    with pytest.raises(RequestError, match=f"plot.{name}: no setting 'varients'; did you mean 'variants'"):
        getattr(plot, name)(varients=TWO)
    with pytest.raises(RequestError, match="start_era: must be an era, as 575"):
        getattr(plot, name)(start_era="first")
    with pytest.raises(RequestError, match="no variant 'num_leaves=64'; did you mean"):
        getattr(plot, name)(variants="num_leaves=64")
    with pytest.raises(RequestError, match="variants: names none"):
        getattr(plot, name)(variants=[])
    with pytest.raises(RequestError, match="no era from 9000 on was scored"):
        getattr(plot, name)(start_era=9000)


def test_scores_begin_at_the_era_and_decisions_stay(finished: History) -> None:
    late = excerpt(reading(finished), start_era=LATE)
    mean = np.mean([*known(finished, "r01-num_leaves=63").values()])
    info = rounds_info(late)
    assert info is not None
    points = {point.id: point for point in info.points if point.kind != "base"}
    assert points["r01-num_leaves=63"].primary == pytest.approx(mean)
    winner = finished.records[0].decision.winner
    assert winner is not None
    assert points[winner].kind == "winner"
    sweeps = sweeps_info(late)
    assert sweeps is not None
    assert mean in [pytest.approx(each.primary) for each in sweeps.panels[0].points]
    whole = sweeps_info(reading(finished))
    assert whole is not None
    wider = [sum(each.bar) for each in sweeps.panels[0].points if each.kind != "base"]
    assert np.mean(wider) > 1.2 * np.mean([sum(each.bar) for each in whole.panels[0].points if each.kind != "base"])
    trade = tradeoff_info(late)
    assert trade is not None
    own = next(each for each in trade.points if each.label == "r01-num_leaves=63")
    assert own.contribution == pytest.approx(mean)
    assert own.corr == pytest.approx(np.mean([*known(finished, "r01-num_leaves=63", "corr").values()]))
    spread = per_era_info(late)
    assert spread is not None
    assert [len(each.corr) for each in spread.spreads] == [len(known(finished, "r05-winner", "corr"))] * 3
    # Without an era and names it is the reading itself.
    assert excerpt(reading(finished)).history == reading(finished).history


def test_single_variants_are_held_against_their_rounds_base(finished: History) -> None:
    info = variants_delta_info(excerpt(reading(finished), IDS, LATE), IDS)
    assert info is not None
    assert [line.stage for line in info.lines] == ["round 1 (scout)"] * 2
    ours, base = known(finished, IDS[0]), known(finished, "r01-base")
    assert info.lines[0].eras == tuple(ours)
    assert info.lines[0].total[-1] == pytest.approx(sum(ours[era] - base[era] for era in ours))
    assert (info.lines[0].low < info.lines[0].total).all()
    with pytest.raises(RequestError, match="r01-base is what the others are held against"):
        variants_delta_info(excerpt(reading(finished), ["r01-base"]), ["r01-base"])


def test_a_variant_is_judged_as_in_its_round(finished: History) -> None:
    info = variants_delta_info(excerpt(reading(finished), IDS), IDS)
    rows = {row.id: row for row in reading(finished).rows(finished.records[0])}
    assert info is not None
    for name, line in zip(IDS, info.lines, strict=True):
        evidence = rows[name].evidence
        assert evidence is not None
        assert line.title.endswith(f": {verdict(evidence.to_base)}")
        assert line.total[-1] == pytest.approx(evidence.to_base.mean * evidence.to_base.eras)
        assert line.high[-1] == pytest.approx(evidence.to_base.high * evidence.to_base.eras)


def test_variants_of_one_stage_are_drawn_of_that_stage(plot: Any, finished: History) -> None:
    own = excerpt(reading(finished), IDS).in_one_stage()
    info = per_era_info(own)
    assert info is not None
    assert info.stage == "scout"
    assert {each.label for each in info.spreads if each.kind == "second"} == {"num_leaves=63", "num_leaves=7"}
    mixed = ["r01-num_leaves=7", "r05-winner"]
    for name in ("per_era", "correlation", "tradeoff"):
        with pytest.raises(RequestError, match="r01-num_leaves=7 ran in scout, r05-winner ran in final; ask for those"):
            getattr(plot, name)(variants=mixed)
    assert len(plot.cumulative(variants=mixed).axes) == 2


def test_predictions_of_others_stand_where_they_can(plot: Any, finished: History) -> None:
    info = tradeoff_info(excerpt(reading(finished), ["foreign-mine", "r01-num_leaves=7"]).in_one_stage())
    assert info is not None
    assert {"foreign-mine", "r01-num_leaves=7", "r01-base"} <= {each.label for each in info.points}
    delta = plot.delta(variants=["foreign-mine"])
    assert "foreign-mine minus winner" in delta.axes[0].get_title(loc="left")
    names = plot.correlation(variants=["foreign-mine", "num_leaves=63"]).axes[0].get_yticklabels()
    assert any("foreign-mine" in each.get_text() for each in names)
    for name in ("rounds", "sweep"):
        with pytest.raises(RequestError, match=f"{name}: foreign-mine ran in no round"):
            getattr(plot, name)(variants=["foreign-mine"])
