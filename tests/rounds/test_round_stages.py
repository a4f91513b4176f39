"""The method's later chapters as a table: focus, interpretations, reopening, scale, holdout, budgets, extension."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from policy_records import (
    ABC,
    BASE,
    FAILED,
    NAN,
    SETTINGS,
    SUSPECT,
    A,
    B,
    Numbers,
    base,
    record,
    scout,
    tried,
    variant,
    won,
)

from numerai_ray.experiment.decision import PolicySettings, choose, spreads
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.rounds.focus import Focus, at_edge, find_focus
from numerai_ray.rounds.policy import (
    ConfirmRound,
    FinalRound,
    HoldoutRound,
    InterpretRound,
    ScaleRound,
    ScoutRound,
    Step,
    Stop,
    next_step,
)
from numerai_ray.rounds.recorder import holdout_decision

ALL = replace(SETTINGS, interpret=True, scale=True, holdout=True)
INTERPRETED = RoundRecord(1, "interpret", None, {}, (base(),), choose([base()], SETTINGS), {}, choice="base")
PLATEAU = [won("a"), scout("b", start=A), scout("c", start=A)]
CONFIRMED = record("confirm", None, {}, (variant("a", 0.0050),))
REOPENING = record("confirm", None, {}, (variant("b", 0.0050),))
FLAT = [scout("a", variant("a", 0.0041)), scout("b", variant("b", 0.00415)), scout("c", variant("c", 0.0040))]
FINAL = record("final", None, A, ())
HOLDOUT = record("holdout", None, {}, (variant("a", 0.0043),))


def with_fits(made: RoundRecord, fits: int) -> RoundRecord:
    return replace(made, variants=tuple(replace(each, fits_new=fits) for each in made.variants))


@dataclass(frozen=True)
class Next:
    history: list[RoundRecord]
    step: Step
    settings: PolicySettings = SETTINGS
    focus: Focus | None = None
    left: str = "abc"


STEPS = {
    # ambiguity comes first
    "interpretations first": Next([], InterpretRound(), ALL),
    "then scouting around the chosen one": Next([INTERPRETED], ScoutRound("a", {}), ALL),
    "no interpretations": Next([], ScoutRound("a", {})),
    # focus
    "a focus goes before new ground": Next(
        [won("a")], ScoutRound("a", A, "it stands at an edge"), focus=Focus("a", "it stands at an edge")
    ),
    "a focus goes before a plateau": Next(PLATEAU, ScoutRound("a", A, "dominates"), focus=Focus("a", "dominates")),
    "no focus without budget": Next(
        [won("a")],
        ConfirmRound(A, "the budget of 1 round is used up"),
        replace(SETTINGS, max_rounds=1),
        Focus("a", "dominates"),
    ),
    # confirm, and reopening
    "a gain that only scale shows reopens the search": Next([*FLAT, REOPENING], ScoutRound("a", B)),
    "a gain that scouting had found does not": Next([*PLATEAU, CONFIRMED], FinalRound(A)),
    "no gain at the larger scale": Next([*FLAT, record("confirm", None, {}, (variant("b", 0.0041),))], FinalRound({})),
    "reopened, flat again: two rounds from there": Next(
        [*FLAT, REOPENING, scout("a", start=B)], ScoutRound("b", B), left="b"
    ),
    "reopened, a plateau again": Next(
        [*FLAT, REOPENING, scout("a", start=B), scout("b", start=B)],
        ConfirmRound(B, "plateau: 2 rounds in a row without a gain of 0.0002"),
    ),
    "reopened once only": Next([*FLAT, REOPENING, won("c", B), scout("a", start=B), REOPENING], FinalRound(B)),
    "no reopening without budget": Next([*FLAT, REOPENING], FinalRound(B), replace(SETTINGS, max_rounds=3)),
    # scale, final, holdout
    "scale follows confirm": Next([*PLATEAU, CONFIRMED], ScaleRound(A), ALL),
    "final follows scale": Next(
        [*PLATEAU, CONFIRMED, record("scale", None, {}, (variant("a", 0.0050),))], FinalRound(A), ALL
    ),
    "base kept at scale": Next(
        [*PLATEAU, CONFIRMED, record("scale", None, {}, (variant("a", 0.0041),))], FinalRound({}), ALL
    ),
    "holdout follows final": Next([*PLATEAU, CONFIRMED, FINAL], HoldoutRound(A), ALL),
    "after the holdout": Next([*PLATEAU, CONFIRMED, FINAL, HOLDOUT], Stop("the holdout is scored"), ALL),
    "without a holdout": Next([*PLATEAU, CONFIRMED, FINAL], Stop("the final run is recorded")),
    # budgets
    "budget of fits": Next(
        [with_fits(won("a"), 5)], ConfirmRound(A, "the budget of 10 fits is used up"), replace(SETTINGS, max_fits=10)
    ),
    "fits left": Next([with_fits(won("a"), 5)], ScoutRound("b", A), replace(SETTINGS, max_fits=11)),
    "budget of core-hours": Next(
        [replace(scout("a", hours=0.5), cores=4)],
        ConfirmRound({"model.params.a": 1}, "the budget of 2 core-hours is used up"),
        replace(SETTINGS, max_core_hours=2.0),
    ),
    "budget of a cluster's core-hours: nodes count": Next(
        [replace(scout("a", hours=0.5), cores=1, cost={"core_hours": 2.0})],
        ConfirmRound({"model.params.a": 1}, "the budget of 2 core-hours is used up"),
        replace(SETTINGS, max_core_hours=2.0),
    ),
    "budget of a cluster's core-hours: the driver does not": Next(
        [with_fits(replace(won("a"), cores=64, wall_s=7200.0, cost={"core_hours": 0.5}), 1)],
        ScoutRound("b", A),
        replace(SETTINGS, max_core_hours=2.0),
    ),
    # going on after the end
    "extended: around the winner": Next(
        [*PLATEAU, CONFIRMED, FINAL], ScoutRound("a", A), replace(SETTINGS, extend=True)
    ),
    "extended: a new plateau counts from there": Next(
        [*PLATEAU, CONFIRMED, FINAL, scout("a", start=A)], ScoutRound("b", A), left="b"
    ),
    "extended: to the end again": Next(
        [*PLATEAU, CONFIRMED, FINAL, scout("a", start=A), scout("b", start=A)],
        ConfirmRound(A, "plateau: 2 rounds in a row without a gain of 0.0002"),
    ),
    # rounds by hand
    "a round by hand says nothing about a plateau": Next(
        [scout("a"), scout("b"), replace(scout("x"), kind="manual")], ScoutRound("c", {})
    ),
    "a round by hand can move the base": Next([replace(won("a"), kind="manual")], ScoutRound("b", A)),
    # nothing to go on with
    "all trials failed": Next(
        [scout(each, variant(each, FAILED)) for each in "abc"],
        ConfirmRound(None, "plateau: 3 rounds in a row without a gain of 0.0002"),
    ),
    "all metrics NaN": Next(
        [scout(each, variant(each, NAN)) for each in "abc"],
        ConfirmRound(None, "plateau: 3 rounds in a row without a gain of 0.0002"),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_next_step(name: str) -> None:
    case = STEPS[name]
    found = next_step(case.history, ABC, case.settings, lambda each, _: each in case.left, case.focus)
    assert found == case.step


# Focus


EDGE = tried("a", {15: 0.0038, 63: 0.0045})
INSIDE = tried("a", {15: 0.0043, 7: 0.0039, 63: 0.0038})
WIDE, NARROW_B, NARROW_C = tried("a", {15: 0.0010, 63: 0.0012}), tried("b", {1: 0.0041}), tried("c", {2: 0.0038})
FOCUSES = {
    "an edge winner": ([EDGE], "a", "its best value 63 is the outermost tried"),
    "a winner inside": ([INSIDE], None, ""),
    "an edge that won nothing": ([tried("a", {15: 0.0038, 63: 0.0041})], None, ""),
    "an edge long ago": ([EDGE, NARROW_B], None, ""),
    "two values have no inside": ([tried("a", {63: 0.0045})], None, ""),
    "a dominating dimension": ([WIDE, NARROW_B, NARROW_C], "a", "its spread is 15.0 times that of c"),
    "nothing dominates": ([tried("a", {15: 0.0036}), NARROW_B, NARROW_C], None, ""),
    "not before all were tried": ([WIDE, NARROW_B], None, ""),
    "dominating, mapped already": ([replace(WIDE, kind="focus"), NARROW_B, NARROW_C], None, ""),
    "nothing ran": ([], None, ""),
    "only between scout rounds": ([WIDE, NARROW_B, NARROW_C, CONFIRMED], None, ""),
}


@pytest.mark.parametrize("name", FOCUSES)
def test_focus(name: str) -> None:
    history, dimension, why = FOCUSES[name]
    found = find_focus(history, ["a", "b", "c"], 3.0, Numbers(), {})
    assert found == (None if dimension is None else Focus(dimension, why))


def test_focus_needs_something_to_map() -> None:
    assert find_focus([EDGE], ["a"], 3.0, Numbers(mappable=""), {}) is None
    assert find_focus([WIDE, NARROW_B, NARROW_C], list("abc"), 3.0, Numbers(mappable="bc"), {}) is None


def test_importances_decide_the_focus_where_they_are_known() -> None:
    found = find_focus([WIDE, NARROW_B, NARROW_C], list("abc"), 3.0, Numbers(), {"a": 0.1, "b": 0.8, "c": 0.1})
    assert found == Focus("b", "its importance is 8.0 times that of a")


def test_importances_say_nothing_of_what_never_varied() -> None:
    """Optuna gives a dimension that was not tried an importance of 0: no reason to pass it over."""
    assert find_focus([WIDE, NARROW_B], list("abc"), 3.0, Numbers(), {"a": 0.9, "b": 0.1, "c": 0.0}) is None


def test_importances_choose_among_variables_that_rounds_vary_together() -> None:
    joint = replace(WIDE, dimension="joint", kind="joint")
    assert find_focus([joint], ["joint"], 3.0, Numbers(), {"a": 0.9, "b": 0.1}) == Focus(
        "a", "its importance is 9.0 times that of b"
    )
    assert find_focus([joint], ["joint", "c"], 3.0, Numbers(), {"a": 0.9, "b": 0.1, "c": 0.0}) is None


def test_spreads_name_the_variable_that_matters_in_rounds_of_one_variable() -> None:
    """Planted: ``a`` matters, ``b`` and ``c`` are noise; right in 20 draws of one round each, and dominant in most."""
    focused = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 1e-4, (3, 4))
        planted = {name: -4e-4 * np.arange(4) * (name == "a") for name in "abc"}
        rounds = [
            tried(name, {at: BASE + planted[name][at] + noise[row, at] for at in range(4)})
            for row, name in enumerate("abc")
        ]
        sizes = spreads(rounds)
        assert max(sizes, key=lambda name: sizes[name]) == "a", (seed, sizes)
        found = find_focus(rounds, list("abc"), 3.0, Numbers(), {})
        assert found is None or found.dimension == "a"
        focused += found is not None
    assert focused >= 12, focused


def test_choices_have_no_edge_and_spread_needs_two_results() -> None:
    assert not at_edge("target_x", ["target_x", "target_y", "target_z"])
    assert at_edge(3, [3, 5, 7]) and not at_edge(5, [3, 5, 7])
    assert spreads([scout("a", variant("a", FAILED)), tried("b", {1: 0.0030})]) == {"b": pytest.approx(BASE - 0.0030)}


# Interpretations


def test_the_best_interpretation_becomes_the_base_whatever_its_margin() -> None:
    readings = [
        variant("narrow", 0.0040),
        variant("wide", 0.00401),
        variant("broken", FAILED),
        variant("leak", 0.9, SUSPECT),
    ]
    decision = choose(readings, SETTINGS)
    assert (decision.winner, decision.changes) == ("r01-wide", {})
    assert (
        decision.reason
        == "wide becomes the base: its bmc_last_200_eras is 0.00401, 0.1e-4 ahead of narrow; 2 failed or set aside"
    )


def test_no_interpretation_can_be_judged() -> None:
    decision = choose([variant("a", FAILED), variant("b", NAN)], SETTINGS)
    assert decision.winner is None
    why = "b: its primary metric is unknown: no scored era has the benchmark"
    assert decision.reason == f"no interpretation can be judged: a: fold 2: out of memory; {why}"
    told = choose([variant("a", FAILED), variant("leak", 0.9, SUSPECT)], SETTINGS).reason
    assert f"leak: {SUSPECT[0]}; where there is no leak, --accept-suspect" in told


# The kept eras


@pytest.mark.parametrize(
    ("found", "kept", "words"),
    [
        (0.0050, 0.0045, "by +5.0e-4 BMC, in the search by +10.0e-4: 50 % of the gain survived"),
        (0.0050, 0.0038, "by -2.0e-4 BMC, in the search by +10.0e-4: nothing of the gain survived"),
        (0.0050, 0.0053, "in the search by +10.0e-4: all of the gain survived"),
        (0.0039, 0.0045, "there was no gain to survive"),
        (0.0050, FAILED, "the gain on the kept eras is unknown"),
    ],
)
def test_the_kept_eras_are_held_against_the_found_gain(found, kept, words) -> None:
    history = [won("a"), record("confirm", None, {}, (variant("a", found),)), FINAL]
    made = record("holdout", None, {}, (variant("a", kept),))
    decision = holdout_decision(made.decision, made.variants[1], history)
    assert words in decision.reason
    assert (decision.promoted, decision.changes) == (False, A)
    again = holdout_decision(made.decision, made.variants[1], [*history, HOLDOUT, FINAL])
    assert again.reason.endswith("these eras were looked at 1 time before")
