"""The chosen variant trained once more, on every era with labels.

No fold's fit serves: it saw some of the eras only. (What an earlier export trained does, see
:mod:`numerai_ray.submission.export.refit`.) A refit also predicts the *proof rows*,
the last eras of its data, with our own pipeline: what the exported pickle must give as well.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import EnvironmentFault, FitError
from numerai_ray.models import Fitted
from numerai_ray.submission.container.proof import ProofRows
from numerai_ray.submission.export.exporters import Trained, exporter_for
from numerai_ray.system.resources import Needs
from numerai_ray.training.rows import TrainingData, inputs_of, training_data, validation_batch
from numerai_ray.training.spec import FitSpec
from numerai_ray.training.store.models import ModelStore, StoredModel

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RefitJob:
    """One model to train, and the rows that it is proved on."""

    spec: FitSpec
    proof: ProofRows

    @property
    def needs(self) -> Needs:
        """What it asks of a node: what a fold's fit does."""
        return self.spec.needs


@dataclass(frozen=True, eq=False)
class Refitted:
    """A trained model as plain values, and what our pipeline predicts with it for the proof rows (n,)."""

    payload: Any
    proof: Floats
    train_rows: int
    dropped_rows: int
    seconds: float


RunJobs = Callable[[Sequence[RefitJob]], list[Refitted]]


def in_process(jobs: Sequence[RefitJob], threads: int) -> list[Refitted]:
    """All jobs, one after another, on ``threads`` cores."""
    return [refit(job, threads) for job in jobs]


def refit(job: RefitJob, threads: int) -> Refitted:
    """Train one model on all its rows with a label.

    Raises:
        FitError: no row has a label, the library refuses, or a prediction is not finite.
        DataError: the data cannot be read.

    """
    started = time.perf_counter()
    spec = job.spec
    train, fitted = _trained(spec, threads)
    batch = validation_batch(
        replace(spec, index=job.proof.index), job.proof.matrix.select(spec.features), job.proof.columns
    )
    proof = fitted.predict(batch, threads)
    if not np.isfinite(proof).all():
        raise FitError(
            f"{spec.asked.part or 'the refit'}: predicts NaN or infinity; check its parameters and objective"
        )
    return Refitted(
        payload=exporter_for(spec.config.model.type).portable(
            Trained(spec.model, fitted, train.batch, spec.config.model.params)
        ),
        proof=proof,
        train_rows=train.batch.n_rows,
        dropped_rows=train.dropped_rows,
        seconds=round(time.perf_counter() - started, 3),
    )


def _trained(spec: FitSpec, threads: int) -> tuple[TrainingData, Fitted]:
    """The model, made of what a round would make it of."""
    features, columns = inputs_of(spec)
    train = training_data(spec, features, columns)
    return train, spec.model.fit(train.batch, spec.config.model.params, threads)


def refits_of(
    jobs: Sequence[RefitJob], store: ModelStore, run_jobs: RunJobs, on_step: Callable[[str], None]
) -> list[Refitted]:
    """What every job gives, trained only where the store lacks it; what is trained is kept.

    A job's key holds its data, its training eras, the eras that it is proved on and the versions of the libraries:
    what is found under it is the same model.

    Raises:
        FitError: training failed.

    """
    made = {job.spec.key: found for job in jobs if (found := _read(job, store)) is not None}
    lacking = [job for job in jobs if job.spec.key not in made]
    if made:
        on_step(f"{_models(len(made))} from the store: trained by an earlier export")
    if lacking:
        eras = len(lacking[0].spec.fold.train_eras)
        on_step(f"refitting {_models(len(lacking))} on {eras:,} eras")
        for job, refit in zip(lacking, run_jobs(lacking), strict=True):
            made[job.spec.key] = refit
            _keep(job, refit, store)
    return [made[job.spec.key] for job in jobs]


def _read(job: RefitJob, store: ModelStore) -> Refitted | None:
    found = store.get(job.spec.key)
    if found is None or not found.facts.keys() >= {"train_rows", "dropped_rows", "seconds"}:
        return None
    facts = found.facts
    return Refitted(found.model, found.predictions, facts["train_rows"], facts["dropped_rows"], facts["seconds"])


def _keep(job: RefitJob, refit: Refitted, store: ModelStore) -> None:
    if exporter_for(job.spec.config.model.type).as_rows:
        return
    facts = {
        "train_rows": refit.train_rows,
        "dropped_rows": refit.dropped_rows,
        "seconds": refit.seconds,
        "made_by": job.spec.config.model.type,
    }
    # What cannot be kept is exported all the same, and trained again the next time.
    with suppress(EnvironmentFault):
        store.put(job.spec.key, StoredModel(refit.payload, refit.proof, facts))


def _models(count: int) -> str:
    return f"{count} model{'s'[: count > 1]}"
