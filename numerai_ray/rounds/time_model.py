"""How long rounds take here, told from what a few short ones took (:mod:`numerai_ray.rounds.calibrate` runs them).

A fit takes ``fixed + steps * (step + row_step * rows)``: reading its rows, then trees (or epochs), each of which costs
something by itself and something for every row. A round takes its own start, the fits as they fill the cores, the
costliest first, and what is made of predictions: putting together, scoring, looking at what they lean on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from heapq import heapreplace
from statistics import median

from pydantic import TypeAdapter, ValidationError

from numerai_ray.config import fingerprint
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.system.json_text import read_json, write_json
from numerai_ray.training.assembly import is_assembled
from numerai_ray.training.batches import trainings
from numerai_ray.training.spec import STEPS, FitSpec, VariantPlan

# What changes a fit's length, or nothing about its time.
NOT_ITS_SPEED = {*STEPS, "learning_rate", "eta", "seed", "random_seed", "random_state"}
# A second thread brings a fit two thirds of what the first does (measured, see resource_plan).
MORE_THREAD = 2 / 3
# What a round takes that trains nothing: it needs no Ray.
STORED_ROUND_S = 0.5
# What a run takes around its rounds: Python's start, Tune's processes, the report's last pictures, Ray's end.
AROUND_S = 6.0


@dataclass(frozen=True)
class Speed:
    """Seconds of a fit on one thread, beside as many others as there are cores."""

    fixed_s: float
    step_s: float
    row_step_s: float

    def seconds(self, fit: FitSpec) -> float:
        return self.fixed_s + fit.steps * (self.step_s + self.row_step_s * fit.train_rows)


@dataclass(frozen=True)
class Calibration:
    """What was measured, on so many ``cores``.

    ``speeds`` of fits are by :func:`speed_key`, and core-seconds that a predicted row takes afterwards by
    :func:`after_key`. ``round_s`` is what a round takes beside both, ``start_s`` what the first takes more: Ray's
    start, and its workers' imports.
    """

    speeds: Mapping[str, Speed] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    round_s: float = 0.0
    start_s: float = 0.0
    cores: int = 0


_CALIBRATION = TypeAdapter(Calibration)


@dataclass(frozen=True)
class Expected:
    """Wall seconds of a round, and what it takes more when it is the first that trains."""

    seconds: float
    start_s: float

    def in_all(self, *, started: bool) -> float:
        """Seconds of the round, with the start where it was this round's."""
        return round(self.seconds + (self.start_s if started else 0.0), 3)


def speed_key(fit: FitSpec) -> str:
    """Names what is equally fast, after what it is most like: an engine's parameters on a file's features."""
    config, engine = fit.config, fit.engine.name or fit.config.model.type
    params = {k: v for k, v in fit.model.canonical_params(config.model.params).items() if k not in NOT_ITS_SPEED}
    return f"{engine}/{len(fit.features)}/{fingerprint([params, config.data.missing, fit.index.n_rows])}"


def after_key(plan: VariantPlan) -> str:
    """Names what takes equally long for a predicted row: how it is put together, and what it is held against."""
    neutral = plan.config.post.neutralize
    done = [is_assembled(plan), neutral.names if neutral else (), len(plan.diagnosed.features)]
    return fingerprint([*done, len(plan.diagnosed.neutral_to)])


def expected(
    known: Calibration, plans: Sequence[VariantPlan], missing: Callable[[FitSpec], bool], cores: int
) -> Expected | None:
    """How long a round of these plans takes; None where nothing was measured, or there is nothing to do.

    Args:
        known: what was measured.
        plans: the trials that it runs.
        missing: whether a fit has to be trained.
        cores: of the machine or cluster; 0 where they are not known yet, for those that were measured on.

    """
    cores = cores or known.cores
    if not known.speeds or not plans or not cores:
        return None
    after_s = sum(_after(known, plan) for plan in plans) / cores
    new = trainings(fit for plan in plans for fit in plan.fits if missing(fit))
    if not new:
        return Expected(round(STORED_ROUND_S + after_s, 3), 0.0)
    seconds = filled([_seconds(known, each.longest) for each in new], lanes(new[0].longest, len(new), cores))
    return Expected(round(known.round_s + seconds + after_s, 3), known.start_s)


def lanes(fit: FitSpec, count: int, cores: int) -> tuple[int, int]:
    """How many of ``count`` such fits run at once, and threads of each."""
    at_once = max(1, min(count, cores // (fit.needs.cores or 1)))
    return at_once, fit.needs.cores or max(1, cores // at_once)


def filled(seconds: Sequence[float], lanes: tuple[int, int]) -> float:
    """When the last of these fits ends, each started in their order as soon as there is room."""
    at_once, threads = lanes
    faster = 1 + (threads - 1) * MORE_THREAD
    ends = [0.0] * at_once
    for each in seconds:
        heapreplace(ends, ends[0] + each / faster)
    return max(ends)


def predicted_rows(plan: VariantPlan) -> int:
    """Rows of all its folds' validation eras."""
    eras = (fold.validation_eras for fold in plan.folds.trainable)
    return sum(stop - start for each in eras for start, stop in plan.index.row_ranges(each))


def _seconds(known: Calibration, fit: FitSpec) -> float:
    """By what was measured of its like; else the median of its engine on as many features, or of its engine, or all."""
    own = speed_key(fit)
    if own in known.speeds:
        return known.speeds[own].seconds(fit)
    kinds = (own.rsplit("/", 1)[0] + "/", own.split("/", 1)[0] + "/", "")
    alike = next(found for kind in kinds if (found := [v for k, v in known.speeds.items() if k.startswith(kind)]))
    return median(each.seconds(fit) for each in alike)


def _after(known: Calibration, plan: VariantPlan) -> float:
    usual = median(known.after.values()) if known.after else 0.0
    return known.after.get(after_key(plan), usual) * predicted_rows(plan)


def read_calibration(paths: ExperimentPaths) -> Calibration:
    """What `plan` measured in this experiment; empty when it did not run, wrote another form of it, or is damaged."""
    try:
        return _CALIBRATION.validate_python(read_json(paths.calibration))
    except ValidationError:
        return Calibration()


def write_calibration(paths: ExperimentPaths, known: Calibration) -> None:
    write_json(paths.calibration, asdict(known))
