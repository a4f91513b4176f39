"""Where values come from: one contract, three proposers."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from numerai_ray.config.ranges import Range
from numerai_ray.config.search_space import Dimension
from numerai_ray.rounds.optuna_sampler import OptunaSampler
from numerai_ray.rounds.samplers import Ask, JointAsk, ListedSampler, RefineSampler, Sampler, Seen

LISTED = Dimension(path="model.params.num_leaves", values=[7, 15, 63, 127])
RANGED = Dimension(path="model.params.learning_rate", range=Range(low=0.001, high=0.1, scale="log"))
NAMES = Dimension(path="data.target", values=["target_a", "target_b", "target_c"])
PROPOSERS: dict[str, Callable[[], Sampler]] = {
    "listed": ListedSampler,
    "refine": RefineSampler,
    "optuna": lambda: OptunaSampler(3),
}


def ask(dimension: Dimension, ran: tuple[Any, ...] = (), base: Any = 31, count: int = 4, **more: Any) -> Ask:
    return Ask("x", dimension, base, count, lambda value: value in ran or value == base, **more)


@pytest.mark.parametrize("name", PROPOSERS)
@pytest.mark.parametrize("dimension", [LISTED, RANGED, NAMES], ids=["listed", "range", "names"])
class TestContract:
    def test_new_distinct_and_not_more_than_asked(self, name: str, dimension: Dimension) -> None:
        proposer, ran, seen = PROPOSERS[name](), [], []
        for turn in range(6):
            found = proposer.propose(ask(dimension, tuple(ran), seen=tuple(seen), turn=turn))
            assert len(found) <= 4
            assert len(set(found)) == len(found)
            assert not set(found) & {*ran, 31}
            ran += found
            seen += [Seen(value, 1e-4 * turn) for value in found]
        if dimension is NAMES:
            assert sorted(ran) == sorted(NAMES.values), "every choice comes, and only those"

    def test_equal_questions_get_equal_answers_also_from_a_new_proposer(self, name: str, dimension: Dimension) -> None:
        first = dimension.examples()[:2]
        question = ask(dimension, tuple(first), seen=tuple(Seen(value, 1e-4) for value in first), turn=1)
        assert PROPOSERS[name]().propose(question) == PROPOSERS[name]().propose(question)

    def test_first_comes_what_is_listed_or_a_spread(self, name: str, dimension: Dimension) -> None:
        found = PROPOSERS[name]().propose(ask(dimension))
        assert found == (dimension.values or [0.001, 0.00464, 0.0215, 0.1])


def test_focus_maps_a_range_and_leaves_plain_lists_alone() -> None:
    assert ListedSampler().propose(ask(LISTED, focus=True)) == []
    assert ListedSampler().propose(ask(RANGED, base=0.01, focus=True))[:2] == [0.001, 0.1]
    assert RefineSampler().propose(ask(LISTED, (7, 127), focus=True)) == [15, 63, 10, 21]
    assert RefineSampler().propose(ask(NAMES, focus=True)) == []


def test_refine_goes_on_around_the_base() -> None:
    ran = tuple(LISTED.values)
    assert RefineSampler().propose(ask(LISTED, ran, base=15, count=2)) == [10, 31]


def test_optuna_proposes_near_what_was_good() -> None:
    seen = tuple(Seen(value, 4 - abs(math.log(value / 0.005))) for value in (0.001, 0.00464, 0.0215, 0.1, 0.008, 0.003))
    found = OptunaSampler(0).propose(ask(RANGED, tuple(each.value for each in seen), base=0.09, seen=seen, turn=2))
    assert len(found) == 4
    assert statistics.median(abs(math.log(value / 0.005)) for value in found) < 1.5


def test_a_failed_value_is_no_result_and_is_not_repeated() -> None:
    seen = (Seen(0.001, math.nan), Seen(0.1, 0.001), Seen(0.0215, 0.002))
    found = OptunaSampler(1).propose(ask(RANGED, (0.001, 0.1, 0.0215), base=0.01, seen=seen, turn=1))
    assert len(found) == 4
    assert 0.001 not in found


# A planted surface: does asking beat luck?


def surface(rate: float, leaves: float) -> float:
    """Best at 0.004 and 24; a shallow second hill elsewhere."""
    x, y = math.log10(rate / 0.004), math.log2(leaves / 24)
    return math.exp(-4 * x * x - 0.4 * y * y) + 0.4 * math.exp(-6 * (x - 1) ** 2 - 0.5 * (y - 2.5) ** 2)


LEAVES = Dimension(path="model.params.num_leaves", range=Range(low=4, high=512, scale="log", integer=True))
ROUNDS, COUNT, SEEDS = 6, 5, 20


def best_of_one_variable(seed: int) -> float:
    """Best value of the learning rate's own surface after rounds of asking."""
    proposer, seen = OptunaSampler(seed), []
    for turn in range(ROUNDS):
        known = [each.value for each in seen]
        found = proposer.propose(ask(RANGED, tuple(known), base=0.09, count=COUNT, seen=tuple(seen), turn=turn))
        seen += [Seen(value, surface(value, 24)) for value in found]
    return max(each.gain for each in seen)


