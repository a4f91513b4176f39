"""Honesty: what is chosen for a block does not know it, nor the eras whose labels overlap it."""

from dataclasses import replace

import ensemble_noise
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.ensemble_markets import PlantedSpec, noise_statistics, planted

from numerai_ray.ensembles.confirmation import confirm, judge_gain, scores_of
from numerai_ray.ensembles.evaluation import LEAST_CHOICE, rolling_blocks, walk_forward
from numerai_ray.ensembles.search import Limits
from numerai_ray.ensembles.statistics import EraStatistics, statistics_of
from numerai_ray.errors import RequestError
from numerai_ray.metrics.significance import verdict

GAP = 5


@given(st.integers(70, 400), st.integers(1, 8), st.sampled_from([1, 4]), st.sampled_from([5, 13]))
def test_blocks_are_apart_by_the_embargo_and_cover_the_later_eras_once(
    count: int, blocks: int, step: int, gap: int
) -> None:
    eras = np.arange(200, 200 + step * count, step)
    try:
        found = rolling_blocks(eras, blocks, gap)
    except RequestError as error:
        assert "too few" in str(error)
        return
    assert [block.reported.stop for block in found[:-1]] == [block.reported.start for block in found[1:]]
    assert found[-1].reported.stop == count
    for block in found:
        assert block.chosen.stop >= LEAST_CHOICE
        assert eras[block.reported.start] - eras[block.chosen.stop - 1] > gap
        if block.chosen.stop < block.reported.start:
            assert eras[block.reported.start] - eras[block.chosen.stop] <= gap, "no era more than needed is lost"


def with_other_eras(stats: EraStatistics, first: int) -> EraStatistics:
    """The same up to position ``first``, and the opposite from there on."""
    gain = stats.gain.copy()
    gain[first:] = -5 * gain[first:][:, ::-1]
    return replace(stats, gain=gain)


def test_nothing_of_a_block_nor_after_it_has_a_part_in_its_choice() -> None:
    stats = noise_statistics(200, 20, 3)
    found = walk_forward(stats, Limits(), GAP).choices
    for number, choice in enumerate(found):
        other = walk_forward(with_other_eras(stats, choice.block.chosen.stop), Limits(), GAP).choices
        assert [replace_block(each) for each in other[: number + 1]] == [
            replace_block(each) for each in found[: number + 1]
        ]
    changed = walk_forward(with_other_eras(stats, 40), Limits(), GAP).choices
    assert changed[-1].blend != found[-1].blend, "earlier eras do decide"


def replace_block(choice: object) -> tuple[object, ...]:
    return (choice.strategy, choice.blend, choice.single, choice.plain)  # type: ignore[attr-defined]


def test_a_planted_gain_is_clear_and_confirmed_exactly() -> None:
    panel, best = planted(PlantedSpec(eras=200, rows=300, candidates=15, seed=2))
    stats = statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)
    found = walk_forward(stats, Limits(), GAP)
    exact = confirm(panel, stats, found)
    judged = judge_gain(panel, found, exact, GAP - 1, 15)
    assert verdict(judged.to_single) == "clear gain"
    assert verdict(judged.to_equal) == "clear gain"
    assert judged.to_single.eras == found.reported.stop - found.reported.start
    assert 0 < judged.survives < 2
    blend = found.delivered.blend
    assert sum(w for m, w in zip(blend.members, blend.weights, strict=True) if best[m] > 0) > 0.8
    for choice in found.choices:
        where = choice.block.reported
        single = scores_of(panel, panel.prediction(choice.single.members[0])).bmc
        np.testing.assert_array_equal(exact.single.bmc[where], single[where])
    last = found.delivered.block.reported
    np.testing.assert_array_equal(exact.ensemble.bmc[last], exact.delivered.bmc[last])
    assert np.isnan(exact.ensemble.bmc[: found.reported.start]).all()
    assert exact.off_by_mean < 2e-3


def test_noise_is_not_called_a_gain_though_choosing_in_sample_would() -> None:
    """The benchmark in its short form: `python tests/benchmarks/ensemble_noise.py` measures 1,000 runs."""
    stats = [noise_statistics(200, 60, seed) for seed in range(25)]
    honest = np.sum([ensemble_noise.honest(each) for each in stats], axis=0)
    chosen = np.sum([ensemble_noise.in_sample(each) for each in stats], axis=0)
    assert max(honest) <= 5
    assert chosen[1] >= 15, "in sample most blends of noise have a BMC above 0"
