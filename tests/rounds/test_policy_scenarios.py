"""The policy as one table: from a history, as rounds leave it, to the next step or the decision that ends it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from policy_records import ABC, FAILED, NAN, SETTINGS, SUSPECT, A, B, Numbers, record, scout, tried, variant, won

from numerai_ray.experiment.decision import PolicySettings
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.rounds.focus import find_focus
from numerai_ray.rounds.policy import ConfirmRound, FinalRound, ScoutRound, Step, next_step

PLATEAU = "plateau: 2 rounds in a row without a gain of 0.0002"
FLAT = [scout("a"), scout("b"), scout("c")]
SUSPECT_ROUND = scout("a", variant("a", 0.02, SUSPECT), variant("b", 0.0041))


@dataclass(frozen=True)
class Scenario:
    """A history, the words of its last decision, and the step that follows; dimensions are a, b and c."""

    history: Sequence[RoundRecord]
    said: str
    step: Step
    settings: PolicySettings = SETTINGS
    left: str = "abc"
    mappable: str = "abc"


SCENARIOS = {
    "improvement": Scenario([won("a")], "promoted: a gains +5.0e-4 BMC over the base", ScoutRound("b", A)),
    "tie": Scenario(
        [scout("a", variant("a", 0.004))],
        "base kept: the best variant, a, differs from it by 0.0e-4 BMC",
        ScoutRound("b", {}),
    ),
    "two flat rounds, all tried": Scenario(
        [won("c"), scout("a", start={"model.params.c": 1}), scout("b", start={"model.params.c": 1})],
        "base kept: b",
        ConfirmRound({"model.params.c": 1}, PLATEAU),
        mappable="",
    ),
    "flat with an untried dimension": Scenario([scout("a"), scout("b")], "base kept: b", ScoutRound("c", {})),
    "edge winner": Scenario(
        [tried("a", {15: 0.0038, 63: 0.0045})],
        "promoted",
        ScoutRound("a", {"model.params.a": 63}, "its best value 63 is the outermost tried"),
    ),
    "dominating dimension": Scenario(
        [tried("a", {15: 0.0010, 63: 0.0012}), tried("b", {1: 0.0041}), tried("c", {2: 0.0038})],
        "base kept",
        ScoutRound("a", {}, "its spread is 15.0 times that of c"),
    ),
    "confirm reopening": Scenario(
        [*FLAT, record("confirm", None, {}, (variant("b", 0.0050),))], "promoted: b", ScoutRound("a", B)
    ),
    "confirm without a gain": Scenario(
        [*FLAT, record("confirm", None, {}, (variant("b", 0.0041),))], "base kept: b", FinalRound({})
    ),
    "budget end": Scenario(
        [won("a")],
        "promoted: a",
        ConfirmRound(A, "the budget of 1 round is used up"),
        replace(SETTINGS, max_rounds=1),
    ),
    "all trials failed": Scenario(
        [scout(each, variant(each, FAILED)) for each in "abc"],
        "no variant to judge; 1 failed",
        ConfirmRound(None, "plateau: 3 rounds in a row without a gain of 0.0002"),
    ),
    "a NaN metric": Scenario(
        [scout("a", variant("a", NAN), variant("b", 0.0045))], "promoted: b", ScoutRound("b", B)
    ),
    "a suspect variant": Scenario([SUSPECT_ROUND], "1 set aside as suspect", ScoutRound("b", {})),
    "a suspect variant is not confirmed": Scenario(
        [SUSPECT_ROUND], "base kept: b", ConfirmRound(B, "every listed value was tried around the best configuration"),
        left="", mappable="",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_from_history_to_decision(name: str) -> None:
    case = SCENARIOS[name]
    assert case.said in case.history[-1].decision.reason
    focus = find_focus(case.history, list(ABC), case.settings.focus_ratio, Numbers(mappable=case.mappable), {})
    found = next_step(case.history, ABC, case.settings, lambda each, _: each in case.left, focus)
    assert found == case.step
