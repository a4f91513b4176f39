"""Assembly: a fold's out-of-fold prediction, made of its fits: seeds, targets, members mixed or stacked, then post."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from numerai_ray.config import Config, PostConfig
from numerai_ray.data.dataset import Columns
from numerai_ray.data.folds import one_row_eras
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.post import Stack, StackPlan, blend, rank, stack
from numerai_ray.training.post_steps.base import PostFold, SlabsOf
from numerai_ray.training.post_steps.registry import after_steps
from numerai_ray.training.rows import take
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import StoredFit

Floats = npt.NDArray[np.float64]


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
    looks = any(post.benchmarks for post in posts)
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
    """(n,): a fold's ``prediction`` after the steps that the ``post`` section at ``path`` asks for."""
    fold = inputs.plan.folds.trainable[position]
    return after_steps(prediction, post, PostFold(inputs.plan, fold, inputs.columns, path, inputs.slabs, inputs.parts))
