"""Short rounds that tell how long others take: a few trees of each kind of model, run as the experiment's own will be.

They go through the runner that a run would use, so that what is measured is what will be: processes that start and
import, and fits side by side on all cores; only Tune is not shown them. Rounds of the same fits: two in which
everything starts, one of a few trees, and of more until they take long enough to tell. The smallest fold of an
experiment and its largest tell what a row costs.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Protocol

from numerai_ray.config import Config, fingerprint
from numerai_ray.data.eras import Folds
from numerai_ray.errors import FitError
from numerai_ray.rounds.time_model import Calibration, Speed, after_key, filled, lanes, predicted_rows, speed_key
from numerai_ray.runners.base import Progress, RoundRunner
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.system.storage import Place
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import FitSpec, VariantPlan, steps_of
from numerai_ray.training.store.fits import FitStore

# Trees of the first short fits, and of longer ones: more and more, until the time that they add stands out from what
# two fits beside each other, or the same one twice, differ by. Epochs are long.
FEW, MORE, ENOUGH_S = 4, (20, 100, 300), 1.0
FEW_EPOCHS, MORE_EPOCHS = 1, 2


class ShortRunner(RoundRunner, Protocol):
    """A runner whose store can be changed between rounds; ``ahead_s`` of its start went by before the first of them."""

    store: FitStore

    @property
    def ahead_s(self) -> float: ...


@dataclass(frozen=True)
class Round:
    """A short round: its trials, what came of them, and the wall seconds that it took."""

    plans: tuple[VariantPlan, ...]
    outcomes: Mapping[str, VariantOutcome]
    wall_s: float

    def fit_seconds(self) -> dict[str, float]:
        """Of each fit, by key."""
        return {fold.key: fold.seconds for each in self.outcomes.values() for fold in each.folds}


def calibrate(
    catalog: Catalog,
    configs: Iterable[Config],
    known: Calibration,
    open_runner: Callable[[], AbstractContextManager[ShortRunner]],
) -> Calibration:
    """``known`` and what it lacks of these configs; without something lacking, no runner is opened.

    Raises:
        FitError: a short fit fails, as the experiment's own would.

    """
    distinct = {config.fingerprint(): config for config in configs}.values()
    plans = [catalog.plan(f"c{at}", f"calibration/c{at}", config) for at, config in enumerate(distinct)]
    lacking = [plan for plan in plans if _speeds_of(plan) - known.speeds.keys() or after_key(plan) not in known.after]
    if not lacking:
        return known
    short = {_kind(plan): plan for plan in reversed(lacking)}
    with open_runner() as runner, _room(runner.store.root) as room:
        return _measured(runner, room, (tuple(short.values()), lacking), known)


def _speeds_of(plan: VariantPlan) -> frozenset[str]:
    return frozenset(speed_key(fit) for fit in plan.fits)


def _kind(plan: VariantPlan) -> tuple[frozenset[str], int]:
    """What fits tell apart: how fast they are, and how many there are to a fold."""
    return _speeds_of(plan), len(plan.fold_fits[0])


@contextmanager
def _room(store: Place) -> Iterator[Path]:
    """A folder for short fits, beside the store where other nodes reach that; gone afterwards."""
    beside = store.parent if isinstance(store, Path) and store.parent.is_dir() else None
    try:
        made = tempfile.TemporaryDirectory(prefix=".calibration-", dir=beside)
    except OSError:  # read-only data
        made = tempfile.TemporaryDirectory(prefix="numerai-ray-")
    with made as folder:
        yield Path(folder)


def _measured(
    runner: ShortRunner, room: Path, plans: tuple[Sequence[VariantPlan], Sequence[VariantPlan]], known: Calibration
) -> Calibration:
    short, looks = plans
    first = _round(runner, room / "first", _shortened(short, FEW, FEW_EPOCHS))
    # A worker may start as late as in the second round, and a library of its own take seconds to import.
    _round(runner, room / "again", _shortened(short, FEW, FEW_EPOCHS))
    few = _round(runner, room / "few", _shortened(short, FEW, FEW_EPOCHS))
    for trees in MORE:
        more = _round(runner, room / f"more-{trees}", _shortened(short, trees, MORE_EPOCHS))
        if _added_s(few, more) >= ENOUGH_S or trees >= max(fit.steps for plan in short for fit in plan.fits):
            break
    cores = runner.spent().cores
    after = {**known.after, **_after(FitStore(room / "few"), room, few.plans, looks)}
    beside = [_beside(each, after, cores) for each in (few, more)]
    return Calibration(
        speeds={**known.speeds, **_speeds(few, more)},
        after=after,
        round_s=round(max(fmean(beside), 0.0), 3),
        start_s=round(max(first.wall_s - few.wall_s, 0.0) + runner.ahead_s, 3),
        cores=cores,
    )


def _added_s(few: Round, more: Round) -> float:
    """Seconds that a fit took longer with more steps, on average."""
    return fmean(more.fit_seconds().values()) - fmean(few.fit_seconds().values())


def _shortened(plans: Sequence[VariantPlan], trees: int, epochs: int) -> tuple[VariantPlan, ...]:
    """The plans on their smallest and largest fold, with so many trees or epochs, or fewer where they have fewer."""
    found = []
    for plan in plans:
        by_size = sorted(plan.folds.trainable, key=lambda fold: len(fold.train_eras))
        kept = {by_size[0].index, by_size[-1].index}
        folds = tuple(fold for fold in plan.folds.trainable if fold.index in kept)
        fits = tuple(_short(fit, trees, epochs) for fit in plan.fits if fit.fold.index in kept)
        found.append(replace(plan, folds=Folds(folds, ()), fits=fits))
    return tuple(found)


def _short(fit: FitSpec, trees: int, epochs: int) -> FitSpec:
    """The same fit with fewer steps. It is no rung of a ladder, or all of them would be trained as one."""
    model, params = fit.model, fit.config.model.params
    found = steps_of(model, params)
    if found is not None:
        name, most = found
        params = {**model.canonical_params(params), name: int(min(most, epochs if name == "epochs" else trees))}
    config = fit.config.model_copy(update={"model": fit.config.model.model_copy(update={"params": params})})
    key = fingerprint([fit.key, dict(params)], 32)
    return replace(fit, key=key, family=key, length=None, config=config)


def _round(runner: ShortRunner, store: Path, plans: Sequence[VariantPlan]) -> Round:
    runner.store = FitStore(store)
    began = time.perf_counter()
    outcomes = runner.run(plans, _nobody)
    wall_s = time.perf_counter() - began
    error = next((each.error for each in outcomes.values() if each.error), None)
    if error is not None:
        raise FitError(f"a short fit for the calibration fails: {error}")
    return Round(tuple(plans), outcomes, wall_s)


def _nobody(progress: Progress) -> None:
    del progress


def _speeds(few: Round, more: Round) -> dict[str, Speed]:
    """By :func:`speed_key`, from the same fits with few steps and with more."""
    taken: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    seconds = [each.fit_seconds() for each in (few, more)]
    pairs = zip(_fits(few), _fits(more), strict=True)
    for short, longer in pairs:
        times = seconds[0][short.key], seconds[1][longer.key]
        steps = longer.steps - short.steps
        slope = max(times[1] - times[0], 0.0) / steps if steps else times[0] / short.steps
        fixed = max(times[0] - slope * short.steps, 0.0) if steps else 0.0
        taken[speed_key(short)].append((short.train_rows, fixed, slope))
    return {key: _speed(found) for key, found in taken.items()}


def _speed(found: Sequence[tuple[int, float, float]]) -> Speed:
    """From (rows, fixed seconds, seconds a step) of fits: a step's time is a line over rows, neither part negative."""
    fixed = fmean(each[1] for each in found)
    by_rows = [(rows, fmean(slope for _, _, slope in same)) for rows, same in _by_rows(found)]
    (least, low), (most, high) = by_rows[0], by_rows[-1]
    a_row = max(high - low, 0.0) / (most - least) if most > least else high / most
    a_row = min(a_row, high / most)
    return Speed(fixed, max(high - a_row * most, 0.0), a_row)


