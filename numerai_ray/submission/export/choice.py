"""Choice: a variant of an experiment, or a part of an ensemble, and the config that it is refitted with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.config import Config, apply_overrides, parse_yaml, read_text, validate
from numerai_ray.errors import RequestError, nearest
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord


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
