"""What an export trains, and how the trained models become one recipe and one expected prediction.

The recipe is written for the container; the expected prediction comes from our own pipeline's functions. That both
are the same is what ``verify`` shows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config import SCORE_BENCHMARK, Config, PostConfig
from numerai_ray.data.dataset import Columns, load_columns
from numerai_ray.data.era_slabs import Slab
from numerai_ray.data.eras import Fold
from numerai_ray.errors import RequestError
from numerai_ray.submission.container.proof import ProofRows, proof_eras, proof_rows
from numerai_ray.submission.export.exporters import exporter_for
from numerai_ray.submission.export.packing import Recipe
from numerai_ray.submission.export.refit import RefitJob, Refitted
from numerai_ray.training.assembly import Inputs, Level, assembled, learned, stack_levels
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.post import rank
from numerai_ray.training.post_steps.registry import POST_STEPS
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, StoredFit, stored_fit

Floats = npt.NDArray[np.float64]
Part = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Assembly:
    """A config on its data: what to train, and the rows that the result is proved on.

    ``plan`` has one fold that trains on every era and predicts the proof's; ``stacks`` are the weights of each stack's
    members, by the path of the stack.
    """

    plan: VariantPlan
    proof: ProofRows
    stacks: Mapping[str, Mapping[str, float]]
    features: tuple[str, ...]
    benchmarks: tuple[str, ...]

    @property
    def config(self) -> Config:
        return self.plan.config

    @property
    def jobs(self) -> tuple[RefitJob, ...]:
        return tuple(RefitJob(spec, self.proof) for spec in self.plan.fits)

    def types(self) -> tuple[str, ...]:
        """Types of the models to train, sorted."""
        return tuple(sorted({spec.config.model.type for spec in self.plan.fits}))


def plan_refit(config: Config, catalog: Catalog, store: FitStore) -> Assembly:
    """What a config's refit needs, checked against the data.

    Raises:
        ConfigError: unknown model or parameters.
        DataError: a file, column or label is missing.
        RequestError: a model or a post step that cannot travel, or a stack without the fits that its weights are
            learned from.

    """
    folds = catalog.plan("refit", "the variant's config", config, to_run=False)
    for spec in folds.fits:
        exporter_for(spec.config.model.type)
    for key in (key for post in config.posts().values() for key in post.asked if key not in EXPORTED):
        raise RequestError(f"post.{key} cannot be exported: the pickle has no such step; export a variant without it")
    index = folds.index
    columns = load_columns(index, config.data, folds.targets, folds.benchmarks)
    eras = proof_eras(index, columns)
    plan = catalog.on_fold(folds, Fold(0, index.eras, eras))
    used = {name for spec in plan.fits for name in spec.features} | set(plan.neutralizers)
    read = [name for spec in plan.fits for name in spec.asked.read_benchmarks]
    features = tuple(name for name in index.columns if name in used)
    return Assembly(
        plan=plan,
        proof=proof_rows(index, columns, features, eras),
        stacks=stack_weights(folds, store, columns),
        features=features,
        benchmarks=tuple(dict.fromkeys((*_used_benchmarks(config), *read))),
    )


def recipe_of(assembly: Assembly, refits: Sequence[Refitted]) -> Recipe:
    """The expression that the pickle computes: mean of seeds, mixture of targets and members, then post."""
    made = dict(zip((spec.key for spec in assembly.plan.fits), refits, strict=True))
    config = assembly.config
    part = _mixture(assembly, Level(config), made)
    return Recipe(assembly.features, assembly.benchmarks, _posted(assembly, part, config.post))


def expected_prediction(assembly: Assembly, refits: Sequence[Refitted]) -> Floats:
    """(n,) what our pipeline submits for the proof's rows, ranked as a submission is."""
    fits = {spec.key: StoredFit(made.proof, {}) for spec, made in zip(assembly.plan.fits, refits, strict=True)}
    proof = assembly.proof
    plan = replace(assembly.plan, index=proof.index)
    starts = proof.index.era_starts

    def slabs(names: Sequence[str]) -> Iterator[Slab]:
        matrix = proof.matrix.select(names)
        return (matrix.slab(slice(*rows)) for rows in pairwise(starts.tolist()))

    made = assembled(Inputs(plan, fits, proof.columns, slabs, stacks=assembly.stacks), 0)
    return rank(made.prediction, starts)


def _mixture(assembly: Assembly, level: Level, made: Mapping[str, Refitted]) -> Part:
    """A level's expression before its own ``post``."""
    config = level.config
    members = {name: _member(assembly, level, name, member, made) for name, member in config.members().items()}
    stacked = assembly.stacks.get(level.path)
    if stacked is not None:
        return _blend(list(members.values()), [stacked[name] for name in members], "rank", normal=False)
    own = (config.ensemble.weights if config.ensemble else {}) or dict.fromkeys(members, 1.0)
    return _blend(list(members.values()), [own[name] for name in members], _scale(config))


