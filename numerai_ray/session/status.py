"""Status: where an experiment stands, for whoever reads it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numerai_ray.errors import NumeraiRayError
from numerai_ray.experiment.answer import Answer, experiment_answer
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.mirror import last_sign
from numerai_ray.experiment.own_ensemble import own_ensemble
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.progress.round_state import running_of
from numerai_ray.session.places import open_experiment
from numerai_ray.system.json_text import without_nan
from numerai_ray.system.storage import place


def status_json(
    paths: ExperimentPaths,
    exp: str | Path,
    results: str | None = None,
    answer: Callable[[], dict[str, Any] | None] | None = None,
) -> dict[str, Any]:
    """What ``status --json`` tells; ``answer`` gives its answer where the caller holds one already."""
    history = read_ledger(paths.ledger)
    best = best_variant(history)
    told = _answer(paths, exp, history) if answer is None else answer()
    return {
        "experiment": str(exp),
        "state": state_of(paths, history, results),
        "finished": is_finished(history),
        "best": None if best is None else record_json(best),
        "answer": told,
        "rounds": [record_json(record) for record in history],
        "running": running(paths, results),
        "ensemble": _ensemble(told),
        "report": str(paths.report) if paths.report.exists() else None,
        "page": str(paths.html) if paths.html.exists() else None,
    }


def _answer(paths: ExperimentPaths, exp: str | Path, history: Sequence[RoundRecord]) -> dict[str, Any] | None:
    """The answer so far; None where the plan cannot be read, which does not keep the rest from being told."""
    try:
        _, loaded = open_experiment(paths.root)
    except NumeraiRayError:
        return None
    return answer_json(experiment_answer(loaded, paths, history, exp))


def _ensemble(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """The ensemble of its variants, where there is one."""
    found = None if answer is None else answer["ensemble"]
    return found if found is not None and found["weights"] else None


def ensemble_sentence(paths: ExperimentPaths, history: Sequence[RoundRecord]) -> str:
    """How the ensemble of its variants stands; "" where there is nothing to say, or the plan cannot be read."""
    try:
        _, loaded = open_experiment(paths.root)
    except NumeraiRayError:
        return ""
    found = own_ensemble(loaded.plan.stages.ensemble, paths, history, finished=is_finished(history))
    return "" if found is None else found.sentence


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain values."""
    value: dict[str, Any] = without_nan(answer.as_json())
    return value


def best_variant(history: Sequence[RoundRecord]) -> VariantRecord | None:
    """The winner of the last decided round, a holdout aside."""
    last = last_compared(history)
    if last is None:
        return None
    return next((each for each in last.variants if each.id == last.decision.winner), None)


def running(paths: ExperimentPaths, results: str | None = None) -> dict[str, Any] | None:
    """The round that runs right now, as its driver last wrote it; None when no driver holds the lock or the lease."""
    found = as_written(paths)
    return found if found and holder(paths, results) else None


def as_written(paths: ExperimentPaths) -> dict[str, Any] | None:
    """The round as a driver last wrote it, whoever runs it now; None where nothing readable is there."""
    return running_of(paths.progress)


def holder(paths: ExperimentPaths, results: str | None = None) -> str | None:
    """Who runs the experiment, on this machine or on the one that writes ``results``."""
    return lock_holder(paths.lock) or (None if results is None else last_sign(place(results)))


def state_of(paths: ExperimentPaths, history: Sequence[RoundRecord], results: str | None = None) -> str:
    """``running``, ``finished``, ``stopped`` or ``not started``."""
    if holder(paths, results):
        return "running"
    if is_finished(history):
        return "finished"
    return "stopped" if history else "not started"


def record_json(record: RoundRecord | VariantRecord) -> dict[str, Any]:
    """A round (schema ``ledger``) or a variant (schema ``variant``) as the ledger holds it."""
    return dict(without_nan(asdict(record)))
