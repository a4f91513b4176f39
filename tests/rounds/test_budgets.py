"""Budgets: what is left for the next round, and whole experiments that run out of one, also within a round."""

import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from policy_records import SETTINGS, A, scout, won

from numerai_ray.rounds.budget import overrun, time_left, used_up_within, usual_seconds
from numerai_ray.rounds.policy import ConfirmRound, FinalRound, next_step
from numerai_ray.system.cluster import Spent
from numerai_ray.system.process import DeadlineReached, deadline, finish_first

# Half an hour of the budgets' time, 5 fits each of base and variant, on 4 cores.
DONE = replace(won("a"), wall_s=1800.0, cores=4)
DONE = replace(DONE, variants=tuple(replace(each, fits_new=5) for each in DONE.variants))
OVERRUNS: dict[str, tuple[dict[str, Any], int, float | None, str]] = {
    "no budget": ({}, 99, 1e9, ""),
    "just enough fits": ({"max_fits": 20}, 10, None, ""),
    "one fit too many": (
        {"max_fits": 20}, 11, None, "the next round would train 11 fits, and of the budget of 20 fits 10 are left",
    ),
    "just enough time": ({"max_hours": 1.0}, 9, 1800.0, ""),
    "too little time": (
        {"max_hours": 1.0}, 9, 1860.0,
        "the next round would take 31 min, and of the budget of 1 hour 30 min are left",
    ),
    "time unknown": ({"max_hours": 0.51}, 9, None, ""),
    "too few core-hours": (
        {"max_core_hours": 2.01}, 9, 60.0,
        "the next round would take 60 s, and of the budget of 2.01 core-hours 9 s are left",
    ),
    "the one that ends first is named": (
        {"max_core_hours": 2.01, "max_hours": 0.501}, 9, 60.0,
        "the next round would take 60 s, and of the budget of 0.501 hours 4 s are left",
    ),
    "nothing to train costs nothing": ({"max_fits": 10, "max_hours": 0.1}, 0, 0.0, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRUNS)
def test_a_round_that_would_overrun(name: str) -> None:
    budgets, fits, seconds, words = OVERRUNS[name]
    assert overrun([DONE], replace(SETTINGS, **budgets), fits, seconds, cores=4) == words


def test_time_left_and_the_usual_pace() -> None:
    four = Spent(cores=4)
    assert time_left([DONE], SETTINGS, four, 0) == (math.inf, "")
    hours, both = replace(SETTINGS, max_hours=0.6), replace(SETTINGS, max_hours=0.6, max_core_hours=2.2)
    assert time_left([DONE], hours, four, 0) == (pytest.approx(360), "0.6 hours")
    assert time_left([DONE], both, four, 0) == (pytest.approx(180), "2.2 core-hours")
    # Within a round: 100 s and 600 core-seconds of it are gone, and the cluster has grown to 12 cores.
    assert time_left([DONE], hours, Spent(600, 12), 100) == (pytest.approx(260), "0.6 hours")
    assert time_left([DONE], both, Spent(600, 12), 100) == (pytest.approx(10), "2.2 core-hours")
    # Cores that are not known yet are those of the rounds before; in the first round, one that will be looked at.
    assert time_left([DONE], both, Spent(), 0) == (pytest.approx(180), "2.2 core-hours")
    assert time_left([], replace(SETTINGS, max_core_hours=0.01), Spent(), 0) == (pytest.approx(36), "0.01 core-hours")
    assert usual_seconds([DONE], 5) == pytest.approx(900)
    assert usual_seconds([], 5) is None
    words = used_up_within("0.6 hours", 2)
    assert words == "the budget of 0.6 hours was used up within round 2; its fits are kept, it is not decided"


def test_a_search_that_is_over_is_confirmed_and_not_reopened() -> None:
    settings = replace(SETTINGS, over="the next round would go beyond it")
    assert next_step([won("a")], {"a": True, "b": True}, settings, lambda *_: True) == ConfirmRound(A, settings.over)
    reopening = replace(won("b"), stage="confirm", dimension=None)
    assert isinstance(next_step([scout("a"), reopening], {"a": True}, settings, lambda *_: True), FinalRound)


def test_a_deadline_ends_a_block_and_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    with (
        pytest.raises(DeadlineReached, match=r"0\.1 hours"),
        deadline(lambda: (started + 0.05 - time.monotonic(), "0.1 hours")),
    ):
        time.sleep(30)
    assert time.monotonic() - started < 10
    for left in (None, lambda: (30.0, "a day")):
        with deadline(left):
            pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_deadline_comes_sooner_where_more_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left was an hour when the block began; then many cores joined."""
    monkeypatch.setattr("numerai_ray.system.process.LOOK_S", 0.02)
    left = iter([3600.0, 3600.0, 0.0])
    started = time.monotonic()
    with pytest.raises(DeadlineReached), deadline(lambda: (next(left), "8 core-hours")):
        time.sleep(30)
    assert time.monotonic() - started < 10


def test_a_deadline_waits_for_what_must_be_finished() -> None:
    done = []
    with pytest.raises(DeadlineReached), deadline(lambda: (-1.0, "an hour")):
        with finish_first():
            time.sleep(0.1)
            done.append("whole")
        time.sleep(30)
    assert done == ["whole"]


def reasons(desk: Desk) -> dict[str, str]:
    return {record["stage"]: record["decision"]["reason"] for record in desk.rounds()}


def test_what_later_rounds_show_again_is_counted_once() -> None:
    again = replace(DONE, number=2)
    assert overrun([DONE, again], replace(SETTINGS, max_fits=20), 10, None, cores=4) == ""


@pytest.mark.slow
def test_a_budget_of_fits_holds_within_the_round_and_can_be_raised(tmp_path: Path, market: Path) -> None:
    """Rounds of 12 and 6 new fits; the second would go one fit beyond the budget."""
    desk = Desk(tmp_path, market, {"budget": {"fits": 17}})
    assert desk.run("--rounds", "1") == 0
    first = sum(variant["fits_new"] for variant in desk.rounds()[0]["variants"])
    assert desk.run() == 0
    stages = [record["stage"] for record in desk.rounds()]
    assert stages == ["scout", "confirm", "final"]
    assert "the next round would train" in reasons(desk)["confirm"]
    assert first == 12
    desk.plan({"budget": {"fits": 200}})
    assert desk.run("--extend", "--rounds", "1") == 0
    assert desk.rounds()[-1]["stage"] == "scout"
    assert any("budget.fits" in edit for edit in desk.rounds()[-1]["edits"])


SLOW = {"base": {"model": {"params": {"learning_rate": 0.1, "n_estimators": 150, "num_leaves": 31}}}}


def run_out_of_hours(desk: Desk, *more: str) -> None:
    """A budget that ends while the first round trains: the search is over, what there is is confirmed, all told."""
    desk.plan({**SLOW, "budget": {"hours": 0.0001}})
    assert desk.run_with(*more) == 0
    assert [record["stage"] for record in desk.rounds()] == ["confirm", "final"]
    assert "the budget of 0.0001 hours was used up within round 1" in reasons(desk)["confirm"]
    assert "was used up within round 1" in (desk.folder / "experiment.md").read_text()
    fits = desk.fits()
    desk.plan({**SLOW, "budget": {"hours": 1.0}})
    assert desk.run_with("--extend", "--rounds", "1", *more) == 0
    record = desk.rounds()[-1]
    assert record["stage"] == "scout"
    assert math.isfinite(record["variants"][0]["metrics"]["bmc_last"]["mean"])
    assert {name: desk.fits()[name] for name in fits} == fits, "nothing stored was trained again"


class TimedDesk(Desk):
    """Runs as it is told to: on Ray in a process of its own, or in this one."""

    def run_with(self, *more: str) -> int:
        if "--in-process" in more:
            return self.run(*(each for each in more if each != "--in-process"))
        process = self.start(*more)
        output, _ = process.communicate(timeout=240)
        assert "Traceback" not in output, output
        return process.returncode


@pytest.mark.slow
def test_hours_that_end_within_a_round_end_the_search(tmp_path: Path, market: Path) -> None:
    run_out_of_hours(TimedDesk(tmp_path, market), "--in-process")


@pytest.mark.ray
@pytest.mark.long
def test_hours_that_end_within_a_round_on_ray(tmp_path: Path, market: Path) -> None:
    run_out_of_hours(TimedDesk(tmp_path, market))


@pytest.mark.ray
@pytest.mark.long
def test_core_hours_of_a_cluster_end_within_a_round(tmp_path: Path, market: Path) -> None:
    """A cluster that says it has sixteen cores uses up in seconds what this machine's would in a minute."""
    desk = TimedDesk(tmp_path, market)
    slow = {"resources": {"cores": 1}, "params": {"learning_rate": 0.1, "n_estimators": 3000, "num_leaves": 31}}
    desk.plan({"base": {"model": slow}, "budget": {"core_hours": 0.03}})
    keeper = subprocess.Popen(
        [sys.executable, "-c", SIXTEEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        assert desk.run_with("--address", keeper.stdout.readline().strip()) == 0
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=60)
    assert [record["stage"] for record in desk.rounds()] == ["confirm", "final"]
    assert "the budget of 0.03 core-hours was used up within round 1" in reasons(desk)["confirm"]
    assert {record["cores"] for record in desk.rounds() if record["cost"].get("nodes")} == {16}


SIXTEEN = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 16, "object_store_memory": 150_000_000})
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
