"""A refit is trained once: what an earlier export trained is read from the store."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from numerai_ray.errors import EnvironmentFault
from numerai_ray.submission.exporters import exporter_for
from numerai_ray.submission.refit import RefitJob, Refitted, RunJobs
from numerai_ray.training.store.models import ModelStore, StoredModel


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
