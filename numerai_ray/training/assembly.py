"""The linear parts of a round: variants that neutralize one prediction by different proportions solve it once.

Least squares are most of what a round without a fit to train has to do, see :mod:`numerai_ray.metrics.neutralization`.
They run on one BLAS thread, several eras side by side where there are cores for them: an era is too small for several
threads, which spend most of their time waiting for each other, all the more on a machine that has other work.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from numerai_ray.config import SCORE_BENCHMARK, Config, PostConfig
from numerai_ray.data.dataset import Columns
from numerai_ray.data.era_slabs import Slab, era_slabs
from numerai_ray.data.eras import Fold
from numerai_ray.data.folds import one_row_eras
from numerai_ray.metrics.era_columns import EraMatrix, by_era, gaussianize
from numerai_ray.metrics.neutralization import linear_part, remove_part
from numerai_ray.training.post import Stack, StackPlan, blend, rank, stack
from numerai_ray.training.rows import take
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import StoredFit

Floats = npt.NDArray[np.float64]
# Names of features -> their values in each era of a fold, in order.
SlabsOf = Callable[[Sequence[str]], Iterator[Slab]]
# Four folds of full data are 50 MB; beyond this the oldest go.
ROOM_BYTES = 400 * 2**20


class LinearParts:
    """Found parts by prediction and by what it is made neutral to; the round's own, and gone with it.

    ``threads`` is how many eras whoever solves may solve side by side.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._found: dict[tuple[str, Any], Floats] = {}

    def of(self, prediction: Floats, against: Any, solve: Callable[[], Floats]) -> Floats:
        """(n,): what ``solve`` gives for ``prediction`` (n,), solved once for equal predictions.

        ``against`` (hashable) tells apart eras and neutralizers.
        """
        key = (hashlib.sha256(np.ascontiguousarray(prediction).tobytes()).hexdigest(), against)
        if key not in self._found:
            with threadpool_limits(1, user_api="blas"):
                self._found[key] = solve()
            while sum(part.nbytes for part in self._found.values()) > ROOM_BYTES and len(self._found) > 1:
                del self._found[next(iter(self._found))]
        return self._found[key]


@dataclass(frozen=True)
class FoldWeights:
    """What a stack weighs its members with in one fold.

    ``weights`` are by member, their sizes add up to 1; ``fit_eras`` is how many eras they were learned from, and
    ``learned`` false where they are all alike, because those were too few or no member earned a weight.
    """

    fold: int
    weights: Mapping[str, float]
    fit_eras: int
    learned: bool


@dataclass(frozen=True, eq=False)
class Assembled:
    """A fold's out-of-fold ``prediction`` (n,), and the weights of its stack, None without one."""

    prediction: Floats
    weights: FoldWeights | None = None


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the folds of ``plan`` are put together from.

    ``fits`` are by key, ``columns`` the targets and benchmarks of the whole dataset. ``slabs`` gives features that
    predictions are made neutral to; they are read from their file without it. ``parts`` is what variants share that
    differ in a proportion alone. ``stacks`` are weights of stacks that are known already, by path and member.
    """

    plan: VariantPlan
    fits: Mapping[str, StoredFit]
    columns: Columns
    slabs: SlabsOf | None = None
    parts: LinearParts | None = None
    stacks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Level:
    """A config within a config: the whole (path ``""``), or a member that is an ensemble itself, ending in ``/``."""

    config: Config
    path: str = ""

    def below(self, name: str, member: Config) -> "Level":
        """A member of this level, as a level of its own."""
        return Level(member, f"{self.path}{name}/")


def is_assembled(plan: VariantPlan) -> bool:
    """Whether predictions are anything else than those of one fit a fold."""
    return len(plan.fits) > len(plan.fold_fits) or bool(plan.config.posts())


def is_stacked(plan: VariantPlan) -> bool:
    """Whether a fold's prediction takes the fits of the folds before it as well."""
    return bool(stack_levels(Level(plan.config)))


def stack_levels(level: Level) -> list[Level]:
    """The whole and members that learn weights, the innermost first."""
    ensemble = level.config.ensemble
    if ensemble is None:
        return []
    inner = [each for name, own in level.config.members().items() for each in stack_levels(level.below(name, own))]
    return [*inner, level] if ensemble.stack is not None else inner


