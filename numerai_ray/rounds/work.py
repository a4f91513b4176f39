"""Work of a round: what is to train, what came of it, and the records that are made of both."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from numerai_ray.experiment.records import VariantRecord
from numerai_ray.rounds.candidates import Candidate, Setup, identity
from numerai_ray.rounds.recorder import Recorder
from numerai_ray.rounds.start import RoundStart, fit_work
from numerai_ray.rounds.time_model import predicted_rows
from numerai_ray.system.timeline import span
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import VariantPlan


@dataclass(frozen=True)
class Began:
    """When a round began: for those who read it, and to measure from."""

    at: datetime
    clock: float

    def seconds(self) -> float:
        """Since then."""
        return time.monotonic() - self.clock


@dataclass(frozen=True, eq=False)
class Work:
    """What a round trains.

    ``new`` are the candidates to train, by trial, and ``plans`` theirs; ``known`` are results that stand already, by
    the identity of a config. ``notes`` say where a baseline's came from.
    """

    number: int
    new: Mapping[str, Candidate]
    known: Mapping[str, VariantRecord]
    plans: Sequence[VariantPlan]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ran:
    """What came of a round's plans, by trial: ``outcomes``, and the features that look like leaks."""

    outcomes: Mapping[str, VariantOutcome]
    suspects: Mapping[str, Sequence[str]]

    def notes(self) -> list[str]:
        """Of all outcomes, in their order."""
        return [note for outcome in self.outcomes.values() for note in outcome.notes]


def trial_id(number: int, each: Candidate) -> str:
    """What a candidate's files of round ``number`` are named after."""
    return f"r{number:02d}-{each.name}"


def features_read(plan: VariantPlan) -> tuple[str, ...]:
    """Every feature that any of its fits reads."""
    return tuple(sorted({name for fit in plan.fits for name in fit.features}))


def records_of(recorder: Recorder, work: Work, ran: Ran, setup: Setup) -> list[VariantRecord]:
    """Records of all candidates, in order; results and predictions of new ones are written."""

    def recorded(each: Candidate) -> VariantRecord:
        trial = trial_id(work.number, each)
        if work.new.get(trial) is not each:
            return recorder.variant(each, None, ())
        return recorder.variant(each, ran.outcomes[trial], ran.suspects[trial])

    # Predictions are packed side by side, two at a time: each holds a table of all rows meanwhile.
    with span("recording"), ThreadPoolExecutor(2, "record") as pool:
        return list(pool.map(recorded, setup.candidates))


def start_of(setup: Setup, work: Work) -> RoundStart:
    """What watchers hear when the round begins."""
    return RoundStart(
        number=work.number,
        stage=setup.stage,
        dimension=setup.dimension,
        trials={trial: each.name for trial, each in work.new.items()},
        folds={plan.id: len(plan.fold_fits) for plan in work.plans},
        known=tuple(
            replace(ran, name=each.name, role=each.role)
            for each in setup.candidates
            if (ran := work.known.get(identity(each.config, setup.stage)))
        ),
        fits=fit_work(work.plans),
        metric=setup.candidates[0].config.score.metric,
        rows=sum(map(predicted_rows, work.plans)),
    )
