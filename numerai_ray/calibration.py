"""How long fits take here: a few trees of each kind of model are trained, and all of them are told from that.

Seconds of a fit on one thread are ``fixed + per_unit * cost``, where the cost of a fit is its rows times its trees
(:attr:`~numerai_ray.trial_plan.FitSpec.cost`). Two short fits of one fold give both numbers. Models that differ in
anything but their number of trees and learning rate are measured apart.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from numerai_ray.config import Config, fingerprint, validate
from numerai_ray.eras import Folds
from numerai_ray.fit_store import FitStore
from numerai_ray.fold_runner import InProcessRunner
from numerai_ray.looked import Looked
from numerai_ray.results import ExperimentPaths, read_json, write_json
from numerai_ray.search_space import with_changes
from numerai_ray.trial_plan import Catalog, FitSpec, TrialPlan

# Trees of the two short fits.
FEW, MORE = 4, 20
# Two fits on two cores take 1.8 times less than one after the other (measured, see resource_plan).
PARALLEL = 0.9
# What a round costs beside its fits: starting trials, scoring, the report.
ROUND_S = 3.0
# What starting Ray takes on two cores, once a run (measured: 7 to 8 s).
RAY_START_S = 7.0
TREES = "model.params.n_estimators"
# What changes a fit's length and nothing else about its speed.
LENGTH = ("n_estimators", "learning_rate", "random_state")


@dataclass(frozen=True)
class Speed:
    """Seconds of a fit on one thread: ``fixed_s`` plus ``per_unit_s`` times its cost."""

    fixed_s: float
    per_unit_s: float

    def seconds(self, cost: float) -> float:
        return self.fixed_s + self.per_unit_s * cost


def speed_key(config: Config, features: int) -> str:
    """Names what is equally fast: one model with one set of parameters on so many features."""
    params = {name: value for name, value in config.model.params.items() if name not in LENGTH}
    return fingerprint([config.model.type, params, config.data.missing, features])


def calibrate(catalog: Catalog, configs: Iterable[Config], known: Mapping[str, Speed]) -> dict[str, Speed]:
    """``known`` and the speed of every config that it lacks."""
    speeds = dict(known)
    for config in configs:
        plan = catalog.plan("calibration", "calibration", config)
        key = speed_key(config, len(plan.fits[-1].features))
        if key not in speeds:
            speeds[key] = _measure(catalog, config)
    return speeds


def _measure(catalog: Catalog, config: Config) -> Speed:
    few, more = (_short_fit(catalog, config, trees) for trees in (FEW, MORE))
    if more[0] <= few[0]:  # a model without trees: its one fit is all there is to know
        return Speed(0.0, few[1] / max(few[0], 1.0))
    per_unit = max(more[1] - few[1], 1e-9) / (more[0] - few[0])
    return Speed(max(few[1] - per_unit * few[0], 0.0), per_unit)


def _short_fit(catalog: Catalog, config: Config, trees: int) -> tuple[float, float]:
    """Cost and seconds of the last fold with so many trees, on one thread; the second of two, with bins made."""
    values = (
        with_changes(config.to_json(), {TREES: trees}) if "n_estimators" in config.model.params else config.to_json()
    )
    plan = catalog.plan("calibration", "calibration", validate(Config, values, "calibration"))
    fold = plan.folds.trainable[-1]
    fits = tuple(spec for spec in plan.fits if spec.fold.index == fold.index)
    last = replace(plan, folds=Folds((fold,), ()), fits=fits, looked=Looked())
    with tempfile.TemporaryDirectory() as folder:
        runner = InProcessRunner(FitStore(Path(folder) / "first"), threads=1)
        for turn in ("first", "second"):
            runner.store = FitStore(Path(folder) / turn)
            outcome = runner.run([last], lambda _: None)["calibration"]
    return sum(spec.cost for spec in fits), sum(record.seconds for record in outcome.folds)


def estimated_seconds(speeds: Mapping[str, Speed], plans: Sequence[TrialPlan], cores: int) -> float | None:
    """Wall seconds of a round of these plans, each fit once; None where no speed or no number of cores is known.

    A model that was not measured is taken to be as fast as the slowest that was.
    """
    if not speeds or not cores:
        return None
    fits = {fit.key: fit for plan in plans for fit in plan.fits}
    slowest = max(speeds.values(), key=lambda speed: speed.per_unit_s)
    total = sum(speeds.get(_key(fit), slowest).seconds(fit.cost) for fit in fits.values())
    at_once = max(1, min(cores, len(fits)))
    return round(ROUND_S + total / max(1.0, at_once * PARALLEL), 3)


def _key(fit: FitSpec) -> str:
    return speed_key(fit.config, len(fit.features))


def read_calibration(paths: ExperimentPaths) -> dict[str, Speed]:
    """What `plan` measured in this experiment; empty when it did not run."""
    return {key: Speed(**value) for key, value in read_json(paths.calibration).items()}


def write_calibration(paths: ExperimentPaths, speeds: Mapping[str, Speed]) -> None:
    write_json(paths.calibration, {key: asdict(speed) for key, speed in speeds.items()})