def coverage_notes(plan: VariantPlan, eras: Sequence[int], prediction: Floats) -> tuple[str, ...]:
    """What is not predicted because ``post`` looks at a benchmark that is not there; nothing is filled in for it.

    ``prediction`` (n,) is that of all ``eras``, which ascend.
    """
    unknown = np.isnan(prediction)
    posts = plan.config.posts().values()
    neutral = any(post.neutralize is not None for post in posts)
    looks = any(post.blend or (post.neutralize and SCORE_BENCHMARK in post.neutralize.names) for post in posts)
    if not looks or not unknown.any():
        return ()
    rows = np.add.reduceat(unknown, plan.index.starts_of(eras)[:-1])
    alone = one_row_eras(plan.index, eras) if neutral else []  # told with the plan
    lacking = {era: count for era, count in zip(eras, rows.tolist(), strict=True) if count and era not in alone}
    if not lacking:
        return ()
    gone, count = list(lacking), sum(lacking.values())
    part = count / len(prediction)
    note = (
        f"post looks at a benchmark that {count:,} of {len(prediction):,} predicted rows ({part:.1%}) do "
        f"not have, in {len(gone)} of {len(eras)} eras from {gone[0]:04d} to {gone[-1]:04d}: they have no prediction "
        f"and no score"
    )
    return (note,)


def folds_needed(plan: VariantPlan, position: int) -> range:
    """Positions of the folds whose fits the fold at ``position`` is made of."""
    return range(0 if is_stacked(plan) else position, position + 1)


def assemble_fold(
    plan: VariantPlan,
    position: int,
    fits: Mapping[str, StoredFit],
    columns: Columns,
    slabs: SlabsOf | None = None,
    parts: LinearParts | None = None,
) -> Assembled:
    """Out-of-fold predictions of the fold at ``position`` of the trainable ones.

    Args:
        plan: the trial.
        position: of the fold among ``plan.folds.trainable``.
        fits: by key, those of every fold in :func:`folds_needed`.
        columns: targets and benchmarks of the whole dataset.
        slabs: features of each of the fold's eras by their names; read from their file unless given.
        parts: what variants share that differ in the proportion alone.

    """
    return assembled(Inputs(plan, fits, columns, slabs, parts), position)


def assembled(inputs: Inputs, position: int) -> Assembled:
    """The same of :class:`Inputs`."""
    config = inputs.plan.config
    mixed = _mixed(inputs, position, Level(config))
    return Assembled(posted(inputs, position, mixed.prediction, config.post), mixed.weights)


def _mixed(inputs: Inputs, position: int, level: Level) -> Assembled:
    """A level's prediction before its own ``post``."""
    starts = _starts(inputs.plan, position)
    known = inputs.stacks.get(level.path)
    if known is not None:
        members = member_columns(inputs, position, level)
        return Assembled(np.sum([known[name] * rank(each, starts) for name, each in members.items()], axis=0))
    if level.config.ensemble is not None and level.config.ensemble.stack is not None:
        return _stacked(inputs, position, level)
    return Assembled(mixture(member_columns(inputs, position, level), level.config, starts))


def member_columns(inputs: Inputs, position: int, level: Level) -> dict[str, Floats]:
    """A fold's prediction by member, after its own ``post``.

    That of a model is the mean over seeds of each target, then the mixture of its targets.
    """
    plan, found = inputs.plan, {}
    for name, member in level.config.members().items():
        path = level.path + name
        if name and member.ensemble is not None:
            column = _mixed(inputs, position, level.below(name, member)).prediction
        else:
            own = [spec for spec in plan.fold_fits[position] if spec.asked.member == path]
            by_target = [_mean_of(own, target, inputs.fits) for target in member.data.targets]
            column = _weighted(by_target, list(member.data.targets.values()), _starts(plan, position), level.config)
        # Without an ensemble the only member is the config itself, whose post comes last.
        found[name] = posted(inputs, position, column, member.post, path) if name else column
    return found


def _starts(plan: VariantPlan, position: int) -> npt.NDArray[np.int64]:
    return plan.index.starts_of(plan.folds.trainable[position].validation_eras)


def _mean_of(specs: Sequence[FitSpec], target: str, fits: Mapping[str, StoredFit]) -> Floats:
    predictions = [fits[spec.key].predictions for spec in specs if spec.target == target]
    return predictions[0] if len(predictions) == 1 else np.mean(predictions, axis=0)


def mixture(members: Mapping[str, Floats], config: Config, starts: npt.NDArray[np.int64]) -> Floats:
    """(n,): mean of the eras' ranks of ``members``, each (n,), by the ensemble's weights; one alone stays as it is."""
    weights = (config.ensemble.weights if config.ensemble else {}) or dict.fromkeys(members, 1.0)
    return _weighted(list(members.values()), [weights[name] for name in members], starts, config)


def _weighted(
    columns: Sequence[Floats], weights: Sequence[float], starts: npt.NDArray[np.int64], config: Config
) -> Floats:
    if len(columns) == 1:
        return columns[0]
    return blend(columns, weights, starts, config.ensemble.scale if config.ensemble else "rank")


