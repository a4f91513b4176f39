"""What an experiment is going to do, before anything is trained: stages, first rounds, fits, time and memory."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numerai_ray.config import Config
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import EnsemblePlan, Stage
from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.rounds.candidates import Search, Setup, identity
from numerai_ray.rounds.certainty import Certainty, certainty
from numerai_ray.rounds.policy import (
    ConfirmRound,
    FinalRound,
    HoldoutRound,
    InterpretRound,
    ReplicateRound,
    Round,
    ScaleRound,
    ScoutRound,
)
from numerai_ray.rounds.time_model import AROUND_S, Calibration, expected
from numerai_ray.runners.ray.shared_data import workload
from numerai_ray.system.resources import Machine, plan_resources
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, is_stored

# Rounds that are shown and counted; later ones depend on what these find.
FIRST_ROUNDS = 4


@dataclass(frozen=True)
class StageForecast:
    """One stage: what its data are, what one config of it costs, and what else is to be known of it.

    Of its file it keeps to ``eras``, the last of them ``last_era``; ``newer_eras`` came after that.
    """

    stage: Stage
    file: str
    feature_set: str
    features: int
    eras: int
    last_era: int
    newer_eras: int
    rows: int
    fits_a_config: int
    memory_bytes: int
    cores_a_fit: int
    gpus_a_fit: float
    fit_bytes: int
    fits_at_once: int
    engines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoundForecast:
    """One round: its lines, and its fits by where they come from. ``seconds`` is None without a calibration.

    Of the new fits ``fits_for_models`` are stored, but without the models that the plan wants kept.
    """

    stage: Stage
    dimension: str | None
    variants: tuple[str, ...]
    fits_new: int
    fits_stored: int
    fits_shared: int
    fits_for_models: int
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """All of it; ``seconds`` of a run of the listed rounds, from the command's start to its end, on ``cores``."""

    stages: tuple[StageForecast, ...]
    rounds: tuple[RoundForecast, ...]
    machine: Machine
    seconds: float | None
    memory_bytes: int
    cores: int
    certainty: Certainty | None = None
    ensemble: EnsemblePlan | None = None


@dataclass(frozen=True)
class Outlook:
    """What a forecast looks at: the fits of ``store``, and the results of ``baselines`` that were run for all."""

    loaded: LoadedPlan
    search: Search
    catalog: Catalog
    store: FitStore
    machine: Machine
    baselines: BaselineStore | None = None
    reader: ScoreReader | None = None


def first_setups(outlook: Outlook) -> list[Setup]:
    """The rounds that are certain to be asked for first, each dimension around the same base, and those at the end."""
    search, history = outlook.search, outlook.search.history
    base = history[-1].decision.changes if history else {}
    steps: list[Round] = []
    if "interpret" in outlook.loaded.stages and not history:
        steps.append(InterpretRound())
    tried = {record.dimension for record in history}
    open_names = [name for name in search.dimensions if name not in tried and search.has_values(name, base)]
    steps += [ScoutRound(name, base) for name in open_names[:FIRST_ROUNDS]]
    setups = []
    for step in steps:
        setups.append(search.setup(step))
        if outlook.loaded.plan.rounds.accept == "replicated" and isinstance(step, ScoutRound):
            setups += _again(search, setups[-1])
    return [*setups, *(search.setup(step) for step in _later(outlook.loaded, history, base or _some_winner(setups)))]


def _again(search: Search, setup: Setup) -> list[Setup]:
    """The replication of a round, as if one of its variants won."""
    best = next((each for each in setup.candidates if each.role == "variant"), None)
    if best is None:
        return []
    return [search.setup(ReplicateRound(setup.dimension, setup.base_changes, best.name, best.changes))]


def _some_winner(setups: Sequence[Setup]) -> Mapping[str, Any]:
    """What stands for the winner before there is one: a variant of the first round. None that wins costs less."""
    scouts = (setup for setup in setups if setup.stage == "scout")
    return next((each.changes for setup in scouts for each in setup.candidates if each.role == "variant"), {})


def _later(loaded: LoadedPlan, history: Sequence[RoundRecord], base: Mapping[str, Any]) -> list[Round]:
    done = {record.stage for record in history}
    later: dict[Stage, Round] = {
        "confirm": ConfirmRound(base or None, "at the end"),
        "scale": ScaleRound(base),
        "final": FinalRound(base),
        "holdout": HoldoutRound(base),
    }
    return [step for stage, step in later.items() if stage in loaded.stages and stage not in done]


def configs_to_measure(setups: Iterable[Setup]) -> list[Config]:
    """Every config that the listed rounds train."""
    return [each.config for setup in setups for each in setup.candidates]


