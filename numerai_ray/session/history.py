"""History: every experiment under a folder, so that nothing is tried twice; those without a gain too.

What came of an experiment is its answer (:mod:`numerai_ray.experiment.answer`), and what came of a dimension the
verdict over the whole search (:mod:`numerai_ray.experiment.verdicts`): nothing is judged here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.config.search_space import changes_label
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import NumeraiRayError, RequestError
from numerai_ray.experiment.answer import Answer, Kind, experiment_answer
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.verdicts import overall_verdicts, stored_comparison
from numerai_ray.metrics.significance import Verdict, verdict
from numerai_ray.session.places import open_experiment

Outcome = Literal["gain", "inside the noise", "no gain", "open"]
OUTCOMES: tuple[Outcome, ...] = ("gain", "inside the noise", "no gain", "open")
# What a finished experiment's answer comes to, and its verdict on the winner in the leaderboard's words.
OUTCOME_OF: dict[Kind, tuple[Outcome, Verdict]] = {
    "gain": ("gain", "clear gain"),
    "trade-off": ("gain", "clear gain"),
    "too small": ("no gain", "clear gain"),
    "not settled": ("inside the noise", "inside the noise"),
    "loss": ("no gain", "clear loss"),
    "no change": ("no gain", "unknown"),
    "nothing yet": ("no gain", "unknown"),
}


@dataclass(frozen=True)
class Tried:
    """What a round of one variable brought: its best variant against the round's base.

    ``verdict_overall`` is that of the best as what the whole search found; build on that one.
    """

    dimension: str
    stage: str
    values: tuple[str, ...]
    best: str | None
    delta: float | None
    verdict: str
    verdict_overall: str = "unknown"


@dataclass(frozen=True)
class PastExperiment:
    """One experiment in a line: what it asked, what it tried, and what came of it.

    ``answer`` is its answer's sentence and ``kind`` the same in a word; ``gain``, of what won over ``against``, is the
    answer's too, in mean BMC an era. ``outcome`` is what a finished experiment comes to; ``problem`` says why one
    cannot be read.
    """

    experiment: str
    idea: str = ""
    novelty: str = ""
    state: str = "not started"
    outcome: Outcome = "open"
    stage: str | None = None
    rounds: int = 0
    winner: str | None = None
    kind: Kind = "nothing yet"
    answer: str = ""
    gain: float | None = None
    against: str = ""
    verdict: str = "unknown"
    changes: dict[str, Any] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def promise(self) -> tuple[int, float]:
        """What to go on with first: clear gains, then the larger ones; experiments without a round come first."""
        clear = any(each.verdict_overall == "clear gain" for each in self.tried) or self.verdict == "clear gain"
        deltas = [each.delta for each in self.tried if each.delta is not None]
        return (2 if not self.rounds else int(clear), max(deltas, default=0.0))


@dataclass(frozen=True)
class Wanted:
    """What a search asks for; None and "" ask for nothing."""

    words: str = ""
    dimension: str | None = None
    target: str | None = None
    outcome: Outcome | None = None

    def fits(self, found: PastExperiment) -> bool:
        """Whether an experiment asks for what is looked for; what came of it is another question."""
        text = f"{found.experiment} {found.idea} {found.novelty} {' '.join(found.tags)}".casefold()
        return (
            all(word in text for word in self.words.casefold().split())
            and (self.dimension is None or any(self.dimension in each for each in found.dimensions))
            and (self.target is None or any(self.target in each for each in found.targets))
        )


def history_of(root: Path, wanted: Wanted | None = None) -> list[PastExperiment]:
    """Experiments in the folders of ``root``, by name; those that are ``wanted``.

    Raises:
        RequestError: there is no such folder.

    """
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder; give the one that holds experiments, usually experiments")
    asked = wanted or Wanted()
    plans = sorted(root.glob("*/experiment.yaml"))
    # What came of an experiment is worked out for those alone that ask for what is looked for.
    found = (_judged(each) for each in map(_read, plans) if asked.fits(each.told))
    return [each for each in found if asked.outcome in (None, each.outcome)]


def past_experiment(folder: Path) -> PastExperiment:
    """What one experiment asked and found, read from its plan and ledger."""
    return _judged(_read(ExperimentPaths(folder).plan))


@dataclass(frozen=True)
class _Read:
    """An experiment as plan and ledger say, before anything of it is judged."""

    paths: ExperimentPaths
    history: Sequence[RoundRecord]
    told: PastExperiment


def _read(file: Path) -> _Read:
    folder = file.parent
    paths = ExperimentPaths(folder)
    try:
        plan = parse_yaml(read_text(paths.plan), str(paths.plan))
        history = read_ledger(paths.ledger)
        dimensions, targets = _varied(plan, folder)
    except NumeraiRayError as error:
        return _Read(paths, (), PastExperiment(str(folder), problem=str(error)))
    state = "finished" if is_finished(history) else "stopped" if history else "not started"
    # A round by hand, or one of a plan that was edited since.
    ran = dict.fromkeys(record.dimension for record in history if record.dimension is not None)
    more = (each for each in ran if not any(name.startswith(f"{each} (") for name in dimensions))
    told = PastExperiment(
        str(folder),
        str(plan.get("idea", "")),
        str(plan.get("novelty", "")),
        "running" if lock_holder(paths.lock) else state,
        rounds=len(history),
        dimensions=(*dimensions, *more),
        targets=targets,
        tags=tuple(map(str, tags)) if isinstance(tags := plan.get("tags"), list) else (),
    )
    return _Read(paths, history, told)


def _judged(read: _Read) -> PastExperiment:
    """With what came of it, of each dimension and of the whole."""
    last = last_compared(read.history)
    if last is None:
        return read.told
    told = replace(
        read.told,
        stage=last.stage,
        winner=last.decision.winner,
        changes=dict(last.decision.changes),
        tried=tuple(_tried(read.paths, read.history)),
    )
    try:
        _, loaded = open_experiment(read.paths.root)
    except NumeraiRayError as error:  # a baseline that is gone, say: what the ledger tells stands above
        return replace(told, problem=str(error))
    answer = experiment_answer(loaded, read.paths, read.history, read.paths.root)
    return _answered(told, answer, finished=is_finished(read.history))


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


def _tried(paths: ExperimentPaths, history: Sequence[RoundRecord]) -> list[Tried]:
    rounds = [_tried_in(record) for record in history if record.dimension is not None]
    bests = {each.best for each in rounds if each.best is not None}
    if not bests:
        return rounds
    reader = ScoreReader(paths)
    overall = overall_verdicts(history, reader, stored_comparison(history, reader), bests)
    return [replace(each, verdict_overall=overall.get((each.stage, each.best or ""), "unknown")) for each in rounds]


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
    return delta.mean, verdict(delta)


def _varied(plan: dict[str, Any], folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Dimensions that a plan searches, as ``name (path)``, and every target that it learns somewhere."""
    space = plan.get("search_space")
    if isinstance(space, str):
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
