"""Sources of candidates: variants of experiments, predictions of others that were added to them, kept baselines."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.ensembles.candidates import Candidate, LeftOut
from numerai_ray.errors import ConfigError, DataError
from numerai_ray.experiment.baselines import PREDICTIONS, StoredBaseline
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.models import FIVE_VALUES

# A holdout's few eras were kept out of every decision, and an ensemble is one.
NOT_FROM = "holdout"


def all_found(folders: Sequence[Path], baselines: Iterable[StoredBaseline] = ()) -> Iterator[Candidate | LeftOut]:
    """Everything in these experiments' folders, and the baselines that are kept for all experiments.

    Baselines come first: where an experiment ran one as well, its own run counts.

    Raises:
        DataError: a ledger is damaged.

    """
    for baseline in baselines:
        yield _of_baseline(baseline)
    for folder in folders:
        paths = ExperimentPaths(folder)
        variants = list(_of_experiment(paths))
        yield from variants
        yield from (_of_foreign(paths, trial, variants) for trial in paths.foreign_ids())


def _of_experiment(paths: ExperimentPaths) -> Iterator[Candidate | LeftOut]:
    """Every configuration that ran, once."""
    reader, seen = ScoreReader(paths), set[str]()
    for record in read_ledger(paths.ledger):
        for variant in record.variants:
            if variant.id not in seen and variant.role != "benchmark":
                seen.add(variant.id)
                yield _of_variant(paths, reader, record, variant)


def _of_variant(
    paths: ExperimentPaths, reader: ScoreReader, record: RoundRecord, variant: VariantRecord
) -> Candidate | LeftOut:
    name = f"{paths.root.resolve().name}.{variant.id}"
    if record.stage == NOT_FROM:
        return LeftOut(name, "a holdout decides nothing")
    if variant.metrics is None:
        return LeftOut(name, "it failed or was stopped early")
    stored = reader.read(variant.id)
    if stored is None or not paths.predictions(variant.id).is_file():
        return LeftOut(name, "its results or predictions are missing or damaged")
    try:
        config_path = paths.config(variant.id)
        config = validate(Config, parse_yaml(read_text(config_path), str(config_path)), str(config_path))
    except ConfigError:
        return LeftOut(name, "its config is missing or damaged")
    why = _cannot_be_member(config)
    if why:
        return LeftOut(name, why)
    if config.model.type == "lightgbm" and record.origin.get("engine") != FIVE_VALUES:
        # What grew its trees then grows them again.
        config = config.model_copy(update={"model": config.model.model_copy(update={"engine": "lightgbm"})})
    if any(":" in each.model.type for each in config.trained().values()):
        config = validate(Config, _resolved(config.to_json(), paths.root), name)
    eras = _known(stored.eras, stored.scores.bmc)
    return Candidate(name, paths.root, variant.id, record.stage, paths.predictions(variant.id), config, eras)


def _resolved(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Plain values whose models in files lie beside their own experiment, wherever the ensemble lies."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        file, _, kind = value.rpartition(":") if key == "type" and isinstance(value, str) else ("", "", "")
        if file:
            found[key] = f"{(root / file).resolve()}:{kind}"
        else:
            found[key] = _resolved(value, root) if isinstance(value, dict) else value
    return found


def _cannot_be_member(config: Config) -> str:
    """Why a config cannot stand in another one's ``ensemble`` section; "" where it can."""
    kinds = [each.model.type for each in config.trained().values()]
    if any(":" in kind and ".py:" not in kind for kind in kinds):
        return "a class of a package that is installed here cannot be exported; write it in a file"
    if config.cv.mode == "blocked" and _stacks(config):
        # Weights are then no nested choice: they know labels of the eras that an ensemble is reported on.
        return "its stack's weights were learned from models that were trained on later eras (cv.mode is blocked)"
    return ""


def _stacks(config: Config) -> bool:
    """Whether it, or a member of it, learns weights."""
    if config.ensemble is None:
        return False
    return config.ensemble.stack is not None or any(map(_stacks, config.members().values()))


def _of_baseline(baseline: StoredBaseline) -> Candidate | LeftOut:
    """A baseline that was run once for all experiments, below the data root."""
    name = f"baseline.{baseline.name}"
    if not isinstance(baseline.folder, Path):
        return LeftOut(name, "a baseline's predictions in object storage are not read; copy them below a local root")
    try:
        config = validate(Config, baseline.config, name)
    except ConfigError:
        return LeftOut(name, "its config is damaged")
    why = _cannot_be_member(config)
    if why:
        return LeftOut(name, why)
    eras, scores = per_era_scores(baseline.value["per_era"])
    folder = baseline.folder
    return Candidate(name, folder, baseline.name, "baseline", folder / PREDICTIONS, config, _known(eras, scores.bmc))


def _of_foreign(paths: ExperimentPaths, trial: str, variants: Sequence[Candidate | LeftOut]) -> Candidate | LeftOut:
    """Predictions of others, where it is known that their model did not see the labels that it predicts."""
    name = f"{paths.root.resolve().name}.{trial}"
    try:
        value = read_results(paths.results(trial))
        target, about = value["data"]["score_target"], value["foreign"]
        eras, scores = per_era_scores(value["per_era"])
        flags = [each for each in map(str, about["flags"]) if each.startswith(("suspect", "unchecked"))]
        benchmark = about["benchmark"]
    except (DataError, OSError, ValueError, KeyError, TypeError):
        return LeftOut(name, "its results are missing or damaged; add the predictions again")
    if flags:
        rule = "give `train_eras` when you add them" if flags[0].startswith("unchecked") else "they cannot be believed"
        return LeftOut(name, f"predictions of others that may know the labels ({flags[0]}); {rule}")
    if not paths.predictions(trial).is_file():
        return LeftOut(name, "its predictions are missing; add them again")
    scored = (target, benchmark)
    grounds = [
        each.config
        for each in variants
        if isinstance(each, Candidate) and (each.config.score.target, each.config.score.benchmark) == scored
    ]
    if not grounds:
        return LeftOut(name, f"no variant of the experiment is scored as it is ({target} beyond {benchmark})")
    own = _known(eras, scores.bmc)
    return Candidate(name, paths.root, trial, "foreign", paths.predictions(trial), grounds[-1], own, foreign=True)


def _known(eras: Sequence[int], bmc: Any) -> tuple[int, ...]:
    """Eras with a score, ascending."""
    return tuple(era for era, known in zip(eras, (~np.isnan(bmc)).tolist(), strict=True) if known)