def best_of_joint(seed: int) -> float:
    proposer, seen = OptunaSampler(seed), []
    for turn in range(ROUNDS):
        tried = [values for values, _ in seen]
        question = JointAsk({"rate": RANGED, "leaves": LEAVES}, COUNT, lambda values, t=tried: values in t, seen, turn)
        seen += [(values, surface(values["rate"], values["leaves"])) for values in proposer.propose_joint(question)]
    assert len(seen) == ROUNDS * COUNT
    return max(primary for _, primary in seen)


def best_of_random(seed: int, *, joint: bool) -> float:
    """As many draws from the same ranges."""
    rng = np.random.default_rng(seed)
    rates = 10 ** rng.uniform(-3, -1, ROUNDS * COUNT)
    leaves = 2 ** rng.uniform(2, 9, ROUNDS * COUNT) if joint else np.full(ROUNDS * COUNT, 24.0)
    return max(surface(rate, leaf) for rate, leaf in zip(rates, leaves, strict=True))


def test_optuna_beats_random_search_at_equal_trials() -> None:
    """Median of 20 seeds, one variable and two at once."""
    for ours, joint in ((best_of_one_variable, False), (best_of_joint, True)):
        asked = statistics.median(ours(seed) for seed in range(SEEDS))
        drawn = statistics.median(best_of_random(seed, joint=joint) for seed in range(SEEDS))
        assert asked > drawn, (joint, asked, drawn)


def test_importances_name_what_matters() -> None:
    rng = np.random.default_rng(0)
    scored: list[tuple[Mapping[str, Any], float]] = []
    for _ in range(40):
        values = {"rate": float(10 ** rng.uniform(-3, -1)), "leaves": int(2 ** rng.uniform(2, 9))}
        scored.append((values, -abs(math.log(values["rate"] / 0.01)) + 0.01 * rng.normal()))
    found = OptunaSampler(0).importances({"rate": RANGED, "leaves": LEAVES}, scored)
    assert found["rate"] > 5 * found["leaves"]
    assert OptunaSampler(0).importances({"rate": RANGED, "leaves": LEAVES}, scored[:3]) == {}
    assert ListedSampler().importances({"rate": RANGED}, scored) == {}


def planted(seed: int, results: int, weight: float, noise: float) -> list[tuple[Mapping[str, Any], float]]:
    """Results all over the space: ``leaves`` matters by ``weight``, ``rows`` does not."""
    rng = np.random.default_rng(seed)
    leaves, others = 2 ** rng.uniform(2, 9, results), rng.integers(15, 26, results)
    return [
        ({"leaves": int(leaf), "rows": int(row)}, -weight * abs(math.log2(leaf / 24)) + noise * rng.normal())
        for leaf, row in zip(leaves, others, strict=True)
    ]


def first_places(results: int, weight: float, noise: float) -> list[str]:
    """Which dimension importances put first, in 20 planted cases; "" where they are not told."""
    rows = Dimension(path="model.params.min_data_in_leaf", range=Range(low=15, high=25, integer=True))
    found = []
    for seed in range(SEEDS):
        told = OptunaSampler(0).importances({"leaves": LEAVES, "rows": rows}, planted(seed, results, weight, noise))
        found.append(max(told, key=lambda name: told[name], default=""))
    return found


def test_importances_are_told_where_they_are_right() -> None:
    """Ten results of two dimensions: of a plain response half are told, and those are right."""
    told = [name for name in first_places(10, 1.0, 0.1) if name]
    assert len(told) >= SEEDS / 2
    assert told.count("leaves") >= 0.9 * len(told), told


def test_importances_of_few_results_are_not_told() -> None:
    assert set(first_places(9, 1.0, 0.1)) == {""}


@pytest.mark.long
def test_importances_of_one_variable_rounds_would_name_the_wrong_variable() -> None:
    """Why joint rounds alone are asked: each variable varies around the best so far, and only ``leaves`` matters."""
    dimensions = {"rows": Dimension(path="model.params.min_data_in_leaf", range=Range(low=15, high=25, integer=True))}
    dimensions |= {"leaves": LEAVES, "rate": RANGED}
    right = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        base: dict[str, Any] = {"leaves": 31, "rows": 20, "rate": 0.01}
        scored: list[tuple[Mapping[str, Any], float]] = [(base, -abs(math.log2(31 / 24)))]
        for name in ["rows", "leaves", "rate"] * 2:
            drawn = {
                "leaves": 2 ** rng.uniform(2, 9, 4),
                "rows": rng.integers(15, 26, 4),
                "rate": rng.uniform(-3, -1, 4),
            }
            for value in drawn[name]:
                own = {**base, name: float(10**value) if name == "rate" else int(value)}
                scored.append((own, -abs(math.log2(own["leaves"] / 24)) + 0.1 * rng.normal()))
            base = dict(max(scored, key=lambda each: each[1])[0])
        told = OptunaSampler(0).importances(dimensions, scored)
        right += max(told, key=lambda name: told[name], default="") == "leaves"
    assert right <= SEEDS / 4, right


def test_importances_of_noise_are_rarely_told() -> None:
    told = [name for name in first_places(20, 0.0, 1.0) if name]
    assert len(told) <= SEEDS / 3, told