def _scale(config: Config) -> str:
    return config.ensemble.scale if config.ensemble else "rank"


def _member(assembly: Assembly, level: Level, name: str, member: Config, made: Mapping[str, Refitted]) -> Part:
    path = level.path + name
    if name and member.ensemble is not None:
        part = _mixture(assembly, level.below(name, member), made)
    else:
        parts = []
        for target in member.data.targets:
            seeds = [
                _model(assembly, spec, made[spec.key])
                for spec in assembly.plan.fits
                if spec.asked.member == path and spec.target == target
            ]
            parts.append(seeds[0] if len(seeds) == 1 else {"do": "mean", "parts": seeds})
        part = _blend(parts, list(member.data.targets.values()), _scale(level.config))
    return _posted(assembly, part, member.post, path) if name else part


def _model(assembly: Assembly, spec: FitSpec, made: Refitted) -> Part:
    kind = spec.config.model.type
    return {
        "do": "model",
        "type": kind,
        "inside": exporter_for(kind).inside,
        "features": _positions(assembly, spec.features),
        "benchmarks": list(spec.asked.read_benchmarks),
        "missing": spec.config.data.missing,
        "payload": made.payload,
    }


def _posted(assembly: Assembly, part: Part, post: PostConfig, path: str = "") -> Part:
    """``part`` after the steps of ``post``, in their order."""
    asked = post.asked
    for step in POST_STEPS:
        if step.key in asked:
            part = EXPORTED[step.key](assembly, part, post, path)
    return part


def _neutralized(assembly: Assembly, part: Part, post: PostConfig, path: str) -> Part:
    names = post.neutralize.names if post.neutralize is not None else ()
    return {
        "do": "neutralize",
        "part": part,
        "features": _positions(assembly, assembly.plan.neutralizers_of(path)),
        "benchmarks": [assembly.config.score.benchmark] if SCORE_BENCHMARK in names else [],
        "proportion": post.neutralize.proportion if post.neutralize is not None else 0.0,
    }


def _blended(assembly: Assembly, part: Part, post: PostConfig, path: str) -> Part:  # noqa: ARG001 - one for all
    blend = post.blend or {}
    columns: list[Part] = [{"do": "benchmark", "column": assembly.config.benchmark(name)} for name in blend]
    shares = list(blend.values())
    return _blend([part, *columns], [1 - sum(shares), *shares], "rank")


# Key of a post step -> its expression. What is submitted is ranked anyway.
EXPORTED: Mapping[str, Callable[[Assembly, Part, PostConfig, str], Part]] = {
    "neutralize": _neutralized,
    "blend": _blended,
    "rank": lambda _assembly, part, _post, _path: part,
}


def _blend(parts: Sequence[Part], weights: Sequence[float], scale: str, *, normal: bool = True) -> Part:
    if len(parts) == 1:
        return parts[0]
    total = sum(weights) if normal else 1.0
    kept = [(each, weight / total) for each, weight in zip(parts, weights, strict=True) if weight]
    return {"do": "blend", "parts": [e for e, _ in kept], "weights": [w for _, w in kept], "scale": scale}


def _positions(assembly: Assembly, features: Sequence[str]) -> list[int] | None:
    """Where the features stand among all of the recipe's; None for all of them in their order."""
    if tuple(features) == assembly.features:
        return None
    where = {name: position for position, name in enumerate(assembly.features)}
    return [where[name] for name in features]


def _used_benchmarks(config: Config) -> tuple[str, ...]:
    """Benchmark columns that live predictions need after the models; what training alone looks at is not among them."""
    named = dict.fromkeys(name for post in config.posts().values() for name in post.benchmarks)
    return tuple(dict.fromkeys(map(config.benchmark, named)))


def stack_weights(plan: VariantPlan, store: FitStore, columns: Columns) -> dict[str, dict[str, float]]:
    """Weight by member of every stack, by its path; empty where the config stacks nothing.

    Raises:
        RequestError: the out-of-fold predictions that weights are learned from are not in the store.

    """
    levels = stack_levels(Level(plan.config))
    if not levels:
        return {}
    fits = {spec.key: stored_fit(store, spec) for spec in plan.fits}
    there = {key: fit for key, fit in fits.items() if fit is not None}
    if len(there) < len(fits):
        raise RequestError(
            f"the weights of a stack are learned from the variant's folds on this data, but "
            f"{len(fits) - len(there)} of {len(fits)} fits are not stored; "
            "run the variant on full data first (its final stage)"
        )
    weights = {}
    for level in levels:
        found, parts = learned(Inputs(plan, there, columns), range(len(plan.folds.trainable)), level)
        weights[level.path] = dict(zip(parts[0], found.weights[-1].tolist(), strict=True))
    return weights
