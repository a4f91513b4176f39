"""Who is stopped depends on scores alone, rarely by mistake, and never the base."""

import numpy as np

from numerai_ray.metrics.significance import Series
from numerai_ray.runners.pruning import MIN_ERAS, PruningRule, Stopped, stopped

FOLDS = (4, 3, 2, 1)
ERAS = 60


def rule(*may_stop: str) -> PruningRule:
    return PruningRule(frozenset(may_stop), FOLDS, overlap_eras=4)


def market(seed: int) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {fold: generator.normal(0.003, 0.015, ERAS) for fold in FOLDS}


def trial(shared: dict[int, np.ndarray], gain: float, seed: int, spread: float = 0.004) -> dict[int, Series | None]:
    """A variant that shares the market with the others and differs by its gain and noise of its own."""
    generator = np.random.default_rng(seed)
    return {
        fold: Series(range(100 * fold, 100 * fold + ERAS), values + gain + generator.normal(0, spread, ERAS))
        for fold, values in shared.items()
    }


def test_a_hopeless_variant_stops_at_the_first_look_and_says_why() -> None:
    shared = market(0)
    arrived = {"base": trial(shared, 0.0, 1), "bad": trial(shared, -0.006, 2), "good": trial(shared, 0.0005, 3)}
    found = stopped(arrived, rule("bad", "good"))
    assert set(found) == {"bad"}
    assert found["bad"].folds == 1
    assert found["bad"].eras == ERAS
    assert str(found["bad"]).startswith(f"pruned after 1 fold: BMC {found['bad'].behind:.5f} behind ")


def test_neither_the_base_nor_the_best_ever_stops() -> None:
    shared = market(1)
    arrived = {"base": trial(shared, -0.02, 1), "baseline": trial(shared, -0.03, 2), "good": trial(shared, 0.0, 3)}
    assert stopped(arrived, rule("good")) == {}


def test_order_of_arrival_decides_nothing() -> None:
    shared = market(2)
    whole = {"base": trial(shared, 0.0, 1), **{f"v{i}": trial(shared, -0.0015 * i, 10 + i) for i in range(5)}}
    may = rule(*(f"v{i}" for i in range(5)))
    final = stopped(whole, may)
    assert final
    generator = np.random.default_rng(3)
    for _ in range(20):
        arrived: dict[str, dict[int, Series | None]] = {name: {} for name in whole}
        told: dict[str, Stopped] = {}
        pieces = [(name, fold) for name in whole for fold in FOLDS]
        for at in generator.permutation(len(pieces)):
            name, fold = pieces[at]
            if name in told:
                continue  # its other folds are cancelled and never arrive
            arrived[name][fold] = whole[name][fold]
            now = stopped(arrived, may)
            assert now.items() >= told.items()
            told = now
        assert told == final


def test_a_failed_trial_stands_in_nobodys_way() -> None:
    shared = market(4)
    arrived = {"base": trial(shared, 0.0, 1), "bad": trial(shared, -0.01, 2), "failed": {4: None}}
    assert set(stopped(arrived, rule("bad", "failed"))) == {"bad"}


def test_too_few_eras_and_unknown_scores_stop_nobody() -> None:
    few = {fold: np.zeros(MIN_ERAS // 4 - 1) for fold in FOLDS}
    short = {
        name: {fold: Series(range(100 * fold, 100 * fold + len(few[fold])), few[fold] + gain) for fold in FOLDS}
        for name, gain in (("base", 0.0), ("bad", -1.0))
    }
    assert stopped(short, rule("bad")) == {}
    unknown = {name: {fold: Series([fold], [np.nan]) for fold in FOLDS} for name in ("base", "bad")}
    assert stopped(unknown, rule("bad")) == {}


def test_equal_variants_are_rarely_stopped() -> None:
    """The level is a promise: of variants as good as the best, at most so many are stopped in a whole round."""
    rounds, wrong = 150, 0
    for seed in range(rounds):
        shared = market(1000 + seed)
        arrived = {"base": trial(shared, 0.0, 10 * seed), "same": trial(shared, 0.0, 10 * seed + 1)}
        wrong += len(stopped(arrived, rule("same")))
    assert wrong <= 5  # 1 % of 150, and what chance adds to it in one of a thousand runs
