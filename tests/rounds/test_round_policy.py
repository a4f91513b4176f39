"""The method as a table: from a round to its decision, and from a history to the next step."""

from dataclasses import dataclass, field

import pytest
from policy_records import ABC, BASE, FAILED, NAN, SETTINGS, SUSPECT, A, B, C, base, record, scout, variant, won

from numerai_ray.experiment.decision import PolicySettings, decide, sanity_flags
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.rounds.policy import ConfirmRound, FinalRound, ScoutRound, Stop, flat_rounds, next_step

# From a round to its decision


@dataclass(frozen=True)
class Judged:
    """A round's variants by name, and what is decided: the winner's name ("base" keeps it)."""

    variants: dict[str, float | None]
    winner: str | None
    words: str
    gain: float | None = None
    base: float | None = BASE
    suspects: tuple[str, ...] = ()
    settings: PolicySettings = SETTINGS
    tie_breaks: dict[str, float] = field(default_factory=dict)


ACCEPTING = PolicySettings(margin=2e-4, patience=2, max_rounds=12, accept_suspect=True)
ROUNDS = {
    "improvement": Judged({"a": 0.0041, "b": 0.0045}, "b", "promoted: b gains +5.0e-4 BMC over the base", 5e-4),
    "gain of exactly the margin": Judged({"a": 0.0042}, "a", "promoted: a", 2e-4),
    "gain of exactly the margin, rounded down in floats": Judged({"a": 0.0039}, "a", "promoted: a", 2e-4, base=0.0037),
    "below the margin": Judged(
        {"a": 0.00419, "b": 0.0041},
        "base",
        "base kept: a gains +1.9e-4 BMC over it, less than the margin of 2.0e-4",
        1.9e-4,
    ),
    "all worse": Judged(
        {"a": 0.003, "b": 0.0035}, "base", "base kept: the best variant, b, differs from it by -5.0e-4 BMC", -5e-4
    ),
    "negative metrics": Judged({"a": -0.001}, "a", "promoted: a", 0.003, base=-0.004),
    "tie, decided by the tie-break": Judged(
        {"a": 0.0045, "b": 0.0045}, "b", "promoted: b", 5e-4, tie_breaks={"a": 0.001, "b": 0.002}
    ),
    "tie but for rounding, decided by the tie-break": Judged(
        {"a": 0.0045, "b": 0.0045 + 1e-15}, "a", "promoted: a", 5e-4, tie_breaks={"a": 0.002, "b": 0.001}
    ),
    "tie with the base": Judged(
        {"a": BASE}, "base", "base kept: the best variant, a, differs from it by 0.0e-4 BMC", 0.0
    ),
    "tie with the base, any gain counts": Judged(
        {"a": BASE}, "base", "base kept", 0.0, settings=PolicySettings(0, 2, 9)
    ),
    "small gain, any gain counts": Judged({"a": 0.00401}, "a", "promoted", 1e-5, settings=PolicySettings(0, 2, 9)),
    "one failed": Judged({"a": FAILED, "b": 0.0045}, "b", "; 1 failed", 5e-4),
    "all failed": Judged({"a": FAILED, "b": FAILED}, "base", "no variant to judge; 2 failed"),
    "none ran": Judged({}, "base", "nothing to compare with"),
    "a NaN metric": Judged({"a": NAN, "b": 0.0045}, "b", "; 1 failed", 5e-4),
    "a NaN metric last": Judged({"b": 0.0045, "a": NAN}, "b", "; 1 failed", 5e-4),
    "all NaN": Judged({"a": NAN}, "base", "no variant to judge; 1 failed"),
    "base failed": Judged({"a": 0.0045}, None, "the base failed: fold 2: out of memory", base=FAILED),
    "base NaN": Judged({"a": 0.0045}, None, "the base failed: its primary metric is unknown", base=NAN),
    "suspect barred": Judged(
        {"a": 0.02, "b": 0.0041},
        "base",
        "base kept: b gains +1.0e-4 BMC over it, less than the margin of 2.0e-4; 1 set aside as suspect",
        1e-4,
        suspects=("a",),
    ),
    "only suspects": Judged({"a": 0.02}, "base", "no variant to judge; 1 set aside as suspect", suspects=("a",)),
    "suspect accepted": Judged(
        {"a": 0.02, "b": 0.0041}, "a", "promoted: a", 0.016, suspects=("a",), settings=ACCEPTING
    ),
    "failed and suspect": Judged(
        {"a": 0.02, "b": FAILED, "c": 0.0045}, "c", "; 1 failed; 1 set aside as suspect", 5e-4, suspects=("a",)
    ),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_decision(name: str) -> None:
    case = ROUNDS[name]
    rest = [
        variant(each, primary, SUSPECT if each in case.suspects else (), bmc=case.tie_breaks.get(each, 0.003))
        for each, primary in case.variants.items()
    ]
    before = {"data.target": "target_x"}
    decision = decide(base(case.base), rest, before, case.settings)
    promoted = case.winner not in (None, "base")
    assert decision.winner == (None if case.winner is None else f"r01-{case.winner}")
    assert decision.promoted == promoted
    assert decision.changes == {**before, f"model.params.{case.winner}": 1} if promoted else before
    assert decision.gain == (None if case.gain is None else pytest.approx(case.gain, abs=1e-12))
    assert case.words in decision.reason


def test_a_variant_of_what_was_changed_before_replaces_it() -> None:
    better = variant("a", 0.005)
    decision = decide(base(), [better], {"model.params.a": 9, "data.target": "target_x"}, SETTINGS)
    assert decision.changes == {"model.params.a": 1, "data.target": "target_x"}


# From a history to the next step


OPTIONAL_C = {"a": True, "b": True, "c": False}


@dataclass(frozen=True)
class Next:
    """A history and its next step. ``left`` are dimensions with untried values, all when None."""

    history: list[RoundRecord]
    step: ScoutRound | ConfirmRound | FinalRound | Stop
    dimensions: dict[str, bool] = field(default_factory=lambda: ABC)
    left: str | None = None
    settings: PolicySettings = SETTINGS


PLATEAU = "plateau: 2 rounds in a row without a gain of 0.0002"
NOTHING_LEFT = "every listed value was tried around the best configuration"
STEPS = {
    # scouting
    "first round": Next([], ScoutRound("a", {})),
    "first dimension has no values": Next([], ScoutRound("b", {}), left="bc"),
    "after a flat round": Next([scout("a")], ScoutRound("b", {})),
    "after a gain": Next([won("a")], ScoutRound("b", A)),
    "after two gains": Next([won("a"), won("b", A)], ScoutRound("c", {**A, **B})),
    "flat, then a gain, then flat": Next([scout("a"), won("b"), scout("c", start=B)], ScoutRound("a", B)),
    "all tried, least recent first": Next(
        [won("b"), won("c", B), won("a", {**B, **C})], ScoutRound("b", {**A, **B, **C})
    ),
    "tried twice, least recent first": Next(
        [won("a"), won("b", A), won("c", {**A, **B}), won("a", {**A, **B, **C})], ScoutRound("b", {**A, **B, **C})
    ),
    "all tried, only some have values": Next(
        [won("a"), won("b", A), won("c", {**A, **B})], ScoutRound("c", {**A, **B, **C}), left="c"
    ),
    "a round that failed counts as tried": Next([scout("a", variant("a", FAILED))], ScoutRound("b", {})),
    # the end of scouting
    "plateau": Next([won("a"), scout("b", start=A), scout("c", start=A)], ConfirmRound(A, PLATEAU)),
    "plateau after longer patience": Next(
        [won("a"), scout("b", start=A), scout("c", start=A)], ScoutRound("a", A), settings=PolicySettings(2e-4, 3, 12)
    ),
    "flat, a required dimension untried": Next([scout("a"), scout("b")], ScoutRound("c", {})),
    "flat, an untried dimension without values": Next(
        [won("c"), scout("b", start=C), scout("b", start=C)], ConfirmRound(C, PLATEAU), left="bc"
    ),
    "flat, an optional dimension untried": Next(
        [won("b"), scout("a", start=B), scout("b", start=B)], ConfirmRound(B, PLATEAU), OPTIONAL_C
    ),
    "not flat, an optional dimension untried": Next([scout("a"), won("b")], ScoutRound("c", B), OPTIONAL_C),
    "a gain ends a flat row": Next([scout("a"), scout("b"), won("c")], ScoutRound("a", C)),
    "nothing left to try": Next([won("a")], ConfirmRound(A, NOTHING_LEFT), left=""),
    "nothing to try at all": Next([], ConfirmRound(None, NOTHING_LEFT), left=""),
    "budget of rounds": Next(
        [won("a"), won("b", A)],
        ConfirmRound({**A, **B}, "the budget of 2 rounds is used up"),
        settings=PolicySettings(2e-4, 2, 2),
    ),
    "budget of hours": Next(
        [scout("a", hours=0.5), scout("b", variant("b", 0.0045), hours=0.5)],
        ConfirmRound(B, "the budget of 1 hour is used up"),
        settings=PolicySettings(2e-4, 2, 12, max_hours=1.0),
    ),
    "hours left": Next(
        [scout("a", hours=0.5), scout("b", hours=0.49)],
        ScoutRound("c", {}),
        settings=PolicySettings(2e-4, 2, 12, max_hours=1.0),
    ),
    # what is confirmed when nothing won
    "best other variant": Next(
        [scout("a", variant("a", 0.0038), variant("b", 0.0041)), scout("b", variant("c", 0.0040))],
        ConfirmRound(B, "the budget of 2 rounds is used up"),
        settings=PolicySettings(2e-4, 2, 2),
    ),
    "best other variant by tie-break": Next(
        [scout("a", variant("a", 0.0041, bmc=0.001), variant("b", 0.0041, bmc=0.002))],
        ConfirmRound(B, NOTHING_LEFT),
        left="",
    ),
    "no suspect is confirmed": Next(
        [scout("a", variant("a", 0.02, SUSPECT), variant("b", 0.0030))], ConfirmRound(B, NOTHING_LEFT), left=""
    ),
    "no unknown metric is confirmed": Next(
        [scout("a", variant("a", NAN), variant("b", 0.0030))], ConfirmRound(B, NOTHING_LEFT), left=""
    ),
    "no failed trial is confirmed": Next(
        [scout("a", variant("a", FAILED), variant("b", 0.0030))], ConfirmRound(B, NOTHING_LEFT), left=""
    ),
    "a baseline is no challenger": Next(
        [scout("a", variant("a", 0.0030), variant("b", 0.0041, role="baseline"))],
        ConfirmRound(A, NOTHING_LEFT),
        left="",
    ),
    "nothing ran well": Next(
        [scout("a", variant("a", FAILED)), scout("b", variant("b", NAN))], ConfirmRound(None, PLATEAU), left=""
    ),
    # after scouting
    "confirmed": Next([won("a"), record("confirm", None, {}, (variant("a", 0.0050),))], FinalRound(A)),
    "base kept at the larger scale": Next(
        [won("a"), record("confirm", None, {}, (variant("a", 0.0041),))], FinalRound({})
    ),
    "nothing to confirm": Next([record("confirm", None, {}, ())], FinalRound({})),
    "the budget does not end what follows it": Next(
        [won("a"), record("confirm", None, {}, (variant("a", 0.0050),), hours=9)],
        FinalRound(A),
        settings=PolicySettings(2e-4, 2, 1, max_hours=1.0),
    ),
    "final": Next(
        [won("a"), record("confirm", None, {}, ()), record("final", None, A, ())], Stop("the final run is recorded")
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_next_step(name: str) -> None:
    case = STEPS[name]
    step = next_step(
        case.history, case.dimensions, case.settings, lambda each, _: case.left is None or each in case.left
    )
    assert step == case.step


def test_an_accepted_suspect_may_be_confirmed() -> None:
    history = [scout("a", variant("a", 0.0041, SUSPECT), variant("b", 0.0030))]
    step = next_step(history, ABC, ACCEPTING, lambda *_: False)
    assert step == ConfirmRound(A, NOTHING_LEFT)


def test_values_are_asked_for_around_the_newest_base() -> None:
    asked = []
    next_step([won("a")], ABC, SETTINGS, lambda name, changes: bool(asked.append((name, dict(changes)))) or name == "c")
    assert asked
    assert all(changes == A for _, changes in asked)


@pytest.mark.parametrize(
    ("history", "count"),
    [
        ([], 0),
        ([scout("a")], 1),
        ([won("a")], 0),
        ([won("a"), scout("b"), scout("c")], 2),
        ([scout("a"), won("b"), scout("c")], 1),
    ],
)
def test_flat_rounds_count_from_the_last_gain(history, count) -> None:
    assert flat_rounds(history) == count


# What makes a result doubtful


@pytest.mark.parametrize(
    ("made", "flags"),
    [
        ({}, ()),
        ({"corr": 0.005}, ()),
        ({"corr": 0.04}, ()),
        ({"corr": 0.041}, ("suspect: corr_mean 0.0410 is above 0.04, look for leakage",)),
        ({"corr": 0.0049}, ("weak: corr_mean 0.0049 is below 0.005",)),
        ({"corr": -0.01}, ("weak: corr_mean -0.0100 is below 0.005",)),
        ({"with_benchmark": 0.95}, ()),
        ({"with_benchmark": 0.96}, ("twin: correlates 0.960 with the benchmark",)),
        ({"corr": 0.021, "bmc": 0.0029}, ("drift: CORR rises while BMC falls, so it moves towards the benchmark",)),
        ({"corr": 0.019, "bmc": 0.0029}, ()),
        ({"corr": 0.021, "bmc": 0.0031}, ()),
        ({"corr": NAN, "bmc": NAN, "with_benchmark": NAN}, ()),
    ],
)
def test_flags(made, flags) -> None:
    assert sanity_flags(variant("a", 0.004, **made), base()) == flags


def test_flags_add_up() -> None:
    found = sanity_flags(variant("a", 0.004, corr=0.05, bmc=0.001, with_benchmark=0.99), base())
    assert [flag.split(":")[0] for flag in found] == ["suspect", "twin", "drift"]


def test_flags_need_metrics_and_drift_needs_a_base() -> None:
    assert sanity_flags(variant("a", FAILED), base()) == ()
    drifting = variant("a", 0.004, corr=0.03, bmc=0.001)
    assert sanity_flags(drifting, None) == sanity_flags(drifting, base(FAILED)) == ()


def test_a_flag_of_leakage_bars_promotion() -> None:
    leaking = variant("a", 0.02, corr=0.2)
    flagged = VariantRecord(**{**leaking.__dict__, "flags": sanity_flags(leaking, base())})
    assert not decide(base(), [flagged], {}, SETTINGS).promoted
    assert decide(base(), [flagged], {}, ACCEPTING).promoted