def _by_rows(found: Sequence[tuple[int, float, float]]) -> list[tuple[int, list[tuple[int, float, float]]]]:
    ordered = sorted(found)
    return [(rows, list(same)) for rows, same in groupby(ordered, key=lambda each: each[0])]


def _fits(each: Round) -> list[FitSpec]:
    return [fit for plan in each.plans for fit in plan.fits]


def _beside(each: Round, after: Mapping[str, float], cores: int) -> float:
    """Seconds of a short round beside its fits and what is made of them."""
    took, fits = each.fit_seconds(), {fit.key: fit for fit in _fits(each)}
    ordered = sorted(fits.values(), key=lambda fit: -fit.cost)
    at_once, _ = lanes(ordered[0], len(ordered), cores)
    # As they were measured: with as many threads as they had.
    busy = filled([took[fit.key] for fit in ordered], (at_once, 1))
    made = sum(after.get(after_key(plan), 0.0) * predicted_rows(plan) for plan in each.plans)
    return each.wall_s - busy - made / cores


def _after(store: FitStore, room: Path, few: Sequence[VariantPlan], looks: Sequence[VariantPlan]) -> dict[str, float]:
    """Core-seconds a predicted row of all that follows the fits, by :func:`after_key`.

    Trials that are looked at in one way are done together, as a round does them: what they share is then done once.
    """
    known = {_kind(plan): plan for plan in few}
    together: dict[tuple[str, str], list[VariantPlan]] = defaultdict(list)
    for plan in looks:
        fitted = known[_kind(plan)]
        config = fitted.config.model_copy(update={"post": plan.config.post})
        own = replace(fitted, id=plan.id, config=config, neutralizers=plan.neutralizers, diagnosed=plan.diagnosed)
        together[after_key(plan), fitted.index.fingerprint].append(own)
    found: dict[str, list[float]] = defaultdict(list)
    for (key, index), plans in together.items():
        # A store of its own: a look that was taken is kept beside the fits.
        runner = InProcessRunner(FitStore(room / "after" / f"{key}-{index}"), 1)
        for fit in {fit.key: fit for plan in plans for fit in plan.fits}.values():
            kept = store.get(fit.key)
            if kept is not None:
                runner.store.put(fit.key, kept)
        runner.columns(plans[0])
        began = time.process_time()
        runner.run(plans, _nobody)
        found[key].append((time.process_time() - began) / sum(map(predicted_rows, plans)))
    return {key: fmean(each) for key, each in found.items()}
