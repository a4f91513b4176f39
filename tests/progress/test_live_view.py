"""What `run` shows: time left, the best with its interval, running fits; on a terminal, in a pipe, as JSON."""

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import History, finished_experiment
from jsonschema import Draft202012Validator
from rich.console import Console

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.metrics.significance import Comparison
from numerai_ray.progress.live_view import JsonView, LiveView, PlainView, ProgressFile, Watchers, running_table
from numerai_ray.progress.round_state import Best, Budget, Observer, RoundState, Snapshot, progress_json, usage_text
from numerai_ray.rounds.start import FitWork, RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.runners.ray.monitoring import RunningFit
from numerai_ray.system.machine import Usage


def work(trial: str, costs: Sequence[float]) -> dict[str, FitWork]:
    """Fits of a trial by key, a fold each."""
    return {
        f"{trial}{fold}": FitWork(f"demo/r3/{trial}/fold{fold}", f"{trial}{fold}", cost)
        for fold, cost in enumerate(costs, start=1)
    }


def begun(trials: Mapping[str, Sequence[float]]) -> RoundStart:
    """A round of trials with folds of these costs."""
    folds = {f"r03-{each}": len(costs) for each, costs in trials.items()}
    fits = {f"r03-{each}": work(each, costs) for each, costs in trials.items()}
    return RoundStart(3, "scout", "num_leaves", {f"r03-{each}": each for each in trials}, folds, (), fits)


def told(trial: str, folds: Sequence[int], of: int = 4, *, stored: Sequence[int] = (), **over: str) -> Progress:
    """These folds of a trial are done."""
    fits = {f"{trial}{fold}": fold in stored for fold in folds}
    return Progress(f"r03-{trial}", len(folds), of, 0.001, stored=len(stored), fits=fits, **over)


