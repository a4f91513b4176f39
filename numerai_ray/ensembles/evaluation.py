"""Evaluation: blends chosen on earlier eras and reported on later ones, block by block; the last block once.

The later eras are cut into blocks. For each of them, strategy, members, weights and the single candidate that the
blend is compared with are chosen on eras that end an embargo before the block begins, as labels of nearer eras overlap
its own: weights on all of these eras, the strategy by what each strategy scored in the blocks before (the first block
takes :data:`~numerai_ray.ensembles.search.FIRST`). So every block is reported on by a blend that nothing of it had a
part in, and the difference to the single candidate over all blocks is one comparison, not the best of many.

What is delivered is the blend of the last block: chosen on everything before it, scored there once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from numerai_ray.ensembles.blends import Blend, rounded
from numerai_ray.ensembles.search import FIRST, Limits, Strategy, best_single, found_blends
from numerai_ray.ensembles.statistics import EraStatistics
from numerai_ray.errors import RequestError
from numerai_ray.metrics.era_columns import FloatArray

# Of all that decides an ensemble: who is a candidate, strategies, blocks. Another version means that the same
# experiments may give another ensemble; what an older one decided stays as it is.
RULE = 1
BLOCKS = 4
# The first choice is made on this share of the eras.
FIRST_SHARE = 0.4
# Fewer eras to choose on, or to report on in a block, tell nothing.
LEAST_CHOICE, LEAST_BLOCK = 20, 5


@dataclass(frozen=True)
class Block:
    """Positions of eras: those that are ``reported`` on, and those that everything was ``chosen`` on."""

    chosen: slice
    reported: slice


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen for a block.

    ``single`` is the best candidate of the same eras, ``plain`` the same with the best that can be done to it.
    """

    block: Block
    strategy: Strategy
    blend: Blend
    single: Blend
    plain: Blend


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Choices of all blocks, oldest first.

    ``strategies`` has each strategy's mean BMC in the blocks before the last.
    """

    choices: tuple[Choice, ...]
    strategies: Mapping[Strategy, float]

    @property
    def delivered(self) -> Choice:
        """The choice that is trained: that of the last block."""
        return self.choices[-1]

    @property
    def reported(self) -> slice:
        """Positions of all eras that are reported on."""
        return slice(self.choices[0].block.reported.start, self.choices[-1].block.reported.stop)


def rolling_blocks(eras: Sequence[int] | NDArray[np.int64], count: int, embargo_eras: int) -> tuple[Block, ...]:
    """The blocks of ascending ``eras``, equally long (the remainder joins the last).

    Raises:
        RequestError: too few eras; says how many there are.

    """
    numbers = np.asarray(eras, np.int64)
    first = int(np.ceil(FIRST_SHARE * len(numbers)))
    size = (len(numbers) - first) // count
    starts = [first + size * place for place in range(count)]
    stops = [*starts[1:], len(numbers)]
    blocks = tuple(
        Block(slice(0, before(numbers, start, embargo_eras)), slice(start, stop))
        for start, stop in zip(starts, stops, strict=True)
    )
    if size < LEAST_BLOCK or blocks[0].chosen.stop < LEAST_CHOICE:
        raise RequestError(
            f"{len(numbers)} eras in common are too few to choose an ensemble on earlier ones and report it on later "
            f"ones: {count} blocks of {max(size, 0)} eras, the first after {blocks[0].chosen.stop} to choose on "
            f"({LEAST_BLOCK} and {LEAST_CHOICE} are needed); lower --blocks, or give experiments on more eras"
        )
    return blocks


def before(eras: NDArray[np.int64], start: int, embargo_eras: int) -> int:
    """How many of the ``eras`` end before the embargo of the one at position ``start`` begins."""
    return int(np.searchsorted(eras, eras[start] - embargo_eras, side="left"))


def walk_forward(stats: EraStatistics, limits: Limits, embargo_eras: int, blocks: int = BLOCKS) -> Evaluation:
    """Choose for each block what the module's text says, by the approximate scores of the statistics.

    Raises:
        RequestError: too few eras.

    """
    choices: list[Choice] = []
    # What every strategy scored on the eras of earlier blocks, by position of the era.
    scored: dict[Strategy, FloatArray] = {}
    means: dict[Strategy, float] = {}
    for block in rolling_blocks(stats.eras, blocks, embargo_eras):
        found = found_blends(stats.of(block.chosen), limits)
        seen = slice(choices[0].block.reported.start, block.chosen.stop) if choices else slice(0, 0)
        known = seen.stop - seen.start > 0
        means = {each: float(scored[each][seen].mean()) for each in found} if known else {}
        mixing = [each for each in found if each.method != "single"]
        strategy = max(mixing, key=lambda each: means[each]) if known else FIRST
        singles = [each for each in found if each.method == "single"]
        plain = max(singles, key=lambda each: means[each]) if known else Strategy("single")
        single = Blend((best_single(stats.of(block.chosen)),), (1.0,))
        choices.append(Choice(block, strategy, rounded(found[strategy]), single, found[plain]))
        for each, blend in found.items():
            values = scored.setdefault(each, np.full(len(stats.eras), np.nan))
            values[block.reported] = stats.of(block.reported).per_era(blend)
    return Evaluation(tuple(choices), means)


def refused_blend(stats: EraStatistics, choice: Choice, limits: Limits) -> Blend | None:
    """What the choice's strategy finds on the same eras if the container took more; None where it takes that."""
    if not limits.binding:
        return None
    free = replace(limits, costs=None, room=None)
    found = rounded(found_blends(stats.of(choice.block.chosen), free)[choice.strategy])
    costs, room = limits.costs, limits.room
    if costs is None or room is None or (costs[list(found.members)].sum(axis=0) <= room).all():
        return None
    return found
