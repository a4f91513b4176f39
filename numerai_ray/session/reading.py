"""Reading: an experiment as plain values, exactly what the reading commands print with ``--json``.

Commands, the dashboard and tools for agents call these functions, so that all of them say the same. Nothing here
writes, and nothing here needs more than the experiment's folder.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.mirror import last_sign
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.progress.round_state import running_of
from numerai_ray.system.json_text import without_nan
from numerai_ray.system.storage import place


def status_json(paths: ExperimentPaths, exp: str | Path, results: str | None = None) -> dict[str, Any]:
    """What ``status --json`` prints (schema ``status``).

    Args:
        paths: the experiment's files.
        exp: how the user names the experiment.
        results: the URL of its copy, which tells whether it runs elsewhere.

    Raises:
        DataError: the ledger is damaged.

    """
    history = read_ledger(paths.ledger)
    best = best_variant(history)
    return {
        "experiment": str(exp),
        "state": state_of(paths, history, results),
        "finished": is_finished(history),
        "best": None if best is None else record_json(best),
        "rounds": [record_json(record) for record in history],
        "running": running(paths, results),
        "report": str(paths.report) if paths.report.exists() else None,
        "page": str(paths.html) if paths.html.exists() else None,
    }


def leaderboard_json(exp: str | Path, folder: Path, stage: str | None = None, top: int | None = None) -> dict[str, Any]:
    """What ``leaderboard --json`` prints (schema ``leaderboard``); ``top`` rows a stage, all where it is None.

    Raises:
        RequestError: no round is decided yet, or none in this ``stage``.
        DataError: the ledger is damaged.

    """
    from numerai_ray.session.experiment import Experiment

    table = Experiment.load(folder).table()
    if table.empty:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    stages = list(dict.fromkeys(table["stage"]))
    if stage is not None and stage not in stages:
        raise RequestError(f"--stage must be one that ran ({', '.join(stages)}), but is {stage!r}")
    shown = table[table["stage"] == stage] if stage else table
    shown = shown.groupby("stage", sort=False).head(top or len(table)).reset_index()
    rows: list[dict[str, Any]] = without_nan(shown.to_dict("records"))
    return {"experiment": str(exp), "rows": rows}


def per_era_json(paths: ExperimentPaths, variant: str) -> dict[str, Any]:
    """``per_era`` of a variant's results file (schema ``results``): era, corr, bmc, corr_with_benchmark, as lists.

    Raises:
        DataError: the file is missing or damaged.

    """
    path = paths.results(variant)
    try:
        return dict(read_results(path)["per_era"])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: missing or damaged; {AGAIN.format(paths.root)}") from error


def record_json(record: RoundRecord | VariantRecord) -> dict[str, Any]:
    """A round (schema ``ledger``) or a variant (schema ``variant``) as the ledger holds it."""
    return dict(without_nan(asdict(record)))


def best_variant(history: Sequence[RoundRecord]) -> VariantRecord | None:
    """The winner of the last decided round, a holdout aside."""
    last = last_compared(history)
    if last is None:
        return None
    return next((each for each in last.variants if each.id == last.decision.winner), None)


def running(paths: ExperimentPaths, results: str | None = None) -> dict[str, Any] | None:
    """The round that runs right now, as its driver last wrote it; None when no driver holds the lock or the lease."""
    found = running_of(paths.progress)
    return found if found and holder(paths, results) else None


def holder(paths: ExperimentPaths, results: str | None = None) -> str | None:
    """Who runs the experiment, on this machine or on the one that writes ``results``; None where nobody does."""
    return lock_holder(paths.lock) or (None if results is None else last_sign(place(results)))


def state_of(paths: ExperimentPaths, history: Sequence[RoundRecord], results: str | None = None) -> str:
    """``running``, ``finished``, ``stopped`` (with rounds decided) or ``not started``."""
    if holder(paths, results):
        return "running"
    if is_finished(history):
        return "finished"
    return "stopped" if history else "not started"
