"""Readings that no command has alone: the answer, scores by era, and what differs between two configurations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numerai_ray.experiment.answer import experiment_answer
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.session.experiment import Experiment
from numerai_ray.session.places import open_experiment
from numerai_ray.session.side_by_side import config_differences
from numerai_ray.session.status import answer_json
from numerai_ray.system.json_text import without_nan


def answer(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiment found so far: the block that `status`, `report` and `run` tell too."""
    paths, loaded = open_experiment(folder)
    return answer_json(experiment_answer(loaded, paths, read_ledger(paths.ledger), given["experiment"]))


def per_era(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of a variant, one row an era, in the order of eras."""
    experiment = Experiment.load(folder)
    variant = experiment.id_of(given["variant"])
    rows = experiment.per_era(variant).reset_index().to_dict("records")
    value: dict[str, Any] = without_nan({"variant": variant, "rows": rows})
    return value


def config_diff(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that differs, with both values; null where a configuration has none."""
    experiment = Experiment.load(folder)
    names = [experiment.id_of(given[each]) for each in ("variant", "other")]
    one, other = (experiment.config(name) for name in names)
    return {"variants": names, "differs": config_differences(one, other)}


READINGS: dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]] = {
    "answer": answer,
    "per_era": per_era,
    "config_diff": config_diff,
}
