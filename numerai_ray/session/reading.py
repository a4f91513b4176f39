"""Reading: leaderboard and per-era scores as plain values, exactly what commands print with ``--json``.

Commands, the dashboard and tools for agents call these functions, so that all of them say the same. Nothing here
writes. How an experiment stands is told by :mod:`numerai_ray.session.status`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.ledger import chosen_interpretation, read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.rounds.candidates import Search
from numerai_ray.rounds.samplers import ListedSampler
from numerai_ray.session.shown import COLUMNS, leaderboard_rows
from numerai_ray.system.json_text import without_nan


def leaderboard_json(
    paths: ExperimentPaths, exp: str | Path, stage: str | None = None, top: int | None = None
) -> dict[str, Any]:
    """What ``leaderboard --json`` prints (schema ``leaderboard``); ``top`` rows a stage, all where it is None.

    Raises:
        RequestError: no round is decided yet, or none in this ``stage``.
        DataError: the ledger is damaged.

    """
    entries = leaderboard_rows(paths, read_ledger(paths.ledger))
    if not entries:
        raise RequestError(f"{exp}: no round is decided yet; start with `numerai-ray run {exp}`")
    stages = list(dict.fromkeys(each["stage"] for each in entries))
    if stage is not None and stage not in stages:
        raise RequestError(f"--stage must be one that ran ({', '.join(stages)}), but is {stage!r}")
    rows = []
    for name in stages if stage is None else [stage]:
        rows += [each for each in entries if each["stage"] == name][:top]
    return {"experiment": str(exp), "rows": [without_nan({key: row.get(key) for key in COLUMNS}) for row in rows]}


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


def search_so_far(loaded: LoadedPlan, history: Sequence[RoundRecord]) -> Search:
    """The search as the ledger tells it, for those who look at it and propose nothing."""
    return Search(loaded.interpreted(chosen_interpretation(history)), ListedSampler(), history)
