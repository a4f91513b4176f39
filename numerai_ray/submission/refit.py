"""The chosen variant trained once more, on every era with labels.

No fold's fit serves: it saw some of the eras only. (What an earlier export trained does, see
:mod:`numerai_ray.submission.kept_models`.) A refit also predicts the *proof rows*,
the last eras of its data, with our own pipeline: what the exported pickle must give as well.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import FitError
from numerai_ray.models import Fitted
from numerai_ray.submission.exporters import Trained, exporter_for
from numerai_ray.submission.proof_rows import ProofRows
from numerai_ray.system.resources import Needs
from numerai_ray.training.rows import TrainingData, inputs_of, training_data, validation_batch
from numerai_ray.training.spec import FitSpec

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
