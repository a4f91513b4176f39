"""What an answer says in words: one rule, the run that judged, the baseline beside a base that stands, and plurals."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from builders import History, Market, experiment

from numerai_ray.experiment.answer import Answer, answer_of
from numerai_ray.experiment.decision import PolicySettings
from numerai_ray.experiment.records import REPLICATE
from numerai_ray.experiment.standing import Standing, p_text
from numerai_ray.metrics.registry import METRICS
from numerai_ray.report.markdown import report_text
from numerai_ray.report.reading import Reading
from numerai_ray.rounds.budget import search_ended


def answered(history: History) -> Answer:
    return answer_of(Standing(history.loaded, history.paths, tuple(history.records)))


def report_of(history: History) -> str:
    return report_text(Reading(history.loaded, history.paths, tuple(history.records)), {})


def test_a_base_that_stands_is_held_against_the_baseline(tmp_path: Path) -> None:
    """Nothing gained on the base, and the base is worse than the baseline: the first line says so."""
    base = {"model": {"params": {"colsample_bytree": 0.3}}}
    history = experiment(tmp_path / "demo", {"base": base}, Market(noise=0.0003))
    history.scout("num_leaves", {63: 0.0030})
    assert answered(history).verdict.endswith("the experiment's base stands (margin 2.0e-4).")
    history.final(0.0037, baseline=0.0060)
    assert re.search(
        r"base stands \(margin 2\.0e-4\); to the baseline it differs by -\d+\.\de-4 \[.*\] \(90 % interval\), "
        r"clear loss\.$",
        answered(history).verdict,
    )


def test_nothing_promoted_is_no_winner_that_was_selected(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0003))
    history.scout("num_leaves", {63: 0.0030, 127: 0.0031})
    assert "the winner was chosen" not in report_of(history)
    history.scout("max_depth", {3: 0.0047})
    assert "the winner was chosen" in report_of(history)


def test_what_ran_again_is_told_by_its_second_run_and_the_searchs_rule(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", {"rounds": {"accept": "replicated"}}, Market(noise=0.0003))
    first = history.scout("num_leaves", {63: 0.0047})
    kept = replace(
        first.decision, promoted=False, winner="r01-base", changes={}, again="r01-num_leaves=63", rule="replicated/2"
    )
    history.records[0], history.changes = replace(first, decision=kept), {}
    again = history.scout("num_leaves", {63: 0.0030})
    history.records[-1] = replace(again, kind=REPLICATE, decision=replace(again.decision, rule="replicated/2"))
    history.final(0.0037)
    assert history.records[-1].decision.rule == "margin/2", "stages after the search have another"
    report = report_of(history)
    (row,) = re.findall(r"^\| scout \| – \| – \| (.*) \|$", report, re.MULTILINE)
    assert re.match(r"the base stands; the best variant, num_leaves=63, differs from it by -6\.\de-4 ", row), row
    assert answered(history).rule == "replicated/2"
    assert "the whole search over all scored eras (rule replicated/2)" in report
    assert "Nothing reached the margin again with fresh seeds." in report


@pytest.mark.parametrize(
    ("rounds", "budget", "words"),
    [
        ({"patience": 1}, {"rounds": 1}, "after 1 round in a row without one, when nothing is left to try, or after 1"),
        ({"patience": 2}, {"rounds": 3, "hours": 1}, "or after 3 rounds or 1 hour."),
    ],
)
def test_one_is_no_plural(tmp_path: Path, rounds: dict[str, int], budget: dict[str, int], words: str) -> None:
    history = experiment(tmp_path / "demo", {"rounds": rounds, "budget": budget})
    history.scout("num_leaves", {63: 0.0047})
    report = report_of(history)
    assert words in report
    assert not re.search(r"\b1 (rounds|hours|variants|results|eras)\b", report)
    settings = PolicySettings(2e-4, 2, max_rounds=1)
    assert search_ended(history.records, settings) == "the budget of 1 round is used up"


def test_a_metric_has_a_name_for_the_middle_of_a_sentence() -> None:
    assert {name: each.noun for name, each in METRICS.items() if each.pays} == {
        "bmc": "BMC",
        "mmc": "MMC",
        "payout": "payout score",
        "corr": "CORR",
    }


def test_what_rounds_to_zero_has_no_sign_and_the_base_is_not_the_best_found(tmp_path: Path) -> None:
    base = {"model": {"params": {"colsample_bytree": 0.3}}}
    history = experiment(tmp_path / "demo", {"base": base}, Market(noise=1e-7))
    history.scout("num_leaves", {63: 0.0030})
    history.final(0.0037, baseline=0.0037)
    report = report_of(history)
    assert "| BMC Sharpe | 0.00 [0.00, 0.00] |" in report
    assert not re.search(r"[+-]0\.0+(e-4)?\b", report)
    assert "| the experiment's base against the baseline |" in report
    assert "the best configuration against" not in report


@pytest.mark.parametrize(
    ("p_value", "words"),
    [(0.0513, "0.051"), (0.00004, "4e-05"), (0.994, "0.99"), (0.9963, "0.996"), (0.99999, "0.999"), (1.0, "0.999")],
)
def test_a_p_value_is_never_told_as_certainty(p_value: float, words: str) -> None:
    assert p_text(p_value) == words
