"""Judging: what one experiment asked, tried and found, worked out from its plan, ledger and results.

What came of it is its answer (:mod:`numerai_ray.experiment.answer`), and what came of a dimension the verdict over the
whole search (:mod:`numerai_ray.experiment.verdicts`). The files that this rests on are told with it, so that
:mod:`numerai_ray.session.history_cache` knows when it has to be worked out again.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.config.search_space import changes_label
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import NumeraiRayError
from numerai_ray.experiment.answer import Answer, answer_of
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import chosen_interpretation, read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.standing import Standing
from numerai_ray.experiment.verdicts import overall_verdicts, stored_comparison
from numerai_ray.metrics.significance import verdict
from numerai_ray.session.past import OUTCOME_OF, PastExperiment, Tried
from numerai_ray.session.places import open_experiment
from numerai_ray.system.storage import Place


@dataclass
class RestsOn:
    """What was read of an experiment: its own files, ``(kind, name)`` of what is found by name, data roots asked.

    A file that was looked for and is not there counts too: once it is, more is known.
    """

    files: list[Path]
    named: list[tuple[str, str]] = field(default_factory=list)
    data: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Read:
    """An experiment as plan and ledger say, before anything of it is judged; ``told`` takes it for not running."""

    paths: ExperimentPaths
    history: Sequence[RoundRecord]
    told: PastExperiment
    rests_on: RestsOn


def read(folder: Path) -> Read:
    """What the experiment's plan and ledger say; a problem with them is told in place of it."""
    paths = ExperimentPaths(folder)
    rests_on = RestsOn([paths.plan, paths.ledger])
    try:
        plan = parse_yaml(read_text(paths.plan), str(paths.plan))
        history = read_ledger(paths.ledger)
        dimensions, targets = _varied(plan, folder, rests_on)
    except NumeraiRayError as error:
        return Read(paths, (), PastExperiment(str(folder), problem=str(error)), rests_on)
    # A round by hand, or one of a plan that was edited since.
    ran = dict.fromkeys(record.dimension for record in history if record.dimension is not None)
    more = (each for each in ran if not any(name.startswith(f"{each} (") for name in dimensions))
    told = PastExperiment(
        str(folder),
        str(plan.get("idea", "")),
        str(plan.get("novelty", "")),
        "finished" if is_finished(history) else "stopped" if history else "not started",
        rounds=len(history),
        dimensions=(*dimensions, *more),
        targets=targets,
        tags=tuple(map(str, tags)) if isinstance(tags := plan.get("tags"), list) else (),
    )
    return Read(paths, history, told, rests_on)


def judged(read: Read) -> PastExperiment:
    """With what came of it, of each dimension and of the whole."""
    last = last_compared(read.history)
    if last is None:
        return read.told
    first = read.history[0].variants
    read.rests_on.files.extend(read.paths.config(each.id) for each in first[:1])  # the version that it began with
    told = replace(read.told, stage=last.stage, winner=last.decision.winner, changes=dict(last.decision.changes))
    try:
        _, loaded = open_experiment(read.paths.root, on_data=read.rests_on.data.append)
    except NumeraiRayError as error:  # a baseline that is gone, say: what the ledger tells stands all the same
        return replace(told, tried=_tried(ScoreReader(read.paths), read.history), problem=str(error))
    read.rests_on.named.append(("baselines", loaded.plan.baseline))
    interpreted = loaded.interpreted(chosen_interpretation(read.history))
    standing = Standing(interpreted, read.paths, tuple(read.history))
    told = replace(told, tried=_tried(standing.reader, read.history))
    told = _answered(told, answer_of(standing, read.paths.root), finished=standing.finished)
    read.rests_on.files.extend(read.paths.results(variant) for variant in standing.reader.asked)
    return told


def _answered(told: PastExperiment, answer: Answer, *, finished: bool) -> PastExperiment:
    """With what came of it; an unfinished search may still find something."""
    outcome, word = OUTCOME_OF[answer.kind]
    return replace(
        told,
        kind=answer.kind,
        answer=answer.verdict,
        gain=None if math.isnan(answer.gain) else answer.gain,
        against=answer.against,
        verdict=word,
        outcome=outcome if finished else "open",
    )


def _tried(reader: ScoreReader, history: Sequence[RoundRecord]) -> tuple[Tried, ...]:
    rounds = tuple(_tried_in(record) for record in history if record.dimension is not None)
    bests = {each.best for each in rounds if each.best is not None}
    if not bests:
        return rounds
    overall = overall_verdicts(history, reader, stored_comparison(history, reader), bests)
    return tuple(
        replace(each, verdict_overall=overall.get((each.stage, each.best or ""), "unknown")) for each in rounds
    )


def _tried_in(record: RoundRecord) -> Tried:
    rows = [each for each in record.variants if each.role == "variant"]
    known = [(delta, each, word) for each in rows for delta, word in [_delta(each)] if delta is not None]
    delta, best, word = max(known, key=lambda row: row[0], default=(None, None, "unknown"))
    values = tuple(changes_label(each.changes) for each in rows)
    return Tried(record.dimension or "", record.stage, values, None if best is None else best.id, delta, word)


def _delta(variant: VariantRecord | None) -> tuple[float | None, str]:
    """The paired difference to the round's base, and how sure it is."""
    if variant is None or variant.evidence is None:
        return None, "unknown"
    delta = variant.evidence.to_base
    return None if math.isnan(delta.mean) else delta.mean, verdict(delta)


def _varied(plan: dict[str, Any], folder: Path, rests_on: RestsOn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Dimensions that a plan searches, as ``name (path)``, and every target that it learns somewhere."""
    space = plan.get("search_space")
    if isinstance(space, str):
        rests_on.named.append(("search_spaces", space))
        file = find_shipped("search_spaces", space, folder)
        space = parse_yaml(read_text(file), str(file))
    given = space.get("dimensions") if isinstance(space, dict) else None
    listed = {str(name): each for name, each in given.items()} if isinstance(given, dict) else {}
    dimensions = {name: each for name, each in listed.items() if isinstance(each, dict)}
    names = tuple(f"{name} ({each.get('path')})" for name, each in dimensions.items())
    values = [each.get("values") for each in dimensions.values() if each.get("path") == "data.target"]
    return names, tuple(dict.fromkeys((*_targets(plan), *(name for each in values for name in _names(each)))))


def _targets(plan: dict[str, Any]) -> Iterator[str]:
    """Targets that the plan itself sets, in its base or in an interpretation."""
    readings = plan.get("interpretations")
    parts = [plan.get("base"), *(readings.values() if isinstance(readings, dict) else ())]
    for each in parts:
        data = each.get("data") if isinstance(each, dict) else None
        if isinstance(data, dict) and "target" in data:
            yield from _names(data["target"])


def _names(value: Any) -> Sequence[str]:
    """Names of a target, of several with weights, or of a list of either."""
    if isinstance(value, dict):
        return list(leaves(value))
    if isinstance(value, list):
        return [name for each in value for name in _names(each)]
    return [str(value)] if value is not None else []
