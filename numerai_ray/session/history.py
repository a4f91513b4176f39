"""History: every experiment under a folder, so that nothing is tried twice; those without a gain too."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from numerai_ray.config import leaves, parse_yaml, read_text
from numerai_ray.config.search_space import changes_label
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import NumeraiRayError, RequestError
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.metrics.significance import verdict

Outcome = Literal["gain", "inside the noise", "no gain", "open"]
OUTCOMES: tuple[Outcome, ...] = ("gain", "inside the noise", "no gain", "open")


@dataclass(frozen=True)
class Tried:
    """What a round of one variable brought: its best variant against the round's base."""

    dimension: str
    stage: str
    values: tuple[str, ...]
    best: str | None
    delta: float | None
    verdict: str


@dataclass(frozen=True)
class PastExperiment:
    """One experiment in a line: what it asked, what it tried, and what came of it.

    ``gain`` is of what won over its round's base, where it was last promoted, in mean BMC an era; ``outcome`` says
    whether it is more than luck. ``problem`` says why an experiment cannot be read.
    """

    experiment: str
    idea: str = ""
    novelty: str = ""
    state: str = "not started"
    outcome: Outcome = "open"
    stage: str | None = None
    rounds: int = 0
    winner: str | None = None
    gain: float | None = None
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
        clear = any(each.verdict == "clear gain" for each in self.tried) or self.verdict == "clear gain"
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
        """Whether an experiment is one of those."""
        text = f"{found.experiment} {found.idea} {found.novelty} {' '.join(found.tags)}".casefold()
        return (
            all(word in text for word in self.words.casefold().split())
            and (self.dimension is None or any(self.dimension in each for each in found.dimensions))
            and (self.target is None or any(self.target in each for each in found.targets))
            and (self.outcome is None or found.outcome == self.outcome)
        )


def history_of(root: Path, wanted: Wanted | None = None) -> list[PastExperiment]:
    """Experiments in the folders of ``root``, by name; those that are ``wanted``.

    Raises:
        RequestError: there is no such folder.

    """
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder; give the one that holds experiments, usually experiments")
    plans = sorted(root.glob("*/experiment.yaml"))
    found = (past_experiment(plan.parent) for plan in plans)
    return [each for each in found if wanted is None or wanted.fits(each)]


def past_experiment(folder: Path) -> PastExperiment:
    """What one experiment asked and found, read from its plan and ledger."""
    paths = ExperimentPaths(folder)
    try:
        plan = parse_yaml(read_text(paths.plan), str(paths.plan))
        history = read_ledger(paths.ledger)
        dimensions, targets = _varied(plan, folder)
    except NumeraiRayError as error:
        return PastExperiment(str(folder), problem=str(error))
    state = "finished" if is_finished(history) else "stopped" if history else "not started"
    tried = tuple(_tried(record) for record in history if record.dimension is not None)
    ran = dict.fromkeys(each.dimension for each in tried)  # a round by hand, or one of a plan that was edited since
    told = PastExperiment(
        str(folder),
        str(plan.get("idea", "")),
        str(plan.get("novelty", "")),
        "running" if lock_holder(paths.lock) else state,
        rounds=len(history),
        dimensions=(
            *dimensions,
            *(each for each in ran if not any(name.startswith(f"{each} (") for name in dimensions)),
        ),
        targets=targets,
        tags=tuple(map(str, tags)) if isinstance(tags := plan.get("tags"), list) else (),
        tried=tried,
    )
    last = last_compared(history)
    if last is None:
        return told
    changes = dict(last.decision.changes)
    judged = _judged(history)
    result: Outcome = "open"
    if state == "finished":
        kinds: dict[str, Outcome] = {"clear gain": "gain", "inside the noise": "inside the noise"}
        result = kinds.get(judged[1], "no gain") if changes else "no gain"
    return PastExperiment(
        **{
            **told.__dict__,
            "outcome": result,
            "stage": last.stage,
            "winner": last.decision.winner,
            "gain": judged[0],
            "verdict": judged[1],
            "changes": changes,
        }
    )


def _tried(record: RoundRecord) -> Tried:
    rows = [each for each in record.variants if each.role == "variant"]
    known = [(delta, each, words) for each in rows for delta, words in [_delta(each)] if delta is not None]
    delta, best, words = max(known, key=lambda row: row[0], default=(None, None, "unknown"))
    values = tuple(changes_label(each.changes) for each in rows)
    return Tried(record.dimension or "", record.stage, values, None if best is None else best.id, delta, words)


def _judged(history: Sequence[RoundRecord]) -> tuple[float | None, str]:
    """The gain of what won, where it was last held against the base: the final stage has full data and no base."""
    for record in reversed(history):
        winner = next((each for each in record.variants if each.id == record.decision.winner), None)
        if record.decision.promoted and winner is not None and winner.evidence is not None:
            return _delta(winner)
    return None, "unknown"


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
