"""Choice: a variant of an experiment, or a part of an ensemble, and the config that it is refitted with."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.config import Config, apply_overrides, parse_yaml, read_text, validate
from numerai_ray.ensembles.deployment import with_members
from numerai_ray.ensembles.outcome import read_outcome
from numerai_ray.errors import RequestError, nearest
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import EnsemblePaths, ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.training.outcome import metrics_by


@dataclass(frozen=True)
class Choice:
    """A variant as it was run, its ``changes`` to the experiment's base, and ``config``: the same on all eras.

    ``parts`` are configs with fewer and fewer of an ensemble's members, by name, the largest first: what is offered
    where the whole is too much for the container. ``lighter`` are such parts, the best first, without models of the
    user's own, of which nobody knows what they take before they run; ``part_scores`` has the mean BMC of all of them.
    """

    experiment: str
    record: VariantRecord
    stage: str
    changes: Mapping[str, Any]
    config: Config
    parts: Mapping[str, Config] = field(default_factory=dict)
    lighter: Mapping[str, Config] = field(default_factory=dict)
    part_scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def as_run(self) -> str:
        """Fingerprint of the config whose scores the experiment holds."""
        return self.record.fingerprint


def choose(paths: ExperimentPaths, name: str, variant: str | None) -> Choice:
    """The variant of this id or name, the latest where several bear it; without one, the experiment's winner.

    Raises:
        RequestError: the experiment is not finished and none is named, or it has no such variant, or it failed.
        ConfigError: the variant's config is damaged.

    """
    history = read_ledger(paths.ledger)
    if not history:
        raise RequestError(f"{paths.root}: no round is decided yet; run it first: numerai-ray run {paths.root}")
    decided, record = _winner(paths, history) if variant is None else _named(paths, history, variant)
    changes = {**decided.base_changes, **record.changes}
    return Choice(name, record, decided.stage, changes, refit_config(paths.config(record.id)))


def choose_ensemble(folder: Path, part: str | None) -> Choice:
    """An ensemble, or the ``best-N`` of its members, or ``library-N`` without models of the user's own, in proportion.

    Raises:
        RequestError: there is no such part, or the ensemble's results are damaged.
        ConfigError: its config is damaged.

    """
    paths = EnsemblePaths(folder)
    outcome = read_outcome(paths)
    names: dict[str, list[str]] = {}
    light: dict[str, list[str]] = {}
    part_scores: dict[str, float] = {}
    for kind, found, listed in (("best", names, "parts"), ("library", light, "library_parts")):
        for each in outcome["ensemble"].get(listed, ()):
            name = f"{kind}-{len(each['members'])}"
            found[name], part_scores[name] = each["members"], _score(each["bmc_where_chosen"])
    alone = outcome["ensemble"].get("without_model", [])
    if alone and (part in (None, paths.name) or not names):
        told = f"of {', '.join(alone)} there are predictions alone, and no model to train"
        offer = (
            f"export the best part without them: --variant {next(iter(names))}" if names else "it has no other member"
        )
        raise RequestError(f"{folder}: the ensemble cannot be exported whole: {told}; {offer}")
    config = refit_config(paths.recipe)
    source = str(paths.recipe)
    parts = {name: with_members(config, members, source) for name, members in names.items()}
    by_score = sorted(light, key=lambda name: -part_scores[name])
    lighter = {name: with_members(config, light[name], source) for name in by_score}
    if part in (None, paths.name):
        scores = per_era_scores(outcome["per_era"])[1]
        metrics = metrics_by(config.score, scores)
        record = VariantRecord(paths.name, paths.name, "variant", outcome["fingerprint"], {}, metrics)
        return Choice(paths.name, record, "ensemble", {}, config, parts, lighter, part_scores)
    every = {**parts, **lighter}
    if part not in every:
        known = ", ".join([paths.name, *every])
        raise RequestError(f"--variant: the ensemble {paths.name} has no part {part!r}; choose one of {known}")
    # Only the whole was scored; a part's scores are not the whole's.
    record = VariantRecord(part, part, "variant", every[part].fingerprint(), {}, None)
    smaller, light_smaller = (
        {name: each for name, each in found.items() if _size(name) < _size(part)} for found in (parts, lighter)
    )
    return Choice(paths.name, record, "ensemble", {}, every[part], smaller, light_smaller, part_scores)


def _score(value: float | None) -> float:
    return math.nan if value is None else value


def _size(part: str) -> int:
    return int(re.sub(r"\D", "", part))


def refit_config(path: Path) -> Config:
    """A variant's config, on every era there is: downsampled data becomes full data."""
    value = parse_yaml(read_text(path), str(path))
    config = validate(Config, value, str(path))
    if config.data.file == "downsampled" and config.data.path is None:
        return validate(Config, apply_overrides(value, {"data": {"file": "full"}}), str(path))
    return config


def _winner(paths: ExperimentPaths, history: Sequence[RoundRecord]) -> tuple[RoundRecord, VariantRecord]:
    last = last_compared(history)
    found = last.find("base") if last is not None and last.stage == "final" else None
    if last is None or found is None or found.metrics is None:
        known = ", ".join(_last_of(each.id for each in _scored(history)))
        raise RequestError(
            f"{paths.root}: is not finished, so it has no winner yet; finish it with `numerai-ray run {paths.root}`, "
            f"or choose with --variant: {known}"
        )
    return last, found


def _named(paths: ExperimentPaths, history: Sequence[RoundRecord], variant: str) -> tuple[RoundRecord, VariantRecord]:
    for record in reversed(history):
        for each in record.variants:
            if variant in (each.id, each.name) and each.role != "benchmark":
                if each.metrics is None:
                    raise RequestError(f"--variant: {variant} failed ({each.error}); choose another")
                return record, each
    known = [each.id for each in _scored(history)]
    raise RequestError(f"--variant: {paths.root} has no variant {variant!r}{nearest(variant, known)}")


def _scored(history: Sequence[RoundRecord]) -> Iterator[VariantRecord]:
    for record in history:
        yield from (each for each in record.variants if each.metrics is not None and each.role != "benchmark")


def _last_of(names: Iterator[str], count: int = 8) -> list[str]:
    return list(dict.fromkeys(names))[-count:]