START = begun({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
FIT = RunningFit("demo/r3/a/fold2", 120, 400, 1000.0, 1010.0, "host", 1)
LOOK = Snapshot((FIT,), Usage(2, 1.9, 24 * 10**9, 3 * 10**9))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("ws") / "demo")


def judged(history: History) -> RoundRecord:
    """The first round with its evidence, as the scheduler records it."""
    record = history.records[0]
    rest = with_evidence(record.variants[0], record.variants[1:-1], ScoreReader(history.paths), Comparison(200, 4))
    return RoundRecord(**{**vars(record), "variants": (record.variants[0], *rest, record.variants[-1])})


def text_of(view: Any) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_networks_epochs_are_no_trees() -> None:
    network = RunningFit("demo/r3/b/fold1", 3, 20, 1000.0, 1002.0, "host", 2, "epochs")
    look = Snapshot((FIT, network))
    assert look.trees_per_second == pytest.approx(12)
    shown = text_of(running_table(progress_json(RoundState(START), look)))
    assert "fitting r3/b/fold1 3/20 epochs, 1.5/s" in shown
    assert "2 fits running, 12 trees/s" in shown
    alone = text_of(running_table(progress_json(RoundState(START), Snapshot((network,)))))
    assert "1 fit running\n" in alone.replace(" \n", "\n"), alone


def test_time_left_comes_from_the_work_done_and_not_from_the_number_of_folds() -> None:
    state = RoundState(START)
    assert state.seconds_left() is None
    state.began -= 10
    state.tell(told("a", [4]))
    assert state.seconds_left() == pytest.approx(10 * 16 / 4, abs=0.5)
    state.tell(told("a", [4, 3]))
    assert state.seconds_left() == pytest.approx(10 * 13 / 7, abs=0.5)
    running = Snapshot((RunningFit("demo/r3/b/fold4", 200, 400, 1000.0, 1010.0, "host", 1),))
    assert state.seconds_left(running) == pytest.approx(10 * 11 / 9, abs=0.5)
    state.tell(told("a", [4, 3, 2], stored=[2]))
    assert state.seconds_left() == pytest.approx(10 * 11 / 7, abs=0.5), "what was stored took no time"


@pytest.mark.parametrize("over", ["error", "pruned"])
def test_a_trial_that_is_over_counts_as_over_everywhere(over: str) -> None:
    state = RoundState(START)
    state.began -= 10
    state.tell(told("a", [4]))
    state.tell(told("b", [4]))
    state.tell(told("b", [], **{over: "hopeless"}))
    assert state.seconds_left() == pytest.approx(10 * 6 / 8, abs=0.5)
    name = {"error": "failed", "pruned": "pruned"}[over]
    assert state.trials() == {"running": 1, "done": 0, "failed": 0, "pruned": 0} | {name: 1}
    assert state.fits(running=1) == {"waiting": 2, "running": 1, "trained": 2, "stored": 0}
    state.tell(told("a", [1, 2, 3, 4]))
    assert state.trials() == {"running": 0, "done": 1, "failed": 0, "pruned": 0} | {name: 1}
    assert state.seconds_left() == 0
    assert state.fits() == {"waiting": 0, "running": 0, "trained": 5, "stored": 0}


def test_fits_are_counted_once_each_whoever_asks_for_them() -> None:
    """Two trials share all fits; a fold has several, as with seeds; lengths of a ladder are one training."""
    each = [(fold, seed) for fold in (1, 2) for seed in (3, 4)]
    seeds = {f"k{fold}-{seed}": FitWork(f"demo/r3/a/fold{fold}", f"f{fold}-{seed}", 5.0) for fold, seed in each}
    ladder = {f"long{fold}": FitWork(f"demo/r3/c/fold{fold}", f"f{fold}-3", 9.0) for fold in (1, 2)}
    fits = {"r03-a": seeds, "r03-b": seeds, "r03-c": ladder}
    state = RoundState(RoundStart(3, "scout", None, {each: each for each in fits}, dict.fromkeys(fits, 2), (), fits))
    assert state.fits()["waiting"] == 6
    state.began -= 10
    first = {key: False for key in seeds if key.startswith("k1")}
    for trial in ("r03-a", "r03-b"):
        state.tell(Progress(trial, 1, 2, 0.001, fits=first))
    assert state.fits() == {"waiting": 4, "running": 0, "trained": 2, "stored": 0}
    assert state.seconds_left() == pytest.approx(10 * (9 + 9 + 5) / 10, abs=0.5)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_time_left_is_near_what_is_left_once_a_quarter_is_over(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round as runners run it: so many fits at once, the costliest first, after 12 s in which Ray starts."""
    start = begun({name: [10.0, 20.0, 30.0, 40.0] for name in "abcde"})
    clock = {"now": 1000.0}
    monkeypatch.setattr("numerai_ray.progress.round_state.time.monotonic", lambda: clock["now"])
    state = RoundState(start)
    waiting = sorted((each for fits in start.fits.values() for each in fits.items()), key=lambda each: -each[1].cost)
    free, running, done = [1012.0] * slots, [], {}
    for key, each in waiting:
        free.sort()
        running.append((free[0], free[0] + each.cost, key, each))
        free[0] += each.cost
    over, checked = max(free), 0
    while clock["now"] < over - 1:
        clock["now"] += 2
        for _, _, key, _ in [each for each in running if each[1] <= clock["now"] and each[2] not in done]:
            done[key] = False
            trial = key[0]
            mine = [int(each[1]) for each in done if each[0] == trial]
            state.tell(told(trial, mine))
        fits = tuple(
            RunningFit(each.task, int(1000 * (clock["now"] - began) / (end - began)), 1000, 0.0, 1.0, "host", 1)
            for began, end, _, each in running
            if began < clock["now"] < end
        )
        left = progress_json(state, Snapshot(fits))["seconds_left"]
        if clock["now"] > 1012 + (over - 1012) / 4:
            assert left == pytest.approx(over - clock["now"], rel=0.3, abs=12)
            checked += 1
    assert checked > 20


def test_the_budgets_time_left_is_that_of_rounds_like_those_so_far(finished: History) -> None:
    budget = Budget(12)
    assert budget.seconds_left() is None
    for record in finished.records:
        budget.decided(record)
    assert budget.seconds_left() == pytest.approx(8 * 83.25)  # three scout rounds ran, one runs


def test_the_best_so_far_has_its_interval(finished: History) -> None:
    best = Best()
    assert best.text() == "none yet"
    assert best.value() is None
    best.decided(judged(finished))
    assert Best([judged(finished)]).text() == best.text(), "as known from the start when a run goes on"
    assert best.text().startswith(f"{finished.records[0].decision.winner} 0.00")
    assert "90 % interval" in best.text()
    value = best.value()
    assert value is not None
    low, high = value["interval_to_base"]
    assert low < high


def test_the_screen_shows_variants_fits_machine_best_and_time(finished: History) -> None:
    console = Console(file=io.StringIO(), width=110)
    view = LiveView(console, Budget(12), lambda: LOOK)
    assert "…" in text_of(view._render())
    view.round_started(START)
    view.trial_progress(replace(told("a", [3, 4]), primary=0.0042))
    shown = text_of(view._render())
    assert "round 3, scout: varying num_leaves" in shown
    assert "2/4" in shown
    assert "0.00420" in shown
    assert "fitting r3/a/fold2 120/400 trees, 12/s" in shown
    assert "1 fit running, 12 trees/s; 1.9 of 2 cores, 3.0 GB of 24.0 GB" in shown
    assert "best so far: none yet" in shown
    assert "of this round" in shown
    resumed = LiveView(console, Budget(12, finished.records), history=[judged(finished)])
    resumed.round_started(START)
    assert f"best so far: {finished.records[0].decision.winner}" in text_of(resumed._render()), "when a run goes on"
    view.round_decided(finished.records[0])
    view.dashboard("http://127.0.0.1:8265")
    assert "Ray dashboard: http://127.0.0.1:8265" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "round 1 (scout, num_leaves)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_lines(finished: History) -> None:
    console = Console(file=io.StringIO(), width=40)
    with PlainView(console) as view:
        view.round_started(START)
        view.trial_progress(Progress("r03-a", 3, 4, 0.004))
        view.trial_progress(Progress("r03-a", 4, 4, 0.0042))
        view.trial_progress(Progress("r03-b", 0, 4, float("nan"), "refused [x]"))
        view.round_decided(finished.records[0])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[:3] == [
        "round 3, scout: varying num_leaves: 2 trials, 8 folds",
        "  a: 4 folds, bmc_last_200_eras 0.00420",
        "  b failed: refused [x]",
    ]


def test_json_events_are_lines_without_nan(finished: History, capsys: pytest.CaptureFixture[str]) -> None:
    with JsonView() as view:
        view.round_started(START)
        view._last -= 60
        view.observed(LOOK)
        view.observed(LOOK)
        view.trial_progress(Progress("r03-b", 0, 4, float("nan"), "refused"))
        view.dashboard("http://127.0.0.1:8265")
        view.round_decided(judged(finished))
        view._last -= 60
        view.observed(LOOK)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        Draft202012Validator(schema_of("run")).validate(event)
    assert [each["event"] for each in events] == [
        "round_started", "running", "progress", "dashboard", "round_decided",
    ]  # fmt: skip
    assert events[1]["fits"][0] == {
        "name": "demo/r3/a/fold2", "trees": 120, "trees_in_all": 400, "trees_per_second": 12.0, "unit": "trees",
        "node": "host",
    }  # fmt: skip
    assert events[2]["primary"] is None


def test_status_shows_what_the_driver_wrote(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "progress.json")
    file.round_started(START)
    file._last = 0
    assert file._state is not None
    file._state.began -= 60
    look = replace(LOOK, fits=(replace(FIT, done=240),))
    file.observed(look)
    running = json.loads(file.path.read_text())["running"]
    shown = text_of(running_table(running))
    assert "fitting r3/a/fold2" in shown
    # A fit of cost 2 of 20 has 240 of its 400 trees after the ten seconds that it took.
    assert running["seconds_left"] == pytest.approx(10 * 18.8 / 1.2, rel=0.1)
    assert running == json.loads(json.dumps(progress_json(file._state, look), default=str)) | {
        "trials": running["trials"], "seconds_left": running["seconds_left"], "ray_dashboard": None,
    }  # fmt: skip
    assert usage_text(None) == ""


def test_the_observer_tells_what_it_sees_and_survives_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numerai_ray.progress.round_state.LOOK_S", 0.01)
    seen: list[Snapshot] = []
    calls = iter(range(10**6))

    def fits() -> list[RunningFit]:
        if next(calls) == 0:
            raise OSError("gone")
        return [FIT]

    observer = Observer(
        fits, Watchers(type("Listener", (), {"observed": lambda _, each: seen.append(each)})()).observed
    )
    observer.start()
    deadline = time.monotonic() + 20
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    observer.stop()
    assert not observer.is_alive()
    assert seen[0].trees_per_second == pytest.approx(12)


def test_a_log_tells_a_failed_trial_once_and_in_one_line() -> None:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    view = PlainView(console)
    view.round_started(RoundStart(3, "scout", "joint", {"r03-a": "a"}, {"r03-a": 4}, ()))
    for fold in range(4):
        view.trial_progress(Progress("r03-a", fold, 4, float("nan"), "LightGBM says: refused\n\nat line 65"))
    told = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert told == [
        "round 3, scout: varying several at once: 1 trial, 4 folds",
        "  a failed: LightGBM says: refused at line 65",
    ]
