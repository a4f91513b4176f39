"""Experiments in code: the file that the command line writes, the ledger that it leaves, the errors that it gives."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import yaml
from desk import PLAN, Desk

from numerai_ray import ConfigError, Dimension, Experiment, Model, RequestError
from numerai_ray.cli.main import run
from numerai_ray.config import yaml_files
from numerai_ray.config.plan import LoadedPlan


def dimensions() -> dict[str, Dimension]:
    # In the order in which the desk writes its plan.
    return {name: Dimension(**each) for name, each in sorted(PLAN["search_space"]["dimensions"].items())}


def create(folder: Path, **changes: Any) -> Experiment:
    sentences = {name: PLAN[name] for name in ("idea", "novelty")}
    settings = {name: PLAN[name] for name in ("baseline", "rounds", "stages", "base")}
    return Experiment.create(folder, **{**sentences, **settings, "dimensions": dimensions(), **changes})


@pytest.fixture
def desk(tmp_path: Path, market: Path) -> Desk:
    made = Desk(tmp_path, market)
    (made.folder / "experiment.yaml").unlink()
    return made


def test_the_written_plan_is_the_one_that_was_given_and_typed_again(desk: Desk) -> None:
    experiment = create(desk.folder)
    assert yaml.safe_load((desk.folder / "experiment.yaml").read_text()) == PLAN
    assert isinstance(experiment.loaded, LoadedPlan)
    assert experiment.plan.search_space.dimensions["num_leaves"].values == [3, 15]  # type: ignore[union-attr]
    assert experiment.plan.rounds.variants == 2
    again = create(desk.folder)
    assert again.paths == experiment.paths
    with pytest.raises(RequestError, match=r"says something else \(rounds.variants: 2 there, 3 here\)"):
        create(desk.folder, rounds={**PLAN["rounds"], "variants": 3})


def test_a_list_of_dimensions_is_named_by_the_ends_of_their_paths(desk: Desk) -> None:
    experiment = create(
        desk.folder,
        dimensions=[
            Dimension("model.params.num_leaves", np.array([3, 15])),
            Dimension("data.target", ["target_ender_60"]),
        ],
    )
    assert list(experiment.loaded.space.dimensions) == ["num_leaves", "target"]
    with pytest.raises(RequestError, match="two are named 'num_leaves'"):
        create(desk.folder, dimensions=[Dimension("model.params.num_leaves", [3])] * 2)


def test_a_wrong_plan_is_refused_whole_and_leaves_nothing(desk: Desk) -> None:
    folder = desk.folder.parent / "wrong"
    with pytest.raises(ConfigError) as caught:
        create(folder, rounds={"variants": 0, "margins": 1}, idea="short")
    assert {problem.path for problem in caught.value.problems} >= {"$.rounds.variants", "$.rounds.margins", "$.idea"}
    assert not folder.exists()
    with pytest.raises(ConfigError, match="did you mean 'num_leaves'"):
        create(folder, dimensions=[Dimension("model.params.num_leafs", [3])]).run(data=desk.data, in_process=True)


@pytest.mark.slow
def test_python_leaves_what_the_command_line_leaves(desk: Desk, tmp_path: Path, market: Path) -> None:
    events: list[Any] = []
    experiment = create(desk.folder)
    forecast = experiment.forecast(calibrate=False, data=desk.data)
    assert forecast.rounds()["fits_new"].sum() > 0
    assert "fits to train" in repr(forecast)
    assert "<table" in forecast._repr_html_()
    assert experiment.status()["state"] == "not started"
    experiment.run(data=desk.data, in_process=True, accept_suspect=True, on_event=events.append, quiet=True)
    assert experiment.finished
    assert experiment.status()["state"] == "finished"
    assert {each["event"] for each in events} == {"round_started", "progress", "round_decided"}
    experiment.report()
    other = Desk(tmp_path / "other", market)
    assert other.run() == 0
    assert run(["report", str(other.folder)]) == 0
    ours, theirs = desk.untimed(), other.untimed()
    assert ours.keys() == theirs.keys()
    different = [key for key in ours if ours[key] != theirs[key]]
    assert different == []
    page = experiment._repr_html_()
    assert "best so far" in page
    assert "<table" in page


@pytest.mark.slow
def test_rounds_go_on_in_steps_and_by_hand(desk: Desk) -> None:
    settings: Any = {"data": desk.data, "in_process": True, "accept_suspect": True, "quiet": True}
    experiment = create(desk.folder).run(rounds=1, **settings)
    assert len(experiment.rounds) == 1
    experiment.round({"model.params.num_leaves": [5]}, **settings)
    assert experiment.rounds[-1].kind == "manual"
    with pytest.raises(RequestError, match="varies one variable, but 2 are given"):
        experiment.round({"a": [1], "b": [2]})
    with pytest.raises(RequestError, match="--stop-after: 'score' is no stage"):
        experiment.run(stop_after="score", **settings)
    with pytest.raises(RequestError, match="rounds must be 1 or more"):
        experiment.run(0)
    assert experiment.resume().finished


def test_it_runs_inside_a_running_event_loop_and_outside_of_the_main_thread(desk: Desk) -> None:
    experiment = create(desk.folder)
    settings: Any = {"data": desk.data, "in_process": True, "accept_suspect": True, "quiet": True}

    async def cell() -> int:
        ticks = asyncio.create_task(asyncio.sleep(0))
        await ticks
        return len(experiment.run(rounds=1, **settings).rounds)

    assert asyncio.run(cell()) == 1
    thread = threading.Thread(target=lambda: experiment.run(rounds=1, **settings))
    thread.start()
    thread.join()
    assert len(experiment.rounds) == 2


def test_an_interrupt_stops_a_run_and_the_next_call_goes_on(desk: Desk) -> None:
    experiment = create(desk.folder)
    settings: Any = {"data": desk.data, "in_process": True, "accept_suspect": True, "quiet": True}

    def interrupt(event: Any) -> None:
        if event["event"] == "progress":
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(on_event=interrupt, **settings)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(experiment.rounds) == 0
    assert len(experiment.run(rounds=1, **settings).rounds) == 1


@pytest.mark.slow
def test_begun_in_python_killed_continued_by_the_command_line_and_finished_in_python(
    desk: Desk, tmp_path: Path, market: Path
) -> None:
    create(desk.folder)
    script = tmp_path / "begin.py"
    script.write_text(
        textwrap.dedent(f"""
        from numerai_ray import Experiment
        experiment = Experiment.load({str(desk.folder)!r})
        experiment.run(data={str(desk.data)!r}, in_process=True, accept_suspect=True)
        """)
    )
    begun = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not desk.rounds() and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    begun.kill()
    assert begun.wait() == -9, "it was over before it was killed"
    assert 0 < len(desk.rounds()) < 4
    before = len(desk.rounds())
    assert desk.run("--rounds", "1") == 0
    assert len(desk.rounds()) == before + 1
    experiment = Experiment.load(desk.folder)
    assert not experiment.finished
    experiment.run(data=desk.data, in_process=True, accept_suspect=True, quiet=True)
    experiment.report()
    assert experiment.finished
    undisturbed = Desk(tmp_path / "undisturbed", market)
    assert undisturbed.run() == 0
    assert run(["report", str(undisturbed.folder)]) == 0
    ours, theirs = desk.untimed(), undisturbed.untimed()
    # What a kill left half written has a name of its own; it is removed when it is old enough to be nobody's.
    known = {key for key in ours.keys() | theirs.keys() if not key.endswith(".partial")}
    assert [key for key in sorted(known) if ours.get(key) != theirs.get(key)] == []


@pytest.mark.slow
def test_pictures_are_the_reports_own_and_take_axes(desk: Desk) -> None:
    settings: Any = {"data": desk.data, "in_process": True, "accept_suspect": True, "quiet": True}
    experiment = create(desk.folder)
    with pytest.raises(RequestError, match="no round is decided yet, so there is nothing to draw"):
        experiment.plot.rounds()
    experiment.run(rounds=2, **settings)
    panels = {"cumulative": 2, "delta": 1, "sweep": 2, "rounds": 1, "per_era": 2, "correlation": 2, "tradeoff": 1}
    for name, count in panels.items():
        figure = getattr(experiment.plot, name)()
        assert len(figure.axes) == count, name
        assert figure._repr_png_().startswith(b"\x89PNG")
    figure = matplotlib.figure.Figure()
    axes = figure.subplots(2, 1)
    assert experiment.plot.cumulative(ax=axes, dark=True) is figure
    single = matplotlib.figure.Figure().subplots()
    assert experiment.plot.rounds(ax=single) is single.figure
    assert experiment.plot.sweep("num_leaves", ax=single) is single.figure
    with pytest.raises(RequestError, match="ax: must be 2 axes"):
        experiment.plot.per_era(ax=single)
    with pytest.raises(RequestError, match="no round varied 'max_depth'; varied were"):
        experiment.plot.sweep("max_depth")
    variants = [each for each in experiment.table().index if each.startswith("r01-")][:2]
    figure = experiment.plot.cumulative(variants=variants, start_era=60)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == set(variants)


def test_an_own_model_travels_with_the_plan(desk: Desk) -> None:
    class Mean:
        def __init__(self, shift: float = 0.0) -> None:
            self.shift = shift

        def fit(self, frame: Any, labels: Any) -> "Mean":
            self.weights = np.asarray([np.cov(frame.iloc[:, k], labels)[0, 1] for k in range(frame.shape[1])])
            return self

        def predict(self, frame: Any) -> Any:
            return frame.to_numpy() @ self.weights + self.shift

    model = Model(Mean, shift=0.5)
    experiment = create(
        desk.folder, base={"model": model}, dimensions=[Dimension("model.params.shift", [0.25, 0.75])], stages={}
    )
    written = yaml_files.parse_yaml((desk.folder / "experiment.yaml").read_text(), "plan")
    assert written["base"]["model"] == {"type": "models/Mean.py:Mean", "params": {"shift": 0.5}}
    assert "np.cov" in (desk.folder / "models" / "Mean.py").read_text()
    experiment.run(rounds=1, data=desk.data, in_process=True, accept_suspect=True, quiet=True)
    assert experiment.table()["status"].str.contains("failed").sum() == 0