def forecast(outlook: Outlook, setups: Sequence[Setup], known: Calibration) -> Forecast:
    """Count the fits of the listed rounds, each where it is first asked for, and tell how long they take."""
    planned: set[str] = set()
    rounds = []
    cores = known.cores or outlook.machine.cores
    for setup in setups:
        plans, lent = _plans(outlook, setup)
        fits = {fit.key: fit for plan in plans for fit in plan.fits}
        asked = sum(len(plan.fits) for plan in plans)
        stored = {key for key, fit in fits.items() if is_stored(outlook.store, fit)}
        new = fits.keys() - planned - stored
        told = expected(known, plans, _among(frozenset(new)), cores)
        rounds.append(
            RoundForecast(
                stage=setup.stage,
                dimension=setup.dimension,
                variants=tuple(each.name for each in setup.candidates),
                fits_new=len(new),
                fits_stored=len(stored) + lent,
                fits_shared=asked - len(new) - len(stored),
                fits_for_models=sum(outlook.store.has(key) for key in new),
                seconds=None if not known.speeds else 0.0 if told is None else told.seconds,
            )
        )
        planned |= new
    stages = tuple(_stage(outlook, stage) for stage in outlook.loaded.stages)
    seconds = [each.seconds for each in rounds if each.seconds is not None]
    start_s = known.start_s if any(each.fits_new for each in rounds) else 0.0
    around_s = AROUND_S + start_s if rounds else 0.0
    return Forecast(
        stages=stages,
        rounds=tuple(rounds),
        machine=outlook.machine,
        seconds=round(sum(seconds) + around_s, 1) if len(seconds) == len(rounds) else None,
        memory_bytes=max(each.memory_bytes for each in stages),
        cores=cores,
        certainty=_certainty(outlook),
        ensemble=outlook.loaded.plan.stages.ensemble,
    )


def _certainty(outlook: Outlook) -> Certainty | None:
    """What the stages can tell from noise; None where nothing reads results."""
    if outlook.reader is None:
        return None
    plans = [
        (stage, outlook.catalog.plan("forecast", stage, outlook.loaded.config(stage, {}), kept=stage == "holdout"))
        for stage in outlook.loaded.stages
    ]
    return certainty(outlook.loaded, plans, outlook.catalog, outlook.search.history, outlook.reader)


def _among(keys: frozenset[str]) -> Callable[[FitSpec], bool]:
    return lambda fit: fit.key in keys


def _plans(outlook: Outlook, setup: Setup) -> tuple[list[VariantPlan], int]:
    """The trials that a round runs, and the fits of one that it need not run: a baseline whose results are kept."""
    known = outlook.search.known
    plans = {
        each.name: outlook.catalog.plan("forecast", each.name, each.config, kept=setup.stage == "holdout")
        for each in setup.candidates
        if identity(each.config, setup.stage) not in known
    }
    lent = outlook.search.lent(setup)
    if lent is None or outlook.baselines is None or outlook.baselines.find(plans[lent.name]) is None:
        return list(plans.values()), 0
    return [plan for name, plan in plans.items() if name != lent.name], len(plans[lent.name].fits)


def _stage(outlook: Outlook, stage: Stage) -> StageForecast:
    config = outlook.loaded.config(stage, {})
    plan = outlook.catalog.plan("forecast", stage, config, kept=stage == "holdout")
    features = max(len(fit.features) for fit in plan.fits)
    eras = outlook.catalog.eras(config.data)
    rows = int(plan.index.starts_of(eras)[-1])
    work = workload(plan.fits)
    # What a cluster is asked for is told here too, where there may be no GPU.
    gpus = max(outlook.machine.gpus, math.ceil(work.needs.gpus))
    resources = plan_resources(replace(outlook.machine, gpus=gpus), work)
    return StageForecast(
        stage=stage,
        file=config.data.file,
        feature_set=str(config.data.feature_set),
        features=features,
        eras=len(eras),
        last_era=eras[-1],
        newer_eras=len(plan.index.eras) - len(eras),
        rows=rows,
        fits_a_config=len(plan.fits),
        memory_bytes=resources.peak_bytes,
        cores_a_fit=work.needs.cores or resources.threads_per_fit,
        gpus_a_fit=work.needs.gpus,
        fit_bytes=resources.fit_bytes,
        fits_at_once=resources.fits_at_once,
        engines=plan.engines,
        notes=(*_nothing_new(outlook.loaded, stage), *plan.notes),
    )


def _nothing_new(loaded: LoadedPlan, stage: Stage) -> Iterator[str]:
    """Whether a stage scores what an earlier one has scored already; a holdout scores other eras."""
    if stage in ("interpret", "scout", "holdout"):
        return
    own = loaded.config(stage, {}).fingerprint()
    earlier = [each for each in loaded.stages[: loaded.stages.index(stage)] if each != "interpret"]
    same = next((each for each in reversed(earlier) if loaded.config(each, {}).fingerprint() == own), None)
    if same is not None:
        where = f"data, feature_set or overrides under stages.{stage}"
        yield f"changes nothing against {same}, whose results it repeats; set {where} if it is to tell more"