def _stacked(inputs: Inputs, position: int, level: Level) -> Assembled:
    """A fold's stack: weights learned from the folds before it, whose predictions are out of fold themselves."""
    folds = inputs.plan.folds.trainable[: position + 1]
    found, parts = learned(inputs, range(position + 1), level)
    weights = dict(zip(parts[0], found.weights[-1].tolist(), strict=True))
    own_rows = len(next(iter(parts[-1].values())))
    return Assembled(
        np.asarray(found.prediction[-own_rows:]),
        FoldWeights(folds[-1].index, weights, int(found.fit_eras[-1]), bool(found.fitted[-1])),
    )


def learned(inputs: Inputs, positions: range, level: Level) -> tuple[Stack, list[dict[str, Floats]]]:
    """The stack of a level over folds, whose last one gets the weights, and the members' columns in each fold."""
    plan = inputs.plan
    folds = [plan.folds.trainable[each] for each in positions]
    parts = [member_columns(inputs, each, level) for each in positions]
    eras = tuple(era for fold in folds for era in fold.validation_eras)
    found = stack(
        [np.concatenate([part[name] for part in parts]) for name in parts[0]],
        take(inputs.columns.targets[plan.config.score.target], plan.index.row_ranges(eras)),
        plan.index.starts_of(eras),
        _stack_plan(plan, level.config, eras, (folds[-1].validation_eras,)),
    )
    return found, parts


def _stack_plan(plan: VariantPlan, config: Config, eras: Sequence[int], folds: Sequence[Sequence[int]]) -> StackPlan:
    """How a config's ensemble learns the weights of ``folds`` on ``eras``; ``ValueError`` where it stacks nothing."""
    ensemble, cv = config.ensemble, plan.config.cv
    if ensemble is None or ensemble.stack is None:
        raise ValueError("nothing to stack")
    return StackPlan(
        eras=eras,
        folds=folds,
        # Retained eras have no fixed length in weeks; the smallest gap of the folds is what is kept from labels.
        embargo_eras=cv.embargo_eras if cv.embargo_unit == "weeks" else plan.folds.gap_eras,
        method=ensemble.stack.method,
        penalty=ensemble.stack.penalty,
        min_fit_eras=ensemble.stack.min_fit_eras,
    )


def posted(inputs: Inputs, position: int, prediction: Floats, post: PostConfig, path: str = "") -> Floats:
    """(n,): a fold's ``prediction`` after the ``post`` section at ``path``: neutralized, blended, ranked.

    One thread of BLAS neutralizes, whoever calls: the last bit of the least squares depends on how many there are.
    """
    plan, columns = inputs.plan, inputs.columns
    index, fold = plan.index, plan.folds.trainable[position]
    ranges = index.row_ranges(fold.validation_eras)
    starts = index.starts_of(fold.validation_eras)
    if post.neutralize is not None:
        # Ranks, as the score looks at nothing else: the scale of a raw prediction would decide how much is linear.
        shape = by_era(gaussianize, prediction, starts)
        names = plan.neutralizers_of(path)
        benchmark = plan.config.score.benchmark if SCORE_BENCHMARK in post.neutralize.names else None
        matrix = _neutralizers(inputs, fold, names, benchmark)
        against = (index.fingerprint, fold.validation_eras, names, benchmark)
        parts = inputs.parts or LinearParts()
        threads = parts.threads
        part = parts.of(shape, against, lambda: linear_part(shape, matrix, starts, threads))
        prediction = remove_part(shape, part, post.neutralize.proportion)
    if post.blend:
        shares = {plan.config.benchmark(name): share for name, share in post.blend.items()}
        mixed = [prediction, *(take(columns.benchmarks[name], ranges) for name in shares)]
        prediction = blend(mixed, [1 - sum(shares.values()), *shares.values()], starts)
    return rank(prediction, starts) if post.rank else prediction


def _neutralizers(inputs: Inputs, fold: Fold, names: Sequence[str], benchmark: str | None) -> EraMatrix:
    """What the fold's predictions are made neutral to: features, a benchmark, or both; eras are asked for in order."""
    index = inputs.plan.index
    ranges = [index.row_ranges([era])[0] for era in fold.validation_eras]
    column = None if benchmark is None else inputs.columns.benchmarks[benchmark]
    slabs = None
    if names:
        slabs = inputs.slabs(names) if inputs.slabs else era_slabs(index, names, fold.validation_eras)

    def of_era(position: int) -> npt.NDArray[Any]:
        rows = slice(*ranges[position])
        parts: list[npt.NDArray[Any]] = [] if slabs is None else [next(slabs)]
        if column is not None:
            parts.append(column[np.newaxis, rows])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return of_era
